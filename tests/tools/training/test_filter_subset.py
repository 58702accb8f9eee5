"""Which filters are chosen, and the source net with only these."""

import numpy as np
import pytest

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tools.common.errors import UserError
from tools.protocol.conditions import Subset
from tools.training.filter_subset import check, choose, write
from tools.training.proofs import ProofFailed

RANDOM = np.random.RandomState(5)
FILTERS = RANDOM.standard_normal((12, 3, 2, 2)).astype(np.float32)


def test_a_random_draw_is_the_seeds_and_a_smaller_one_is_inside_it():
    many, few = (choose(FILTERS, Subset("random", count), seed=3) for count in (9, 4))
    assert len(set(many)) == 9 and set(few) < set(many) and many == sorted(many)
    assert many == choose(FILTERS, Subset("random", 9), seed=3) != choose(FILTERS, Subset("random", 9), seed=4)


def test_of_each_cluster_the_filter_nearest_to_its_centre_is_chosen():
    centres = np.array([[0.0, 0, 0, 0], [9, 0, 0, 0], [0, 9, 0, 0]])
    around = np.array([[0.1, 0, 0, 0], [-0.05, 0.3, 0, 0], [-0.05, -0.3, 0, 0]])  # of these the first is the nearest
    filters = np.concatenate([centre + around[[1, 0, 2]] for centre in centres]).astype(np.float32)
    assert choose(filters.reshape(9, 1, 2, 2), Subset("kmeans", 3), seed=0) == [1, 4, 7]


def test_more_clusters_than_different_filters_are_refused():
    with pytest.raises(UserError, match="5 clusters of 4 different filters"):
        choose(np.repeat(FILTERS[:4], 3, axis=0), Subset("kmeans", 5), seed=0)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.caffemodel"
    bias = np.arange(1, 13, dtype=np.float32)
    path.write_bytes(caffemodel_bytes({"conv1": [FILTERS, bias], "fc": [np.ones((2, 5), np.float32)]}))
    return path


def test_the_source_net_keeps_the_chosen_filters_to_the_bit_and_the_mask_lets_through_the_others(source, tmp_path):
    part = tmp_path / "part.caffemodel"
    found = write(part, source, "conv1", Subset("random", 5), seed=1)
    net, chosen = read_caffemodel(part), found["filters"]
    others = [k for k in range(12) if k not in chosen]
    assert found == {"layer": "conv1", "how": "random", "of": 12, "filters": chosen} and len(chosen) == 5
    assert net["conv1"][0][chosen].tobytes() == FILTERS[chosen].tobytes() and not net["conv1"][0][others].any()
    assert net["conv1"][1].tolist() == [k + 1 if k in chosen else 0 for k in range(12)]
    assert net["conv1_mask"][0].tolist() == [float(k in others) for k in range(12)]
    assert np.array_equal(net["fc"][0], np.ones((2, 5)))
    check(part, source, found)


@pytest.mark.parametrize(
    "layer, k, value", [("conv1", "kept", 0.5), ("conv1", "other", 0.5), ("conv1_mask", "kept", 1)]
)
def test_a_net_that_has_other_filters_than_the_chosen_is_found_out(source, tmp_path, layer, k, value):
    part = tmp_path / "part.caffemodel"
    found = write(part, source, "conv1", Subset("random", 5), seed=1)
    net = {name: [array.copy() for array in arrays] for name, arrays in read_caffemodel(part).items()}
    number = found["filters"][0] if k == "kept" else next(x for x in range(12) if x not in found["filters"])
    net[layer][0][number] = value
    part.write_bytes(caffemodel_bytes(net))
    with pytest.raises(ProofFailed, match="conv1"):
        check(part, source, found)
