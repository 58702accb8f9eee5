"""Caffe's file formats: prototxt, Datum LMDBs, binaryproto means and caffemodels, read and written without Caffe.

The schema is `caffeformat.proto`. It is compatible on the wire and in text with `caffe.proto` of BVLC Caffe 1.0. Its
proto package has another name, so that both can be loaded in one process. `weights.proto` describes the same bytes, but
leaves the values of blobs packed. `make protos` compiles both into `*_pb2.py` and `*_pb2.pyi`, the types.

Modules: `prototxt` (text), `datum` (one image), `lmdb_file` (a database of them), `blobs` (arrays, means, weights).
"""

from caffeformat.errors import FormatError

__all__ = ["FormatError"]
