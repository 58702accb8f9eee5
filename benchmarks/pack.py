"""How fast `pack` is beside Caffe's own convert_imageset: the same images, the same lists, in one run.

    python benchmarks/pack.py experiments/tiny.yaml --set "path=/data/tiny-imagenet-200" --work /tmp/bench

packs the experiment's first seed twice, (a) one list an image (the whole halves and their validation images), (b) all
lists, then gives every list to convert_imageset. The ratio is that of CPU seconds, user and system, so it is a ratio a
core. The images are read once beforehand (by split), so both find them in the page cache. What is written goes to
--work and is removed. Data sets of image files only: convert_imageset reads nothing else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from caffeformat import lmdb_file  # noqa: E402
from tools import engine  # noqa: E402
from tools.datasets import fetched, open_dataset  # noqa: E402
from tools.errors import UserError  # noqa: E402
from tools.experiment import Experiment, load  # noqa: E402
from tools.files import read_json  # noqa: E402
from tools.layout import split_of, train_sizes  # noqa: E402


@dataclass
class Cost:
    wall: float = 0.0  # s
    cpu: float = 0.0  # s, user and system, with children
    rss: int = 0  # bytes at the peak, summed over the process and its children
    entries: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss), self.entries + other.entries
        )

    def __str__(self) -> str:
        each = self.cpu / self.entries * 1e6
        return (
            f"{self.entries:8,} entries {self.wall:7.1f} s wall {self.cpu:7.1f} s CPU {each:6.0f} us CPU an entry"
            f" {self.rss / 2**20:6.0f} MiB peak"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", default="")
    parser.add_argument("--work", type=Path, required=True, help="a new folder, removed at the end")
    arguments = parser.parse_args()
    exp = load(arguments.experiment, arguments.set)
    converter = engine.find().path.parent / "convert_imageset"
    arguments.work.mkdir(parents=True)
    try:
        compare(exp, converter, arguments.work.resolve())
    finally:
        shutil.rmtree(arguments.work)


def compare(exp: Experiment, converter: Path, work: Path) -> None:
    place = split_of(exp, exp.seeds[0])
    verb(exp, work, "split")
    whole = verb(exp, work, "pack", f"sizes=[{exp.full_size}]")
    whole.entries = sum(packed(work / place.packed).values())
    shutil.rmtree(work / place.folder / place.images)
    everything = verb(exp, work, "pack")
    entries = packed(work / place.packed)
    everything.entries = sum(entries.values())
    shutil.rmtree(work / place.folder / place.images)
    theirs = {}
    for name in entries:
        theirs[name] = convert(exp, converter, work / place.folder / f"{name}.txt", work / "converted")
        assert theirs[name].entries == entries[name], f"{name}: {theirs[name].entries} entries, not {entries[name]}"
    full = {str(place.train_list(half, exp.full_size).relative_to(place.folder))[:-4] for half in "AB"}
    one_list = sum((cost for name, cost in theirs.items() if name in full or name.endswith("/val")), Cost())
    report("(a) each image in one list", whole, one_list)
    report(f"(b) all {len(entries)} lists", everything, sum(theirs.values(), Cost()))


def report(what: str, ours: Cost, theirs: Cost) -> None:
    print(f"{what}\n  pack             {ours}\n  convert_imageset {theirs}")
    print(f"  {theirs.cpu / ours.cpu:.2f} times as fast a core, {theirs.wall / ours.wall:.2f} times in wall time", flush=True)


def packed(marker: Path) -> dict[str, int]:
    """LMDB name -> entries."""
    return {name: read_json(marker.parent / name / "pack.json")["entries"] for name in read_json(marker)["lmdbs"]}


def verb(exp: Experiment, work: Path, name: str, more: str = "") -> Cost:
    folder = Path(exp.path) if exp.path and Path(exp.path).is_dir() else fetched(exp)
    if folder is None:
        raise UserError(f"{exp.dataset} is not here yet; run `python -m tools fetch {exp.file}`")
    # A key may be given once: what `more` and the path override leaves the rest.
    keys = {text.split("=")[0] for text in (more, "path=")}
    rest = " ".join(part for part in exp.overrides.split() if part.split("=")[0] not in keys)
    settings = f'{rest} {more} path="{folder.resolve()}" seeds=[{exp.seeds[0]}]'
    return measure([sys.executable, "-m", "tools", name, str(exp.file.resolve()), "--set", settings], work)


def convert(exp: Experiment, converter: Path, images: Path, database: Path) -> Cost:
    command = [str(converter), f"--resize_width={exp.image_size}", f"--resize_height={exp.image_size}"]
    command += ["--gray"] if exp.gray else []
    cost = measure([*command, f"{open_dataset(exp).root.resolve()}/", str(images), str(database)], images.parent)
    with lmdb_file.open_reader(database) as reader:
        cost.entries = len(reader)
    shutil.rmtree(database)
    return cost


def measure(command: list[str], folder: Path) -> Cost:
    """Runs `command` in `folder`, silently; raises with its output if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "GLOG_minloglevel": "1"}
    log = folder / "benchmark.log"
    start = time.perf_counter()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{command[0]} ... ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak[0])


def _watch(pid: int, peak: list[int]) -> None:
    """Keeps the highest sum of resident memory; pages that processes share count once for each."""
    while True:
        try:
            root = psutil.Process(pid)
            peak[0] = max(peak[0], sum(p.memory_info().rss for p in (root, *root.children(recursive=True))))
        except psutil.NoSuchProcess:
            if not psutil.pid_exists(pid):
                return
        time.sleep(0.05)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
