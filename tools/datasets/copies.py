"""Images that are there twice, byte for byte. They are told, not refused: published data sets have some."""

from collections.abc import Mapping

from tools.datasets.walk import note


def copy_notes(train: Mapping[str, list[str]], val: Mapping[str, list[str]], digests: Mapping[str, str]) -> list[str]:
    """Notes on copies and hard links of images. train, val: class id -> references. digests: reference -> sha256."""
    first: dict[str, tuple[str, str, str]] = {}  # sha256 -> part, class, reference
    within: list[str] = []
    across: list[str] = []
    for part, classes in (("train", train), ("val", val)):
        for name, references in classes.items():
            for reference in references:
                home = first.setdefault(digests[reference], (part, name, reference))
                if home[2] != reference:
                    (within if home[:2] == (part, name) else across).append(f"{reference} is {home[2]}")
    return [
        *note("the same images in two classes, or in train and in val", across),
        *note("the same images twice in a class", within),
    ]
