from caffeformat import caffeformat_pb2 as _caffeformat_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PackedBlob(_message.Message):
    __slots__ = ["channels", "data", "diff", "double_data", "height", "num", "shape", "width"]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_DATA_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    NUM_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    channels: int
    data: _containers.RepeatedScalarFieldContainer[bytes]
    diff: _containers.RepeatedScalarFieldContainer[bytes]
    double_data: _containers.RepeatedScalarFieldContainer[bytes]
    height: int
    num: int
    shape: _caffeformat_pb2.BlobShape
    width: int
    def __init__(self, num: _Optional[int] = ..., channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[_Iterable[bytes]] = ..., diff: _Optional[_Iterable[bytes]] = ..., shape: _Optional[_Union[_caffeformat_pb2.BlobShape, _Mapping]] = ..., double_data: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PackedLayer(_message.Message):
    __slots__ = ["blobs", "name"]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    blobs: _containers.RepeatedCompositeFieldContainer[PackedBlob]
    name: bytes
    def __init__(self, name: _Optional[bytes] = ..., blobs: _Optional[_Iterable[_Union[PackedBlob, _Mapping]]] = ...) -> None: ...

class PackedNet(_message.Message):
    __slots__ = ["layer", "layers"]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: _containers.RepeatedCompositeFieldContainer[PackedLayer]
    layers: _containers.RepeatedCompositeFieldContainer[PackedV1Layer]
    def __init__(self, layers: _Optional[_Iterable[_Union[PackedV1Layer, _Mapping]]] = ..., layer: _Optional[_Iterable[_Union[PackedLayer, _Mapping]]] = ...) -> None: ...

class PackedV0Layer(_message.Message):
    __slots__ = ["blobs", "name"]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    blobs: _containers.RepeatedCompositeFieldContainer[PackedBlob]
    name: bytes
    def __init__(self, name: _Optional[bytes] = ..., blobs: _Optional[_Iterable[_Union[PackedBlob, _Mapping]]] = ...) -> None: ...

class PackedV1Layer(_message.Message):
    __slots__ = ["blobs", "layer", "name"]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    blobs: _containers.RepeatedCompositeFieldContainer[PackedBlob]
    layer: PackedV0Layer
    name: bytes
    def __init__(self, layer: _Optional[_Union[PackedV0Layer, _Mapping]] = ..., name: _Optional[bytes] = ..., blobs: _Optional[_Iterable[_Union[PackedBlob, _Mapping]]] = ...) -> None: ...
