"""Protobuf's wire format, for messages written by hand: their values are then copied as one block, not one by one."""


def varint(value: int) -> bytes:
    """`value`, 0 or more, as protobuf encodes it: seven bits per byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
