"""The words of a prototxt. tests/torchcaffe holds whole prototxts against BVLC Caffe."""

import pytest

from caffeformat.tokens import Token, Wrong, line_of, shortened, string_bytes, string_text, tokens


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokens(text)][:-1]


def test_names_numbers_strings_and_signs_are_told_apart_and_comments_are_no_words():
    assert kinds('type: "Data" # a comment\n top: -0x1F .5e-3f') == [
        ("name", "type"),
        ("sign", ":"),
        ("string", '"Data"'),
        ("name", "top"),
        ("sign", ":"),
        ("sign", "-"),
        ("integer", "0x1F"),
        ("float", ".5e-3f"),
    ]


@pytest.mark.parametrize("number", ["0", "017", "0X1f", "12", "1.", "1.5", ".5", "1e4", "1E-4", "1.5e+4F", "2f"])
def test_a_number_of_cpp_is_one_word(number: str):
    assert [text for _, text in kinds(number)] == [number]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1_000", "1_000 is not a number; write it without _"),
        ("0b11", "0b11 is not a number"),
        ("089", "octal"),
        ("1.2.3", "not a number"),
        ("'open", "a string without its closing '"),
        ("a\u00a0b", r"no-break space \(U\+00A0\)"),
        ("a\udcffb", "the byte 0xff is not UTF-8"),
    ],
)
def test_what_is_no_word_is_refused_where_it_stands(text: str, why: str):
    with pytest.raises(Wrong, match=why) as error:
        tokens(f"x\n{text}")
    assert line_of(f"x\n{text}", error.value.at) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a/b"', b"a/b"),
        (r'"\n\t\\\""', b'\n\t\\"'),
        (r"'\101\x41\u0041'", b"AAA"),
        (r'"\ud83d\ude00"', "😀".encode()),
        (r'"\U0001F600"', "😀".encode()),
    ],
)
def test_escapes_of_a_string_are_those_of_cpp(text: str, value: bytes):
    assert string_bytes(Token("string", text, 0)) == value


def test_an_escape_that_cpp_does_not_know_is_refused_and_so_is_a_text_that_is_not_utf8():
    with pytest.raises(Wrong, match=r"\\d in a string is no escape; write / in a path"):
        string_bytes(Token("string", r'"C:\data"', 0))
    with pytest.raises(Wrong, match="the byte 0xff is not UTF-8"):
        string_text(Token("string", r'"\377"', 0))


def test_a_long_text_is_quoted_in_part():
    assert shortened("a" * 1000) == "a" * 200 + "..." and shortened("a") == "a"
