"""Caffe's messages under pycaffe's name: `from torchcaffe.proto import caffe_pb2`."""

from caffeformat.caffeformat_pb2 import *  # noqa: F403
