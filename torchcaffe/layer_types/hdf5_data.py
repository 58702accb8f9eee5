"""HDF5Data: blobs of HDF5 files, one data set per top.

Source followed: BVLC Caffe's hdf5_data_layer.cpp.
"""

from pathlib import Path

import numpy as np

from torchcaffe.common import log
from torchcaffe.common.hdf5_file import as_float32, open_file
from torchcaffe.layer_types.base import Blob, to_device
from torchcaffe.layer_types.base_data import BaseDataLayer
from torchcaffe.random.rng import State


class HDF5Data(BaseDataLayer):
    """The rows of the files that a list names, file by file, over and over. One file at a time is held in memory.

    `shuffle` gives each round another order of the files, and each file another order of its rows. As in Caffe, these
    orders come from C's rand(), which random_seed does not change.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.hdf5_data_param
        self.check(not self.param.HasField("transform_param"), "does not transform data; leave out transform_param")
        self.check(param.batch_size > 0, "batch_size is not given, or 0")
        log.info("hdf5_data_layer.cpp:81", f"Loading list of HDF5 filenames from: {param.source}")
        self._files = self._listed(param.source)
        log.info("hdf5_data_layer.cpp:95", f"Number of HDF5 files: {len(self._files)}")
        self.check(self._files, f"Must have at least 1 HDF5 filename listed in {param.source}")
        self._names = [blob.name for blob in top]
        self._shapes: list[tuple[int, ...]] = []
        self._order, self._file = list(range(len(self._files))), 0
        self._shuffle(self._order)
        self._load()
        self._shapes = [array.shape[1:] for array in self._arrays]
        for blob, shape in zip(top, self._shapes, strict=True):
            blob.reshape(param.batch_size, *shape)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        missing, parts = self.param.hdf5_data_param.batch_size, []
        while missing:
            rows = self._rows[self._row : self._row + missing]
            parts.append([array[rows] for array in self._arrays])
            missing -= len(rows)
            self._row += len(rows)
            if self._row == len(self._rows):
                self._begin_next()
        for blob, arrays in zip(top, zip(*parts, strict=True), strict=True):
            blob.value = to_device(np.concatenate(arrays), self.context)

    def _listed(self, source: str) -> list[str]:
        """The names of the files, which white space separates in the list."""
        try:
            return Path(source).read_bytes().decode(errors="surrogateescape").split()
        except OSError as error:
            raise self.refuse(f"Failed to open source file: {source}: {error.strerror}") from None

    def _shuffle(self, items: list[int]) -> None:
        if self.param.hdf5_data_param.shuffle:
            self.context.c_rand.shuffle(items)

    def _begin_next(self) -> None:
        """Goes on to the next file, or to the first row of the only one."""
        if len(self._files) > 1:
            self._file += 1
            if self._file == len(self._files):
                self._file = 0
                self._shuffle(self._order)
            self._load()
        self._row = 0
        self._shuffle(self._rows)

    def _load(self) -> None:
        """Reads the current file and sets the order of its rows."""
        self._read()
        self._row, self._rows = 0, list(range(len(self._arrays[0])))
        self._shuffle(self._rows)

    def _read(self) -> None:
        path = self._files[self._order[self._file]]
        with open_file(path, "hdf5_data_layer.cpp:32", "HDF5 file of data") as file:
            for name in self._names:
                self.check(name in file, f"{path}: Failed to find HDF5 dataset {name}; there are {', '.join(file)}")
            self._arrays = [as_float32(file[name], f"{path}: data set {name}") for name in self._names]
        self._check_arrays(path)

    def _check_arrays(self, path: str) -> None:
        """Raises Fatal for arrays that do not fit together; BVLC Caffe reads beyond some of them."""
        for name, array in zip(self._names, self._arrays, strict=True):
            self.check(array.ndim >= 1 and len(array), f"{path}: data set {name} of {array.shape} has no rows")
            uneven = f"{path}: data set {name} has {len(array)} rows, but {self._names[0]} {len(self._arrays[0])}"
            self.check(len(array) == len(self._arrays[0]), uneven)
        for name, array, shape in zip(self._names, self._arrays, self._shapes, strict=False):
            other = f"{path}: data set {name} has rows of {array.shape[1:]}, but those of the first file are of {shape}"
            self.check(array.shape[1:] == shape, other)

    def state(self) -> State:
        """Arrays that determine the next batches: `file`, `row`, `order`, `rows`, and the state of C's rand()."""
        numbers = {"file": self._file, "row": self._row, "order": self._order, "rows": self._rows}
        return {name: np.array(value, np.int64) for name, value in numbers.items()} | self.context.c_rand.state()

    def restore(self, state: State) -> None:
        order, rows = state["order"].tolist(), state["rows"].tolist()
        other = "the list of files, or one of them, is not what it was when the snapshot was taken; "
        other += "remove the resume file next to the solverstate to begin with the first row again"
        self.check(len(order) == len(self._files), other)
        self._order, self._file = order, int(state["file"])
        self._read()
        self.check(len(rows) == len(self._arrays[0]), other)
        self._rows, self._row = rows, int(state["row"])
        self.context.c_rand.restore(state)
