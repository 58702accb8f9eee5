"""The nets of runs: templates rendered to prototxts, and the changes that a condition makes."""
