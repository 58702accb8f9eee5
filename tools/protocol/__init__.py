"""The protocol: the experiment, its conditions, its runs, and the paths of all files."""
