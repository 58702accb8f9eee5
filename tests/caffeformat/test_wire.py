"""Numbers in protobuf's wire format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeformat.caffeformat_pb2 import BlobShape
from caffeformat.wire import varint


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_seven_bits_go_into_a_byte_the_lowest_first(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded


@given(value=st.integers(0, 2**63 - 1))
def test_protobuf_reads_every_number_back(value: int) -> None:
    data = varint(value)
    assert list(BlobShape.FromString(b"\x0a" + varint(len(data)) + data).dim) == [value]
