"""Names are looked at before images are read: in two classes, of more than one line, too long for an LMDB."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.datasets.folder import Folder
from tools.datasets.names import require_each_once, require_one_line, require_short_names
from tools.datasets.tiny_imagenet import TinyImageNet


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_in_two_classes_is_refused_each_by_name(folder: Path, link: Callable[[Path, Path], None]) -> None:
    link(folder / "train/cat/2.PNG", folder / "train/dog house/9.png")
    link(folder / "train/cat/1 one.jpg", folder / "val/cat/9.png")
    data = Folder(folder)
    with pytest.raises(UserError) as caught:
        require_each_once(data, data.scan())
    assert "train/cat/2.PNG and train/dog house/9.png are the same file" in str(caught.value)
    assert "train/cat/1 one.jpg and val/cat/9.png are the same file" in str(caught.value)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png", b"a.png\r", "a\u2028b.png".encode()])
def test_a_name_that_no_list_can_hold_is_refused(folder: Path, tiny: Path, name: bytes) -> None:
    save(folder / "train/cat/ok\u202fay \u732b.png")
    require_one_line(Folder(folder), Folder(folder).scan())
    for data, place in ((Folder(folder), "train/cat"), (TinyImageNet(tiny), "train/n02123045/images")):
        save(data.root / place / "x.png").rename(data.root / place / os.fsdecode(name))
        with pytest.raises(UserError) as caught:
            require_one_line(data, data.scan())
        said = f"{f'{place}/{os.fsdecode(name)}'!r}: not one line of UTF-8 text\n  rename these files or their folders"
        assert str(caught.value) == f"{data.root}: {said}"


def test_long_paths_are_told_before_any_image_is_read(folder: Path) -> None:
    deep = folder / "train/cat" / "/".join(["deeper"] * 90)
    save(deep / "1.jpg")
    save(deep / "2.jpg")
    data = Folder(folder)
    with pytest.raises(UserError) as caught:
        require_short_names(data, data.scan())
    assert str(caught.value).count("the path makes a key of 654 bytes; LMDB takes 511 at most") == 2
