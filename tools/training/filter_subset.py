"""Which filters of a layer are transferred, and the source net with only these (thesis section 7.1).

By random draw: the first m of a seeded permutation, so that 24 of them are among 72. By clustering: k-means with m
clusters of the filters, each a vector of its weights as they are; of each cluster the filter nearest to its centre.
"""

from pathlib import Path

import numpy as np

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.nets.surgery import MASK
from tools.protocol.conditions import Subset
from tools.training.proofs import ProofFailed

Weights = dict[str, list[np.ndarray]]
STARTS = 4  # of k-means, of which the best is taken


def choose(weights: np.ndarray, subset: Subset, seed: int) -> list[int]:
    """The chosen filters' numbers, in order. `weights` is (K, ...), a filter a row.

    Raises UserError where there are fewer different filters than clusters.
    """
    if subset.how == "random":
        return sorted(np.random.RandomState(seed).permutation(len(weights))[: subset.count].tolist())
    from sklearn.cluster import KMeans  # takes a second to import

    rows = weights.reshape(len(weights), -1)
    different = len(np.unique(rows, axis=0))
    if different < subset.count:
        raise UserError(f"{subset.count} clusters of {different} different filters; choose fewer, or `random`")
    found = KMeans(subset.count, n_init=STARTS, random_state=seed).fit(rows)
    away = np.linalg.norm(rows - found.cluster_centers_[found.labels_], axis=1)
    return sorted(min(np.flatnonzero(found.labels_ == k), key=away.__getitem__).item() for k in range(subset.count))


def write(path: Path, source: Path, layer: str, subset: Subset, seed: int) -> dict:
    """Writes the source net `source` with only the chosen filters of `layer`, and says which they are.

    In it the other filters and their biases are 0, and the Scale layer of tools/nets/surgery.py has 1 for the channels
    that these leave to the target net's own filters.
    """
    net = read_caffemodel(source)
    chosen = choose(net[layer][0], subset, seed)
    kept = np.zeros(len(net[layer][0]), bool)
    kept[chosen] = True
    parted = {layer: [_rows(array, kept) for array in net[layer]], layer + MASK: [(~kept).astype(np.float32)]}
    write_atomic(path, caffemodel_bytes(net | parted))
    return {"layer": layer, "how": subset.how, "of": len(kept), "filters": chosen}


def _rows(array: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept.reshape(-1, *[1] * (array.ndim - 1)), array, np.float32(0))


def check(path: Path, source: Path, chosen: dict) -> None:
    """Raises ProofFailed unless `path` holds the chosen filters of the source net to the bit, and no others."""
    layer, ours, theirs = chosen["layer"], read_caffemodel(path), read_caffemodel(source)
    kept = np.isin(np.arange(chosen["of"]), chosen["filters"])
    for mine, its in zip(ours[layer], theirs[layer], strict=True):
        if mine[kept].tobytes() != its[kept].tobytes() or mine[~kept].any():
            raise ProofFailed(f"{path}: layer {layer} is not filters {chosen['filters']} of {source}")
    if ours[layer + MASK][0].tolist() != (~kept).astype(float).tolist():
        raise ProofFailed(f"{path}: {layer}{MASK} does not let through exactly the filters that are not copied")
