"""The one error of this package."""


class FormatError(ValueError):
    """A file or message is not what Caffe's formats allow.

    Its text is meant for the user as it stands: the file (and the line, where there is one), what was found, what
    would be right.
    """
