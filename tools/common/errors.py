"""The exception for a mistake that the user can correct."""


class UserError(Exception):
    """A mistake that the user can correct. The text names the file and line or key, what is wrong and what to do."""
