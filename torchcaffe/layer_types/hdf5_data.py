"""HDF5Data: blobs of HDF5 files, a data set of a file for each top. HDF5Output: two blobs into such a file.

Source followed: BVLC Caffe's hdf5_data_layer.cpp and hdf5_output_layer.cpp.
"""

from pathlib import Path

import numpy as np

from torchcaffe.common import log
from torchcaffe.common.hdf5_file import as_float32, new_file, open_file
from torchcaffe.layer_types.base import Blob, Fatal, Layer, to_device
from torchcaffe.layer_types.base_data import _Source
from torchcaffe.random.rng import State


class HDF5Data(_Source):
    """The rows of the files that a list names, one file after the other, without end; each file is held in memory.

    With `shuffle` the files come in another order in each round, and so do the rows of a file, by C's rand() as in
    Caffe, which no random_seed changes.
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
        missing, pieces = self.param.hdf5_data_param.batch_size, []
        while missing:
            rows = self._rows[self._row : self._row + missing]
            pieces.append([array[rows] for array in self._arrays])
            missing -= len(rows)
            self._row += len(rows)
            if self._row == len(self._rows):
                self._begin_next()
        for blob, parts in zip(top, zip(*pieces, strict=True), strict=True):
            blob.value = to_device(np.concatenate(parts), self.context)

    def _listed(self, source: str) -> list[str]:
        """The names in a list, which white space separates."""
        try:
            return Path(source).read_bytes().decode(errors="surrogateescape").split()
        except OSError as error:
            raise self.refuse(f"Failed to open source file: {source}: {error.strerror}") from None

    def _shuffle(self, items: list[int]) -> None:
        if self.param.hdf5_data_param.shuffle:
            self.context.c_rand.shuffle(items)

    def _begin_next(self) -> None:
        """Goes on to the next file, where there is one."""
        if len(self._files) > 1:
            self._file += 1
            if self._file == len(self._files):
                self._file = 0
                self._shuffle(self._order)
            self._load()
        self._row = 0
        self._shuffle(self._rows)

    def _load(self) -> None:
        """Reads the file at hand and puts its rows in order."""
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
        """Raises Fatal where BVLC Caffe would read beyond its arrays, too."""
        for name, array in zip(self._names, self._arrays, strict=True):
            self.check(array.ndim >= 1 and len(array), f"{path}: data set {name} of {array.shape} has no rows")
            found = f"{path}: data set {name} has {len(array)} rows, but {self._names[0]} {len(self._arrays[0])}"
            self.check(len(array) == len(self._arrays[0]), found)
        for name, array, shape in zip(self._names, self._arrays, self._shapes, strict=False):
            found = f"{path}: data set {name} has rows of {array.shape[1:]}, but those of the first file are of {shape}"
            self.check(array.shape[1:] == shape, found)

    def state(self) -> State:
        """What decides the batches still to be used."""
        numbers = {"file": self._file, "row": self._row, "order": self._order, "rows": self._rows}
        return {name: np.array(value, np.int64) for name, value in numbers.items()} | self.context.c_rand.state()

    def restore(self, state: State) -> None:
        order, rows = state["order"].tolist(), state["rows"].tolist()
        other = "the list of files, or one of them, is not what it was when the snapshot was taken; "
        other += "remove the file beside the solverstate to begin the data anew"
        self.check(len(order) == len(self._files), other)
        self._order, self._file = order, int(state["file"])
        self._read()
        self.check(len(rows) == len(self._arrays[0]), other)
        self._rows, self._row = rows, int(state["row"])
        self.context.c_rand.restore(state)


class HDF5Output(Layer):
    """Writes its bottoms as the data sets `data` and `label`, of four axes each, of one forward pass.

    BVLC Caffe cannot add a second batch to its file and stops there; so does this, with the file of the first left.
    """

    n_bottoms = (2, 2)
    n_tops = (0, 0)
    recordable = False

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(self.param.hdf5_output_param.file_name, "file_name is not given")
        self._written = False

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in bottom:
            axes = len(blob.shape)
            self.check(1 <= axes <= 4, f"a bottom of {axes} axes, '{blob.name}'; 1 to 4 can be written")
        same = bottom[0].shape[0] == bottom[1].shape[0]
        self.check(
            same, f"data blob and label blob must have the same batch size: {bottom[0].shape}, {bottom[1].shape}"
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        path = self.param.hdf5_output_param.file_name
        if self._written:
            one = f"{self.where}: layer '{self.name}': {path} holds a batch already, and Caffe's file takes one only"
            raise Fatal(f"{one}; run one iteration, with a batch_size of all that is wanted", "hdf5.cpp:124")
        log.info("hdf5_output_layer.cpp:33", f"Saving HDF5 file {path}")
        with new_file(path) as file:
            for name, blob in zip(("data", "label"), bottom, strict=True):
                file[name] = blob.data.astype(np.float32, copy=False).reshape(*blob.shape, *[1] * (4 - len(blob.shape)))
        log.info("hdf5_output_layer.cpp:38", f"Successfully saved {bottom[0].shape[0]} rows")
        self._written = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """As in Caffe, none is handed on."""
