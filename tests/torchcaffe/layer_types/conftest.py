"""Data that tests of several layer types read."""

from pathlib import Path

import h5py
import numpy as np
import pytest


@pytest.fixture(scope="module")
def hdf5_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three HDF5 files of 5, 1 and 8 rows, `one` (a list of the first) and `all`."""
    folder = tmp_path_factory.mktemp("hdf5")
    random = np.random.default_rng(1)
    for index, rows in enumerate((5, 1, 8)):
        with h5py.File(folder / f"{index}.h5", "w") as file:
            file["x"] = random.standard_normal((rows, 2, 3, 4)) * (1 if index else 1e3)
            file["label"] = random.integers(0, 9, rows)
            file["vectors"] = random.standard_normal((rows, 7)).astype(np.float32)
    (folder / "one").write_text(f"{folder}/0.h5\n")
    (folder / "all").write_text("".join(f"{folder}/{index}.h5\n" for index in range(3)))
    return folder
