"""The figure samples: training images of three classes of each half, read from the LMDBs that train the source nets."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.text import Text

from tests.helpers.finished_runs import demo, pack_samples
from tools.common.files import write_json
from tools.figures import NoData, samples, style
from tools.protocol.layout import split_of
from tools.protocol.register import card, thesis_classes

pytestmark = pytest.mark.usefixtures("root")


def test_they_are_the_first_images_of_classes_spread_over_each_half() -> None:
    exp = demo()
    pack_samples(exp)
    samples.draw(exp, Path())
    picture = cv2.imread("samples.png")
    shades = set(np.unique(picture[(picture == picture[:, :, :1]).all(axis=2)]))
    assert {40 * label + i for label in (0, 1, 3) for i in range(8)} <= shades  # labels 0, 5//3, 10//3; eight of each
    assert Path("samples.pdf").is_file()


def test_without_a_split_or_an_lmdb_there_is_no_figure() -> None:
    exp = demo()
    with pytest.raises(NoData, match=r"split0/split\.json is not there"):
        samples.draw(exp, Path())
    pack_samples(exp)
    shutil.rmtree(split_of(exp, 0).train_lmdb("B", 6000))
    with pytest.raises(NoData, match="B/n6000"):
        samples.draw(exp, Path())


def test_a_class_whose_images_were_all_left_out_has_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = demo()
    pack_samples(exp)
    split = split_of(exp, 0)
    write_json(split.marker, {"classes": {"A": ["0", "3", "5"], "B": [str(i) for i in range(10)]}})
    texts = []
    monkeypatch.setattr(samples.style, "save", lambda figure, path: texts.extend(figure.findobj(Text)))
    samples.draw(exp, Path())  # of half B the labels 0, 3 and 6 are shown; the LMDB has 0 to 4
    assert [text.get_text() for text in texts if "no image" in text.get_text()] == ["Shirt: no image"]


def test_a_mosaic_has_the_images_in_rows_as_rgb_on_white() -> None:
    blue = np.zeros((3, 2, 2), np.uint8)
    blue[0] = 200  # BGR
    sheet = samples.mosaic([blue, np.full((1, 2, 2), 9, np.uint8)])
    assert sheet.shape == (2 * 3 - 1, 4 * 3 - 1, 3)
    assert sheet[0, 0].tolist() == [0, 0, 200]
    assert sheet[1, 4].tolist() == [9, 9, 9]
    assert (sheet[:, 2] == 255).all() and (sheet[2:] == 255).all()


def test_classes_have_their_names_where_they_are_known() -> None:
    assert samples.class_names(demo())["9"] == "Ankle boot"
    assert style.shorten("sandal") == "sandal"
    assert style.shorten("a very long name of a class of images") == "a very long name of a class o…"


def test_the_thesis_own_classes_come_first_in_the_half_where_they_are() -> None:
    """Figure 5.1: beacon, sulphur butterfly and umbrella; museum indoor, baseball field and valley."""
    ids = [f"n{i}" for i in range(10)]
    assert samples.choose(ids, []) == [0, 3, 6] and samples.choose(ids[:2], []) == [0, 1]
    assert samples.choose(ids, ["n8", "m", "n3"]) == [8, 3, 0]
    for dataset, names in (
        ("tiny-imagenet", ["beacon", "sulphur butterfly", "umbrella"]),
        ("miniplaces", ["museum indoor", "baseball field", "valley"]),
    ):
        listed = thesis_classes(dataset) or {}
        assert [listed[name] for name in card(dataset).samples] == names
