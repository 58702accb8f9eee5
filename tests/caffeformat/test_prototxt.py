"""Prototxt: wrong ones are refused with the line and a hint; real Caffe reads those that are written."""

import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from caffeformat import FormatError, caffeformat_pb2, prototxt
from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter

# ---- Mistakes ------------------------------------------------------------------------------------------------------

MISTAKES = {
    "unknown field, near a known one": (
        'name: "n"\nlayer {\n  convolution_param { kernal_size: 3 }\n}',
        'net:3: ConvolutionParameter has no field "kernal_size"; did you mean kernel_size?',
    ),
    "field one level too high": (
        "layer {\n  dropout_ratio: 0.5\n}",
        'net:2: LayerParameter has no field "dropout_ratio"; it belongs inside dropout_param',
    ),
    "unknown field of a small message": (
        "layer { tile_param {\n count: 2 } }",
        'net:2: TileParameter has no field "count"; known: axis, tiles',
    ),
    "enum value, misspelt": (
        "layer { pooling_param {\n pool: MAXX } }",
        "net:2: PoolMethod has no value MAXX; did you mean MAX?",
    ),
    "enum value in small letters": (
        "state {\n phase: train }",
        "net:2: Phase has no value train; did you mean TRAIN?",
    ),
    "enum number that is none": (
        "layer { pooling_param { pool: 7 } }",
        "net:1: PoolMethod has no value 7; known: MAX, AVE, STOCHASTIC",
    ),
    "second value for a single field": (
        'name: "a"\nname: "b"',
        'net:2: NetParameter has a second "name"; it takes one',
    ),
    "block that is never closed": (
        'layer {\n  name: "a"\n',
        "net:2: the file ends inside a block: a } is missing",
    ),
    "block closed twice": ("layer { }\n}", "net:2: found }; the name of a field is needed here"),
    "string without its end": ('\nname: "a', 'net:2: a string without its closing ": "a'),
    "a sign that no number has": ("\ninput_dim: +1", "net:2: input_dim: found +; an integer is needed"),
    "an underscore": ("input_dim: 1_000", "net:1: 1_000 is not a number; write it without _"),
    "an 8 after a zero": (
        "input_dim: 08",
        "net:1: 08 is not a number; one that begins with 0 is octal, and has no 8 or 9",
    ),
    "a no-break space": (
        "name: 'n'\ninput_dim:\u00a01",
        "net:2: no-break space (U+00A0) stands outside of a string or comment; type it again in plain ASCII",
    ),
    "a Windows path": (
        r'name: "C:\data"',
        "net:1: \\d in a string is no escape; write / in a path, or \\\\ for one \\",
    ),
    "number for a string": ("\n\nname: 3", "net:3: name: found 3; a string in quotes is needed"),
    "fraction for an integer": ("input_dim: 1\ninput_dim: 3.5", "net:2: input_dim: found 3.5; an integer is needed"),
    "integer too large": (
        "input_dim: 2147483648",
        "net:1: input_dim: 2147483648 is out of range; it takes -2147483648 to 2147483647",
    ),
    "word for a bool": ("\nforce_backward: yes", "net:2: force_backward: found yes; true or false is needed"),
    "required field left out": (
        "layer { clip_param { min: 1 } }",
        "net: required but not given: layer[0].clip_param.max",
    ),
}


@pytest.mark.parametrize("text, message", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_what_would_be_right(text, message):
    with pytest.raises(FormatError) as error:
        prototxt.parse(text, NetParameter(), "net")
    assert str(error.value) == message


def test_a_mistake_in_a_file_is_named_with_the_path(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text('net: "a"\nbase_lr: 0.01\nmax_iters: 10\n')
    with pytest.raises(FormatError) as error:
        prototxt.read_solver(path)
    assert str(error.value) == f'{path}:3: SolverParameter has no field "max_iters"; did you mean max_iter?'


FILES = {
    "no file": (None, "cannot be read: No such file or directory"),
    "a caffemodel": (NetParameter(name="n", input_dim=[1, 0]).SerializeToString() + b"\0", "a binary file"),
    "a name in Latin-1": ('# a\nname: "é"'.encode("latin-1"), ":2: the byte 0xe9 is not UTF-8"),
    "a field in Latin-1": ('# a\nnamé: "e"'.encode("latin-1"), ":2: "),
}


@pytest.mark.parametrize("content, phrase", FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_prototxt_is_refused(content, phrase, tmp_path):
    path = tmp_path / "net.prototxt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        prototxt.read_net(path)
    assert str(error.value).startswith(str(path))
    assert phrase in str(error.value)
    str(error.value).encode()  # and it can be printed


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        prototxt.read_net(tmp_path)


def test_an_editors_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'\xef\xbb\xbfname: "n"')
    assert prototxt.read_net(path).name == "n"


WORDS = r"layer layers name type input_dim pool pooling_param { } < > [ ] : , ; ' # - \ \x 3 0x 1e9 -inf true MAX [a.b]"
PIECES = st.sampled_from([*WORDS.split(), '"', "\n", "\0", "é", "\udce9"]) | st.text(max_size=3)


@given(st.lists(PIECES).map(" ".join))
def test_whatever_the_text_is_only_a_format_error_escapes(text):
    try:
        net = prototxt.parse(text, NetParameter(), "net")
    except FormatError as error:
        assert str(error).startswith("net:")
    else:
        assert prototxt.parse(prototxt.to_text(net), NetParameter(), "again") == net


# ---- Real Caffe agrees ---------------------------------------------------------------------------------------------

DIALECT = {
    "octal, hexadecimal": b"input_dim: 010 input_dim: 0x10",
    "bools": b"force_backward: 1 debug_info: t",
    "strings joined": b"name: 'a' \"b\"\n 'c'",
    "escapes": rb'name: "\303\251\n\x41"',
    "angle brackets, separators": b'layer < name: "a" >; layer: { name: "b" },',
    "short lists": b'input_dim: [1, 2] layer [{name: "a"}, {name: "b"}]',
    "floats": b"layer { power_param { power: 1.f shift: .5F scale: -1.e3 } }",
    "floats beyond": b"layer { power_param { power: 1e39 shift: -INF scale: nan } }",
    "enum by number": b"layer { pooling_param { pool: 1 } }",
    "a sign with a space after it": b"input_dim: [- 1, -\n2, - # why\n3] layer { power_param { shift: - 0.1 } }",
    "floats at the ends": b"layer { power_param { power: 5. shift: -.5 scale: 1e400 } }",
    "large integers": b"layer { power_param { power: 18446744073709551616 scale: - 10000000000000000000 } }",
    "bools and enums by octal and hexadecimal number": b"force_backward: 01 debug_info: 0x0 state { phase: 0x1 }",
    "integers at the ends": b"input_dim: 2147483647 input_dim: -0x80000000 input_shape { dim: -9223372036854775808 }",
    "escapes of one sign": rb"""name: '\n\t\r\a\b\f\v\\\?\'\"'""",
    "escapes of numbers": rb"name: '\x4\x414\7\1012\400\u00e9\U0001F600\ud83d\ude00'",
    "a control character in a string": b"name: 'a\x01\tb'",
    "unusual white space": b"\x0cname:\x0b'a'\r\rinput_dim:1",
    "no space where none is needed": b"name:'a''b'input_dim:[1]layer{}layer<>",
    "empty lists": b"name: 'a' input_dim: [] layer [] layer: []",
    "a comment in Latin-1": b'name: "a" # caf\xe9',
    "a name in UTF-8": 'name: "é"'.encode(),
}
REFUSED = {
    "unknown field": b"naem: 1",
    "two names": b'name: "a" name: "b"',
    "no colon": b'name "a"',
    "capital bool": b"force_backward: TRUE",
    "hexadecimal float": b"layer { power_param { power: 0x10 } }",
    "no space": b"input_dim: 1input_dim: 2",
    "missing max": b"layer { clip_param { min: 1 } }",
    "plus": b"layer { power_param { power: +0.1 } }",
    "plus of an integer": b"input_dim: +1",
    "minus zero without a sign": b"layer { convolution_param { num_output: -0 } }",
    "underscore": b"input_dim: 1_000",
    "underscore in a float": b"layer { power_param { power: 0.1_0 } }",
    "binary": b"input_dim: 0b11",
    "Python's octal": b"input_dim: 0o17",
    "an octal 8": b"input_dim: 08",
    "an octal float": b"layer { power_param { power: 010 } }",
    "a hexadecimal number without digits": b"input_dim: 0x",
    "an exponent without digits": b"layer { power_param { power: 1e+ } }",
    "two points": b"layer { power_param { power: 1.5.2 } }",
    "an f after an integer": b"input_dim: 1f",
    "a number that is none in C": b"layer { power_param { power: 1.#INF } }",
    "an integer with 5,000 digits": b"input_dim: " + b"9" * 5000,
    "a full-width digit": "input_dim: １".encode(),
    "an Arabic digit": "input_dim: ١".encode(),
    "a minus sign of print": "input_dim: −1".encode(),
    "a no-break space": "input_dim: 1\u00a0".encode(),
    "a control character": b"\x1fname: 'a'",
    "DEL": b"name: 'a'\x7f",
    "quotes of print": "name: “a”".encode(),
    "an unknown escape": rb"name: '\d'",
    "a Windows path": rb'name: "C:\data\net.prototxt"',
    "a capital X": rb"name: '\X41'",
    "a short escape": rb"name: '\u004'",
    "a string on two lines": b"name: 'a\nb'",
    "an escaped end of a line": b"name: 'a\\\nb'",
    "strings with a comma": b"name: 'a','b'",
    "two separators": b"input_dim: 1;; input_dim: 2",
    "a list with a comma at its end": b"input_dim: [1,]",
    "a list with semicolons": b"input_dim: [1; 2]",
    "a list for a single field": b"name: ['a']",
    "a block closed by another sign": b"layer < }",
    "a second block": b"state {} state {}",
    "a word after a dash": b"layer { pooling_param { pool: MAX-1 } }",
    "an enum with a plus": b"layer { pooling_param { pool: +1 } }",
    "an extension": b"[a.b]: 1",
    "a comment of C": b"input_dim: 1 // one",
}


def upgraded(caffe_tools: Path, source: Path, target: Path) -> bool:
    """Have real Caffe's own parser read a net and write it again."""
    tool = caffe_tools / "upgrade_net_proto_text"
    return subprocess.run([tool, source, target], capture_output=True).returncode == 0


@pytest.mark.parametrize("text", DIALECT.values(), ids=DIALECT.keys())
def test_the_dialect_of_real_caffe_is_read_as_it_reads_it(text, caffe_tools, tmp_path):
    source, target = tmp_path / "net.prototxt", tmp_path / "again.prototxt"
    source.write_bytes(text)
    assert upgraded(caffe_tools, source, target)
    ours, theirs = prototxt.read_net(source), prototxt.read_net(target)
    assert prototxt.to_text(ours) == prototxt.to_text(theirs) != ""


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_real_caffe_refuses_is_refused(text, caffe_tools, tmp_path):
    source = tmp_path / "net.prototxt"
    source.write_bytes(text)
    assert not upgraded(caffe_tools, source, tmp_path / "again.prototxt")
    with pytest.raises(FormatError):
        prototxt.read_net(source)


TEXT_TO_BINARY = """
import sys
from caffe.proto import caffe_pb2
from google.protobuf import text_format
for kind, path in zip(sys.argv[1::2], sys.argv[2::2]):
    with open(path, encoding="utf-8") as file:
        message = text_format.Parse(file.read(), getattr(caffe_pb2, kind)())
    print(message.SerializeToString(deterministic=True).hex())
"""

EXAMPLES = {
    FieldDescriptor.CPPTYPE_STRING: 'a "é"\\',
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_FLOAT: 0.1,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_INT32: -(1 << 31),
    FieldDescriptor.CPPTYPE_INT64: -(1 << 63),
    FieldDescriptor.CPPTYPE_UINT32: (1 << 32) - 1,
}


def fill(message: Message) -> Message:
    """Set every field of `message`, and of the messages in it; lists get two entries."""
    for field in message.DESCRIPTOR.fields:
        times = 2 if field.is_repeated else 1
        if field.message_type and field.is_repeated:
            for _ in range(times):
                fill(getattr(message, field.name).add())
        elif field.message_type:
            fill(getattr(message, field.name))
        else:
            if field.enum_type:
                value = field.enum_type.values[-1].number
            else:
                value = b"\0\xff" if field.type == FieldDescriptor.TYPE_BYTES else EXAMPLES[field.cpp_type]
            setattr(message, field.name, value) if times == 1 else getattr(message, field.name).extend([value] * times)
    return message


def test_real_protobuf_of_caffe_reads_what_we_write_with_every_field_set(ask_pycaffe, tmp_path):
    names = ["NetParameter", "SolverParameter", "SolverState", "BlobProtoVector", "Datum"]
    messages = [fill(getattr(caffeformat_pb2, name)()) for name in names]
    arguments = []
    for name, message in zip(names, messages, strict=True):
        (tmp_path / name).write_text(prototxt.to_text(message), encoding="utf-8")
        arguments += [name, tmp_path / name]
    theirs = ask_pycaffe(TEXT_TO_BINARY, *arguments).split()
    assert theirs == [message.SerializeToString(deterministic=True).hex() for message in messages]


def test_every_template_is_read_as_real_caffe_reads_it_and_written_so(checkout, ask_pycaffe, tmp_path):
    nets = sorted((checkout / "prototxt").rglob("*.prototxt"))
    solvers = sorted((checkout / "solvers").rglob("*.prototxt"))
    assert nets
    assert solvers
    messages = [prototxt.read_net(path) for path in nets] + [prototxt.read_solver(path) for path in solvers]
    arguments = []
    for i, (path, message) in enumerate(zip(nets + solvers, messages, strict=True)):
        again = tmp_path / str(i)
        again.write_text(prototxt.to_text(message))
        kind = "SolverParameter" if isinstance(message, SolverParameter) else "NetParameter"
        arguments += [kind, path, kind, again]
    theirs = ask_pycaffe(TEXT_TO_BINARY, *arguments).split()
    ours = [message.SerializeToString(deterministic=True).hex() for message in messages for _ in range(2)]
    assert theirs == ours


def test_each_layer_of_a_net_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(
        '# layer { in a comment }\nname: "layer { \\" {"\nlayer {\n  name: \'a # {\'\n  include { phase: TEST } }\n'
        'layer: < name: "b" >  layer{ name: "layer" }\n'
    )
    assert prototxt.layer_lines(file) == [3, 6, 6]
    assert [layer.name for layer in prototxt.read_net(file).layer] == ["a # {", "b", "layer"]


def test_a_field_is_found_outside_of_blocks_texts_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "solver.prototxt"
    file.write_text('# display: 3\nnet: "display: 3"\ntest_state { stage: "x" level: 3 }\nlevel: 1 display: 20\n')
    assert [prototxt.field_lines(file, name) for name in ("display", "level", "snapshot")] == [[4], [4], []]


def test_a_place_is_the_line_of_the_first_field_that_is_there_or_else_the_file(tmp_path: Path) -> None:
    file = tmp_path / "solver.prototxt"
    file.write_text('lr_policy: "step"\ngamma: 0.1\n')
    assert prototxt.place_of(file, "gamma", "lr_policy") == f"{file}:2"
    assert prototxt.place_of(file, "stepsize", "lr_policy") == f"{file}:1"
    assert prototxt.place_of(file, "stepsize") == str(file)
    assert prototxt.place_of("no file", "gamma") == "no file"


def test_the_text_of_a_net_is_protobufs_own_with_every_field_set_and_when_written_again() -> None:
    net = fill(caffeformat_pb2.NetParameter())
    for _ in range(2):
        assert prototxt.to_text(net) == text_format.MessageToString(net, as_utf8=True)
        net.layer[0].name += "é"
