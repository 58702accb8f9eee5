"""Which runs an experiment has, and what each copies from, trains on and subtracts."""

import pytest

from tools.common.errors import UserError
from tools.protocol import layout
from tools.protocol.experiment import load
from tools.protocol.runs import find_run, mean_of, random_seed, runs_of, source_run, train_set


@pytest.fixture
def tiny(checkout):
    return lambda overrides="": load(checkout / "experiments" / "tiny.yaml", overrides)


def test_the_protocol_is_108_runs_and_each_source_net_is_the_other_directions_full_base_run(tiny):
    runs = runs_of(tiny(), "caffe")
    assert len(runs) == len(set(runs)) == 108
    assert [run.key for run in runs[:2]] == ["B2A/n0500/base/seed0", "A2B/n0500/base/seed0"]
    some = layout.Run("tiny", "A2B", 300, "S3T", 0)
    assert source_run(tiny(), some).key == "B2A/n0500/base/seed0"
    assert (some.source, some.target, str(some.folder)) == ("A", "B", "models/tiny/A2B/n0300/S3T/seed0")


def test_with_the_source_halfs_mean_nothing_is_shared_and_there_are_110_runs(tiny):
    exp = tiny("mean=source")
    runs = runs_of(exp, "caffe")
    assert len(runs) == 110
    target, source = layout.Run(exp.name, "A2B", 300, "S3T", 0), layout.Run(exp.name, "B2A", 500, "source", 0)
    assert source_run(exp, target) == source
    own = "data/tiny-imagenet/split0/64x64/A/n0500/mean.binaryproto"
    assert str(mean_of(exp, target)) == str(mean_of(exp, source)) == own


def test_controls_are_27_more_conditions_and_a_selffer_copies_from_the_base_run_on_its_own_set(tiny):
    exp = tiny("controls=true")
    assert exp.name == "tiny" and len(runs_of(exp, "caffe")) == 108 + 27 * 12
    own, random = layout.Run("tiny", "A2B", 300, "T3T", 0), layout.Run("tiny", "A2B", 300, "R3T", 0)
    assert source_run(exp, own).key == "A2B/n0300/base/seed0"
    assert source_run(exp, random) is None
    retained = layout.Run("tiny", "A2B", 300, "T3T-retain", 0)
    assert source_run(exp, retained) == own and train_set(exp, retained) == ("A", 500)
    chain = [run.key for run in runs_of(tiny("sizes=[50] conditions=[T2T-retain] directions=[A2B]"), "caffe")]
    assert chain == [f"A2B/n0050/{name}/seed0" for name in ("base", "T2T", "T2T-retain")]
    alone = [run.key for run in runs_of(tiny("sizes=[50] conditions=[T2T+] directions=[A2B]"), "caffe")]
    assert alone == ["A2B/n0050/base/seed0", "A2B/n0050/T2T+/seed0"]


def test_a_net_is_never_drawn_from_the_seed_of_the_net_that_it_copies_from(tiny):
    exp = tiny("controls=true seeds=[7]")
    for run in runs_of(exp, "caffe"):
        source = source_run(exp, run)
        assert random_seed(exp, run) == (1007 if source else 7)
        assert source is None or random_seed(exp, source) == 7


def test_selecting_sizes_still_trains_the_source_nets(tiny):
    keys = [run.key for run in runs_of(tiny("sizes=[50] conditions=[base,S2T] directions=[A2B]"), "caffe")]
    assert keys == ["B2A/n0500/base/seed0", "A2B/n0050/base/seed0", "A2B/n0050/S2T/seed0"]


def test_an_unknown_run_is_told_with_what_there_is(tiny):
    with pytest.raises(UserError, match=r"no run 'A2B/n0123/base/seed0'; there are 108, from B2A/n0500/base/seed0 to"):
        find_run(tiny(), "caffe", "A2B/n0123/base/seed0")
    assert find_run(tiny(), "caffe", "models/tiny/A2B/n0300/S3T/seed0").condition == "S3T"
