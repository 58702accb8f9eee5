"""Where things lie: the folder of each run, of its results and of its data."""

import pytest

from tools.protocol import layout
from tools.protocol.experiment import load
from tools.protocol.runs import runs_of


@pytest.fixture
def tiny(checkout):
    return lambda overrides="": load(checkout / "experiments" / "tiny.yaml", overrides)


def test_another_engine_never_takes_the_place_of_caffe(tiny):
    assert str(runs_of(tiny(), "torchcaffe")[0].folder).startswith("models/tiny+engine=torchcaffe/")
    assert str(layout.results_folder(tiny(), "torchcaffe")) == "results/tiny+engine=torchcaffe"


def test_splits_of_other_seeds_and_drawings_lie_apart(tiny):
    places = [
        tiny(),
        tiny("nested=false"),
        tiny("split_seed=1"),
        tiny("split_seed=1 subsample_seed=2"),
        tiny("gray=true"),
    ]
    folders = [str(layout.split_of(exp, 0).train_lmdb("A", 50)) for exp in places]
    assert folders == [
        "data/tiny-imagenet/split0/64x64/A/n0050",
        "data/tiny-imagenet/split0+nested=false/64x64/A/n0050",
        "data/tiny-imagenet/split1-0/64x64/A/n0050",
        "data/tiny-imagenet/split1-2/64x64/A/n0050",
        "data/tiny-imagenet/split0/64x64-gray/A/n0050",
    ]
