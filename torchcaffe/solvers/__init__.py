"""Solvers: the update rules, the training loop, recorded steps."""
