"""Chooses the filters of a layer that are transferred, and writes the source net with only these (thesis, 7.1).

random: the first m of a seeded permutation, so that the chosen 24 are among the chosen 72.
kmeans: k-means with m clusters over the filters' weight vectors; of each cluster the filter nearest to its centre.
"""

from pathlib import Path
from typing import Any

import numpy as np

from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.nets.surgery import MASK
from tools.protocol.conditions import Subset
from tools.training.proofs import ProofFailed

STARTS = 4  # number of starts of k-means; the best result is used


def choose(weights: np.ndarray, subset: Subset, seed: int) -> list[int]:
    """The sorted indices of the chosen filters. `weights` is (K, ...), one filter per row.

    Raises UserError if there are fewer distinct filters than clusters.
    """
    if subset.how == "random":
        return sorted(np.random.RandomState(seed).permutation(len(weights))[: subset.count].tolist())
    from sklearn.cluster import KMeans  # takes a second to import

    rows = weights.reshape(len(weights), -1)
    distinct = len(np.unique(rows, axis=0))
    if distinct < subset.count:
        raise UserError(f"{subset.count} clusters of {distinct} different filters; choose fewer, or `random`")
    clusters = KMeans(subset.count, n_init=STARTS, random_state=seed).fit(rows)
    distance = np.linalg.norm(rows - clusters.cluster_centers_[clusters.labels_], axis=1)
    members = (np.flatnonzero(clusters.labels_ == k) for k in range(subset.count))
    return sorted(int(of_cluster[distance[of_cluster].argmin()]) for of_cluster in members)


def write(path: Path, source: Path, layer: str, subset: Subset, seed: int) -> dict[str, Any]:
    """Writes to `path` the source net with only the chosen filters of `layer`. Returns which filters these are.

    The other filters and their biases are 0. The mask layer of tools/nets/surgery.py, a Scale, has a 1 for each of
    their channels: there the target net's own filters are used.
    """
    net = read_caffemodel(source)
    chosen = choose(net[layer][0], subset, seed)
    kept = np.zeros(len(net[layer][0]), bool)
    kept[chosen] = True
    changed = {layer: [_zero_others(array, kept) for array in net[layer]], layer + MASK: [(~kept).astype(np.float32)]}
    write_atomic(path, caffemodel_bytes(net | changed))
    return {"layer": layer, "how": subset.how, "of": len(kept), "filters": chosen}


def _zero_others(array: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The array with the rows that are not `kept` set to 0."""
    return np.where(kept.reshape(-1, *[1] * (array.ndim - 1)), array, np.float32(0))


def check(path: Path, source: Path, chosen: dict[str, Any]) -> None:
    """Raises ProofFailed unless `path` has exactly the chosen filters of the source net, bit by bit, and no others.

    `chosen`: what `write` returned.
    """
    layer, ours, theirs = chosen["layer"], read_caffemodel(path), read_caffemodel(source)
    kept = np.isin(np.arange(chosen["of"]), chosen["filters"])
    for mine, its in zip(ours[layer], theirs[layer], strict=True):
        if mine[kept].tobytes() != its[kept].tobytes() or mine[~kept].any():
            raise ProofFailed(f"{path}: layer {layer} is not filters {chosen['filters']} of {source}")
    if ours[layer + MASK][0].tolist() != (~kept).astype(float).tolist():
        raise ProofFailed(f"{path}: {layer}{MASK} does not let through exactly the filters that are not copied")
