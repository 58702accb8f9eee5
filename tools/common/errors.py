"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """Something that the user can mend. Its text names the file and line or key, what was found and what to do."""
