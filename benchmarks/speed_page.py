"""Writes docs/benchmarks.md from docs/benchmarks/*.json, the records of the parts of `make bench`.

    python -m benchmarks.speed_page

No figure is written here: a part that was not measured says so.
"""

from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER, records
from tools.common.checkout import CHECKOUT
from tools.common.files import write_if_changed

PAGE = CHECKOUT / "docs" / "benchmarks.md"
HEAD = """\
# Speed, measured

`make bench` measures and writes this page; nothing in it is typed by hand. `make bench PART=sweep` measures one part
and leaves the others, so each has its own date, commit and load. Ratios carry over to other machines, times do not, and
figures measured beside other work (a load above the number of cores) less than others. What limits each figure, and
what was tried and did not help, is in [speed-notes.md](speed-notes.md).
"""
# Part -> its heading, and how it is measured.
PARTS = {
    "sweep": (
        "A whole sweep",
        "`benchmarks/sweep.py` runs `experiments/demo.yaml` with each engine, from packed archives of Fashion-MNIST to "
        "the page of results. Where the time went is read afterwards from what the sweep itself records: the times of "
        "its files, the manifests and logs. Seconds of runs are divided by the number of runs at a time, so that a "
        "column adds up to its last line.",
    ),
    "train": (
        "Training",
        "`benchmarks/train.py` runs BVLC Caffe, torchcaffe and a plain PyTorch loop (`benchmarks/plain_loop.py`, "
        "AlexNet only) in turn on the same net and batch size. Speed is the best display of all rounds, of the "
        "engine's own log. The limit is a product of matrices on the same threads in the same minutes.",
    ),
    "bf16": (
        "Training in bf16 on a CPU",
        "`benchmarks/bf16.py` trains in torchcaffe with `--precision=fp32` and `--precision=bf16`, in turn. Medians "
        "and bests of the displays are compared. The limit is a product of bf16 matrices.",
    ),
    "parse": (
        "Reading a log",
        "`benchmarks/parse.py` writes a log of BVLC Caffe's form and reads it with `tools parse` and with Caffe's own "
        "parse_log.py, if the variable CAFFE_PARSE_LOG names it (with its `print` made a function). The ratio is that "
        "of the processor times.",
    ),
    "pack": (
        "Packing images",
        "`benchmarks/pack.py` packs JPEG files of 64x64 pixels and converts the same lists with Caffe's "
        "convert_imageset. Processor time is what both take on all cores together.",
    ),
    "page": (
        "The page of results",
        "`benchmarks/page.py` opens the page of made-up tables in headless Chromium.",
    ),
}
TAIL = """
## Elsewhere

Many finished runs and clusters: [scaling.md](scaling.md). On a GPU: `make bench-gpu` and `benchmarks/on_gpu.sh`
([speed-notes.md](speed-notes.md#on-a-gpu)). Differences between the engines' results: [parity.md](parity.md).
"""


def page(measured: dict[str, dict[str, Any]]) -> str:
    """The text. `measured`: part -> its record (benchmarks/record.py)."""
    parts = [HEAD]
    for part, (heading, how) in PARTS.items():
        parts.append(f"\n## {heading}\n\n{_wrapped(how)}\n\n")
        parts.append(_section(measured[part]) if part in measured else f"Not measured yet: `make bench PART={part}`.\n")
    return "".join(parts) + TAIL


def _section(record: dict[str, Any]) -> str:
    cores = "1 core" if record["cores"] == 1 else f"{record['cores']} cores"
    where = f"{cores} of {record['processor'] or 'an unnamed processor'}"
    where += f", OPENBLAS_CORETYPE={record['kernels']}" if record.get("kernels") else ""
    said = (
        f"`make bench PART={record['part']}` on {record['date']}, commit {record['commit'] or 'unknown'}, {where}, "
        f"load {record['load_before']:g} at the start and {record['load_after']:g} at the end, {record['seconds']} s."
    )
    lines = [_wrapped(said), ""]
    for table in record["tables"]:
        lines += [f"{table['title']}:", "", _row(table["columns"]), "|" + "---|" * len(table["columns"])]
        lines += [*map(_row, table["rows"]), ""]
    lines += [line for note in record["notes"] for line in (_wrapped(note), "")]
    return "\n".join(lines[:-1]) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wrapped(text: str, width: int = 120) -> str:
    """Paragraphs are wrapped as in the other pages. Code is not broken."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def main(folder: Path = FOLDER, file: Path = PAGE) -> None:
    write_if_changed(file, page(records(folder)))
    print(f"{file.name}: written")


if __name__ == "__main__":
    main()
