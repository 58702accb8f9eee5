"""The exception for a mistake that the user can correct, and how its text shows the names of files."""


class UserError(Exception):
    """A mistake that the user can correct. The text names the file and line or key, what is wrong and what to do."""


def shown(name: str) -> str:
    """The name of a file or folder for a message: bytes that are not UTF-8 as `\\xe9`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


class Faults:
    """Collects UserErrors, so that a user reads all of them at once.

    with faults: ...     # as often as there are checks; blocks can be nested
    faults.raise_all()   # one UserError with all texts, a line each; nothing if there are none
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __enter__(self) -> "Faults":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, UserError):
            return False
        self._texts.append(str(error))
        return True

    def raise_all(self) -> None:
        if self._texts:
            raise UserError("\n".join(self._texts))
