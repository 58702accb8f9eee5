"""The tables of an experiment: their columns, and reading them back."""
