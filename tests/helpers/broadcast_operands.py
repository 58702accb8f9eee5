"""Operands of Bias and Scale: which axes of the first bottom, of shape (2, 3, 4, 5), they have."""

SHAPE = (2, 3, 4, 5)

# Settings of a learned operand.
LEARNED = {
    "a value a channel": "",
    "of one axis further on": "axis: 2",
    "counted from the end": "axis: -1",
    "of two axes": "axis: 1 num_axes: 2",
    "to the end": "axis: 1 num_axes: -1",
    "of the first axis": "axis: 0",
    "of the first two axes": "axis: 0 num_axes: 2",
    "of all axes": "axis: 0 num_axes: -1",
    "a single value": "num_axes: 0",
    "a single value, whatever the axis": "num_axes: 0 axis: 3",
}

# Settings, and the shape of an operand that is a bottom.
SECOND = {
    "a value an image": ("axis: 0", (2,)),
    "a value a channel": ("", (3,)),
    "of two axes": ("axis: -2", (4, 5)),
    "of all axes": ("axis: 0", (2, 3, 4, 5)),
    "a single value, in one axis": ("axis: 0", (1,)),
    "a single value": ("axis: 2", ()),
}
