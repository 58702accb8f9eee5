"""What knows nothing of the experiment: errors, files, locks, progress, workers, the seeded shuffle."""
