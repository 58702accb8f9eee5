"""Caffe's file formats: prototxt, Datum LMDBs, binaryproto means and caffemodels, read and written without Caffe.

The schema is `caffeformat.proto`: compatible on the wire and in text with BVLC Caffe 1.0's `caffe.proto`, under a proto
package name of its own, so that it can live in one process with pycaffe. `weights.proto` views the same bytes with
every blob's values left packed. Both are compiled with the oldest protoc whose output today's runtimes still load
(3.21; protobuf runtimes from 4.21 on). To regenerate, from the root of the checkout:

    protoc --python_out=. caffeformat/caffeformat.proto caffeformat/weights.proto

Modules: `prototxt` (text), `datum` (one image), `lmdb_file` (a database of them), `blobs` (arrays, means, weights).
"""

from caffeformat.errors import FormatError

__all__ = ["FormatError"]
