"""Our schema has every message, field, default and enum of the real one, and nothing else."""

import ast
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2 as protos

from caffeformat import caffeformat_pb2, weights_pb2

OURS = protos.FileDescriptorProto.FromString(caffeformat_pb2.DESCRIPTOR.serialized_pb)
DUMP = "from caffe.proto import caffe_pb2; print(caffe_pb2.DESCRIPTOR.serialized_pb.hex())"


@pytest.fixture(scope="module")
def real(ask_pycaffe) -> protos.FileDescriptorProto:
    return protos.FileDescriptorProto.FromString(bytes.fromhex(ask_pycaffe(DUMP)))


def default(field: protos.FieldDescriptorProto) -> str | float | None:
    if not field.HasField("default_value"):
        return None
    return np.float32(field.default_value) if field.type == field.TYPE_FLOAT else field.default_value


def described(message: protos.DescriptorProto) -> dict[str, tuple]:
    """Field by name: number, label, type, the named type without its package, default, packed."""
    return {
        field.name: (
            field.number,
            field.label,
            field.type,
            field.type_name.removeprefix(".caffeformat").removeprefix(".caffe"),
            default(field),
            field.options.packed,
        )
        for field in message.field
    }


def values(enums: list[protos.EnumDescriptorProto]) -> dict[str, dict[str, int]]:
    return {enum.name: {value.name: value.number for value in enum.value} for enum in enums}


def test_the_messages_are_those_of_real_caffe(real):
    assert sorted(m.name for m in OURS.message_type) == sorted(m.name for m in real.message_type)
    assert len(OURS.message_type) == 63


def test_the_enums_outside_messages_are_those_of_real_caffe(real):
    assert values(OURS.enum_type) == values(real.enum_type) == {"Phase": {"TRAIN": 0, "TEST": 1}}


@pytest.mark.parametrize("message", OURS.message_type, ids=lambda m: m.name)
def test_a_message_has_the_fields_and_enums_of_the_real_one(message, real):
    theirs = {m.name: m for m in real.message_type}[message.name]
    assert described(message) == described(theirs)
    assert values(message.enum_type) == values(theirs.enum_type)


@pytest.mark.parametrize(
    "packed, full",
    [
        ("PackedBlob", "BlobProto"),
        ("PackedNet", "NetParameter"),
        ("PackedLayer", "LayerParameter"),
        ("PackedV1Layer", "V1LayerParameter"),
        ("PackedV0Layer", "V0LayerParameter"),
    ],
)
def test_the_packed_views_number_their_fields_as_the_messages_that_they_view(packed, full):
    view = weights_pb2.DESCRIPTOR.message_types_by_name[packed]
    viewed = caffeformat_pb2.DESCRIPTOR.message_types_by_name[full]
    assert view.fields
    for field in view.fields:
        assert field.number == viewed.fields_by_name[field.name].number


@pytest.mark.parametrize("module", [caffeformat_pb2, weights_pb2], ids=lambda m: m.__name__)
def test_the_stubs_name_the_messages_and_fields_of_the_schema(module):
    tree = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    stubs = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, message in module.DESCRIPTOR.message_types_by_name.items():
        attributes = {node.target.id for node in stubs[name].body if isinstance(node, ast.AnnAssign)}
        assert {field.name for field in message.fields} <= attributes
