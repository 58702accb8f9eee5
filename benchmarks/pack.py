"""How fast `pack` and Caffe's own convert_imageset are, on the same images and lists, in one run.

    python benchmarks/pack.py experiments/tiny.yaml --set "path=/data/tiny-imagenet-200" --work results/bench

packs the first seed of the experiment twice: (a) with each image in one list only (the whole halves and their
validation images), (b) with all lists. Then convert_imageset converts every list, as many at a time as there are cores,
so that both programs use all cores. The ratio is that of CPU seconds (user and system), so it is per core. `split` has
read the images before, so both find them in the page cache. The output goes to --work, needs as much disk as the
experiment's LMDBs, and is removed. The data set must be of image files: convert_imageset reads nothing else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from caffeformat import lmdb_file  # noqa: E402
from tools.common.errors import UserError  # noqa: E402
from tools.common.files import read_json  # noqa: E402
from tools.datasets import fetched, open_dataset  # noqa: E402
from tools.protocol.experiment import Experiment, load  # noqa: E402
from tools.protocol.layout import size_name, split_of  # noqa: E402
from tools.training.engine import find_engine  # noqa: E402


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
    converter = find_engine().path.parent / "convert_imageset"
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
    full = size_name(exp.full_size)
    once = {"A/val", "B/val", f"A/{full}", f"B/{full}"}
    report("(a) each image in one list", whole, convert_all(exp, converter, work / place.folder, once))
    report(f"(b) all {len(entries)} lists", everything, convert_all(exp, converter, work / place.folder, set(entries)))


def report(what: str, ours: Cost, theirs: Cost) -> None:
    print(f"{what}\n  pack             {ours}\n  convert_imageset {theirs}")
    print(f"  {theirs.cpu / ours.cpu:.2f} times as fast a core, {theirs.wall / ours.wall:.2f} times in wall time")


def packed(marker: Path) -> dict[str, int]:
    """LMDB name -> number of entries."""
    return {name: read_json(marker.parent / name / "pack.json")["entries"] for name in read_json(marker)["lmdbs"]}


def verb(exp: Experiment, work: Path, name: str, more: str = "") -> Cost:
    folder = Path(exp.path) if exp.path and Path(exp.path).is_dir() else fetched(exp)
    if folder is None:
        raise UserError(f"{exp.dataset} is not here yet; run `python -m tools fetch {exp.file}`")
    # Each key may be given only once, so the keys that are set here are removed from the overrides.
    keys = {text.split("=")[0] for text in (more, "path=")}
    rest = " ".join(part for part in exp.overrides.split() if part.split("=")[0] not in keys)
    settings = f'{rest} {more} path="{folder.resolve()}" seeds=[{exp.seeds[0]}]'
    return measure([sys.executable, "-m", "tools", name, str(exp.file.resolve()), "--set", settings], work)


def convert_all(exp: Experiment, converter: Path, lists: Path, names: set[str]) -> Cost:
    """Runs convert_imageset on all lists, the longest first, on every core. The wall time is that of the whole."""
    longest_first = sorted(names, key=lambda name: (-(lists / f"{name}.txt").stat().st_size, name))
    start = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        costs = list(pool.map(lambda name: convert(exp, converter, lists / f"{name}.txt"), longest_first))
    total = sum(costs, Cost())
    total.wall = time.perf_counter() - start
    for name in names:
        shutil.rmtree(lists / f"{name}.converted")
    return total


def convert(exp: Experiment, converter: Path, images: Path) -> Cost:
    database = images.with_suffix(".converted")  # kept until all are written, as `pack` does
    command = [str(converter), f"--resize_width={exp.image_size}", f"--resize_height={exp.image_size}"]
    command += ["--gray"] if exp.gray else []
    cost = measure([*command, f"{open_dataset(exp).root.resolve()}/", str(images), str(database)], images.parent)
    count = len(images.read_text().splitlines())
    with lmdb_file.open_reader(database) as reader:
        cost.entries = len(reader)
    if cost.entries != count:
        raise UserError(f"{images}: {count} images, but convert_imageset made {cost.entries} entries")
    return cost


def measure(command: list[str], folder: Path) -> Cost:
    """Runs `command` in `folder`. Its output goes to a log file; if it fails, the error has the end of it."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "GLOG_minloglevel": "1"}
    log = folder / f"{Path(command[0]).name}-{threading.get_ident()}.log"
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
    """Records the highest sum of resident memory. Pages that processes share count for each of them."""
    while (resident := _resident(pid)) is not None:
        peak[0] = max(peak[0], resident)
        time.sleep(0.05)


def _resident(pid: int) -> int | None:
    """Bytes of a process and its descendants; None if it has ended."""
    process = Path("/proc") / str(pid)
    try:
        own = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = (process / "task" / str(pid) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return own + sum(_resident(int(child)) or 0 for child in children)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
