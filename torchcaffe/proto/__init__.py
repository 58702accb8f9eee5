"""pycaffe's package `proto`."""

from torchcaffe.proto import caffe_pb2

__all__ = ["caffe_pb2"]
