"""Helpers that know nothing of the experiment: errors, files and locks, progress, worker processes, seeded shuffle."""
