"""ONNX and safetensors come with `make torchcaffe`."""

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")
