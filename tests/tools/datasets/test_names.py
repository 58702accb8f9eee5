"""Names are looked at before images are read: one file in two classes, and paths too long for an LMDB."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.datasets.folder import Folder
from tools.datasets.names import require_each_once, require_short_names


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_in_two_classes_is_refused_each_by_name(folder: Path, link: Callable[[Path, Path], None]) -> None:
    link(folder / "train/cat/2.PNG", folder / "train/dog house/9.png")
    link(folder / "train/cat/1 one.jpg", folder / "val/cat/9.png")
    data = Folder(folder)
    with pytest.raises(UserError) as caught:
        require_each_once(data, data.scan())
    assert "train/cat/2.PNG and train/dog house/9.png are the same file" in str(caught.value)
    assert "train/cat/1 one.jpg and val/cat/9.png are the same file" in str(caught.value)


def test_long_paths_are_told_before_any_image_is_read(folder: Path) -> None:
    deep = folder / "train/cat" / "/".join(["deeper"] * 90)
    save(deep / "1.jpg")
    save(deep / "2.jpg")
    data = Folder(folder)
    with pytest.raises(UserError) as caught:
        require_short_names(data, data.scan())
    assert str(caught.value).count("the path makes a key of 654 bytes; LMDB takes 511 at most") == 2
