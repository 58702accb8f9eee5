"""Nets of random layers: what they compute in real Caffe, in torchcaffe, and after an export to each format.

`pytest --hypothesis-profile=random` draws others, and EXAMPLES can be raised for a long run.
"""

import shutil

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.damaged_files import quick
from tests.helpers.exported import MODULES, export
from tests.helpers.random_nets import random_nets
from torchcaffe.export.check import distance

EXAMPLES = 25
NEARLY = 1e-4  # behind some layers, one of which may divide by nearly 0
SMALL = 0.01  # of the net's largest gradient: one that is nothing but rounding, as that of a bias below a Softmax


@pytest.mark.slow
@settings(quick(EXAMPLES), phases=[Phase.generate])  # to make a net smaller takes minutes
@given(st.data())
def test_a_random_net_computes_the_same_in_caffe_and_after_each_export(real_caffe, tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("net")
    net = data.draw(random_nets(folder))
    text = net_of(net.text, **net.inputs)
    there_and_back = '"Threshold"' not in text and '"ArgMax"' not in text  # they have no gradient
    both = Both(real_caffe, text, folder, backward=there_and_back)
    diffs = [name for name in both.right if " diff " in f" {name}"]
    largest = max(abs(both.right[name]).max(initial=0) for name in diffs)
    for name, right in both.right.items():
        apart = distance(both.found[name], right)
        if name in diffs:
            apart *= min(1, abs(right).max(initial=0) / (SMALL * largest or 1)) if there_and_back else 0
        assert apart <= NEARLY, f"{name} of {text}"
    for to in MODULES:
        (folder / to).mkdir()
        try:
            lines = export(folder / to, to, text)
        except FormatError as error:
            assert f"cannot be exported to {to}:" in str(error), text
            assert not (folder / to / "out").exists()
        else:
            assert (folder / to / "out").exists() and lines
    shutil.rmtree(folder)
