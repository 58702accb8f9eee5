"""A sweep on a cluster: the jobs that a scheduler gets, and what each does on its node."""
