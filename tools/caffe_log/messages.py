"""What a solver's messages look like. Each pattern is matched where the message starts."""

import re
from collections.abc import Iterable

from tools.caffe_log.glog import last_prefix, plain_text

ITERATION = re.compile(
    r"Iteration (\d{1,18})(?: \((?:(\S+) iter/s, (\S+)s/.*?|\S+ s|\S+/s)\))?, (?:\d\S*ep, )?"
    r"(?:(loss|lr) = ([^\s,\x1b\[]+)(?:\s*$|, m(?:omentum)? = )|Testing net(?: \(#(\d{1,9})\))?\s*$"
    r"|(Test score #\d+: \S+)\s*$)"
)
# Of any dialect, also one that is not read, and the beginning of one that is: a line that was cut before its number.
DISPLAY = re.compile(
    r"Iteration \d+(?:\b.*(?:loss = |lr = |Testing net)"
    r"|(?: \([^)]*\)?)?(?:, ?(?:l|lo|los|loss|lr|T[a-z]*(?: n?e?)?)?(?: =)?)?\s*$)"
)
RATE = re.compile(r"Iteration \d+\b(?!.*loss).*, lr(?: =|\s*$)")  # an lr line, also one whose number is not read
OUTPUT = re.compile(
    r"(?:\w+ net output(?: mAP)?|\w+ score) #(\d{1,9}):(?: (.*?) =)? (\S+)( \(\* \S+ = \S+ loss\))?\s*$"
)
TEST_LOSS = re.compile(r"Test loss: ([^\s\x1b\[]+)(?:\x1b\S*|\[\d*m)?\s*$")
LOOKS_COLOURED = re.compile(r"\] *(?:\x1b|\^\[|\\|\[\d+(?:;\d+)*m)")  # something between the prefix and the message
STACK = ("@ ", "*** Check failure stack trace", "PC: @")
CRASH = ("*** SIG", "terminate called", "  what():")
CUT_NAME = " (* "  # in an output's name: the line was cut in `loss = 2.5 (* 1 = 2.5 loss)`
_REST = re.compile(r"[\d.e+-]+$|[\d.e+-]* ?\(\* \S+ = \S+ loss\)$")  # of a line that was cut at its number


def is_cut_off(line: str, rest: str) -> bool:
    """Whether `rest` is the end of a display or output line that a console cut in two."""
    prefix, rest = last_prefix(line), rest.rstrip("\r\n")
    if prefix is None or not rest.strip():
        return False
    start, line, pattern = prefix.start(4), line.rstrip("\r\n"), _pattern(prefix[4])
    is_open = line.count("(") > line.count(")") or not pattern.match(line, start)
    if not is_open and not (_REST.match(rest) and (rest.endswith(")") or _is_printed(line, rest))):
        return False
    return bool(pattern.match(line + rest, start) or pattern.match(f"{line} {rest}", start))


def lost_blank(line: str, rest: str) -> str:
    """A blank if a display or output line that was cut in two is read only with a blank between its parts."""
    return " " if not _is_read(line + rest) and _is_read(f"{line} {rest}") else ""


def _is_read(line: str) -> bool:
    prefix = last_prefix(line)
    match = _pattern(prefix[4]).match(line, prefix.start(4)) if prefix else None
    return match is not None and CUT_NAME not in (match[2] or "")


def _pattern(first_word: str) -> re.Pattern[str]:
    return ITERATION if first_word == "Iteration" else OUTPUT


def _is_printed(line: str, rest: str) -> bool:
    """Whether the number at the end of `line` is one of C++ if it goes on with `rest`: six digits, no zeros at the end.
    Other numbers are those of another program."""
    text = re.split(r"[\s=]", line)[-1] + rest
    try:
        return f"{float(text):.6g}" == text
    except ValueError:
        return False


def last_name(line: str) -> str:
    """The name of the file, without folders, that a line ends with."""
    return plain_text(line).rstrip().replace("\\", "/").rpartition("/")[2].rpartition(" ")[2]


def stripped(lines: Iterable[str]) -> list[str]:
    """The lines that are not blank, as plain text."""
    return [plain for line in lines if (plain := plain_text(line).strip())]
