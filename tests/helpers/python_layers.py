"""Layers in Python, as a user writes them: for real Caffe and for torchcaffe, whichever `caffe` is."""

import caffe
import numpy as np


class Weighted(caffe.Layer):
    """A parameter for each channel, times the number in param_str, which is doubled in the phase TEST."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str) * (1 + self.phase)
        if len(self.blobs) == 0:
            self.blobs.add_blob(bottom[0].shape[1])
        self.blobs[0].data[...] = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * self.blobs[0].data[:, None, None] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += self.factor * (top[0].diff * bottom[0].data).sum(axis=(0, 2, 3))
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * self.blobs[0].data[:, None, None] * top[0].diff


class Distance(caffe.Layer):
    """The mean squared distance of two blobs of one shape. It tells which gradients it is asked for."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("two bottoms are needed")

    def reshape(self, bottom, top):
        top[0].reshape(1)
        top[1].reshape(2)

    def forward(self, bottom, top):
        self.difference = bottom[0].data - bottom[1].data
        top[0].data[0] = (self.difference**2).sum() / bottom[0].shape[0]
        self.asked = top[1]

    def backward(self, top, propagate_down, bottom):
        self.asked.data[...] = propagate_down
        for index in range(2):
            if propagate_down[index]:
                sign = 1 - 2 * index
                bottom[index].diff[...] = 2 * sign * top[0].diff[0] * self.difference / bottom[0].shape[0]


class KeepsItsArrays(caffe.Layer):
    """Takes its arrays once, in the setup, and adds up what it sees."""

    def setup(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        self.arrays = bottom[0].data, top[0].data.reshape(-1)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.arrays[1][::2] += self.arrays[0].reshape(-1)[::2]

    def backward(self, top, propagate_down, bottom):
        pass


class Batches(caffe.Layer):
    """Data: one row more in each batch, from 2 to 5. Only the part that changes is written."""

    def setup(self, bottom, top):
        self.batch = 0

    def reshape(self, bottom, top):
        self.batch += 1
        rows = 2 + self.batch % 4
        top[0].reshape(rows, 3, 2)
        top[1].reshape(rows)

    def forward(self, bottom, top):
        rows = top[0].shape[0]
        top[0].data[...] = np.arange(rows * 6).reshape(rows, 3, 2) * 0.1 * self.batch
        top[1].data[0] = self.batch % 3

    def backward(self, top, propagate_down, bottom):
        pass


class Fails(caffe.Layer):
    """Raises in the method that param_str names."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.table = {}

    def fail(self, method):
        if self.param_str == method:
            return self.table[method]

    def setup(self, bottom, top):
        self.fail("setup")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        self.fail("reshape")

    def forward(self, bottom, top):
        self.fail("forward")

    def backward(self, top, propagate_down, bottom):
        self.fail("backward")


class WithoutForward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass


class NoLayer:
    pass
