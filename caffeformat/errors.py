"""The one error of this package."""


class FormatError(ValueError):
    """A file or message is not what Caffe's formats allow.

    The text is meant for the user: the file (and the line, if there is one), what it holds, and what would be right.
    """
