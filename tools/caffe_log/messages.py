"""What a solver's messages look like. Each pattern is matched where the message starts."""

import re

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
OUTPUT = re.compile(
    r"(?:\w+ net output(?: mAP)?|\w+ score) #(\d{1,9}):(?: (.*?) =)? (\S+)(?: \(\* \S+ = \S+ loss\))?\s*$"
)
TEST_LOSS = re.compile(r"Test loss: ([^\s\x1b\[]+)(?:\x1b\S*|\[\d*m)?\s*$")
LOOKS_COLOURED = re.compile(r"\] *(?:\x1b|\^\[|\\|\[\d+(?:;\d+)*m)")  # something between the prefix and the message
CUT_NAME = " (* "  # in an output's name: the line was cut in `loss = 2.5 (* 1 = 2.5 loss)`
_REST = re.compile(r"[\d.e+-]+$|[\d.e+-]* ?\(\* \S+ = \S+ loss\)$")  # of a line that was cut at its number


def is_cut_off(line: str, rest: str) -> bool:
    """Whether `rest` is the end of a display or output line that a console cut in two."""
    prefix, rest = last_prefix(line), rest.rstrip("\r\n")
    if prefix is None or not rest.strip():
        return False
    start, line = prefix.start(4), line.rstrip("\r\n")
    pattern = ITERATION if prefix[4] == "Iteration" else OUTPUT
    is_open = line.count("(") > line.count(")") or not pattern.match(line, start)
    if not is_open and not _REST.match(rest):
        return False
    return bool(pattern.match(line + rest, start) or pattern.match(f"{line} {rest}", start))


def last_name(line: str) -> str:
    """The name of the file, without folders, that a line ends with."""
    return plain_text(line).rstrip().replace("\\", "/").rpartition("/")[2].rpartition(" ")[2]
