"""Finds the project's own files: in the current folder, or else in the checkout that this code is part of."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def own_file(folder: str, name: str) -> Path:
    """`folder/name` in the current folder, or in the checkout if the current folder has none.

    So a folder for data can have its own templates and cards. The returned path may not exist.
    """
    here = Path(folder) / name
    return here if here.exists() else CHECKOUT / folder / name
