"""How fast `pack` and Caffe's own convert_imageset are, on the same images and lists, in one run.

    python -m benchmarks.pack experiments/tiny.yaml --set "path=/data/tiny-imagenet-200" --work results/bench
    python -m benchmarks.pack --made 20000 --work results/bench        # images that are made for it

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

import cv2
import numpy as np

from benchmarks.record import Measuring
from caffeformat import lmdb_file
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.datasets import fetched, open_dataset
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import size_name, split_of
from tools.training.engine import find_engine


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
    parser.add_argument("experiment", type=Path, nargs="?")
    parser.add_argument("--made", type=int, default=0, help="make so many images instead, and an experiment of them")
    parser.add_argument("--set", default="")
    parser.add_argument("--work", type=Path, required=True, help="a new folder, removed at the end")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write pack.json there")
    arguments = parser.parse_args()
    if (arguments.experiment is None) == (arguments.made == 0):
        parser.error("give an experiment, or --made COUNT")
    converter, measuring = find_engine().path.parent / "convert_imageset", Measuring("pack")
    arguments.work.mkdir(parents=True)
    try:
        file = arguments.experiment or made_experiment(arguments.work.resolve() / "made", arguments.made)
        compare(load(file, arguments.set), converter, arguments.work.resolve(), measuring)
    finally:
        shutil.rmtree(arguments.work)
    if arguments.record:
        measuring.write(arguments.record)


def made_experiment(folder: Path, count: int) -> Path:
    """Writes about `count` JPEG files of 64x64 pixels, smooth with some noise, and an experiment; returns its file."""
    random, classes = np.random.default_rng(0), 20
    a_class = max(2, count // classes)
    for name in range(classes):
        for number in range(a_class):
            part = "val" if number < a_class // 10 or number == 0 else "train"
            file = folder / "images" / part / f"c{name:02}" / f"{number:05}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            smooth = cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
            noise = random.normal(0, 8, smooth.shape)
            cv2.imwrite(str(file), np.clip(smooth + noise, 0, 255).astype(np.uint8))
    train = a_class - max(1, a_class // 10)
    keys = {"dataset": "folder", "path": folder / "images", "image_size": 64, "full_size": train}
    keys |= {"sizes": [train, max(1, train // 2), max(1, train // 5)], "model": "mini", "solver": "mini"}
    keys |= {"train_batch_size": 10, "test_batch_size": 10, "max_iter": 20, "test_interval": 10}
    (folder / "made.yaml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    return folder / "made.yaml"


def compare(exp: Experiment, converter: Path, work: Path, measuring: Measuring) -> None:
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
    costs = {
        "each image in one list": (whole, convert_all(exp, converter, work / place.folder, once)),
        f"all {len(entries)} lists": (everything, convert_all(exp, converter, work / place.folder, set(entries))),
    }
    rows = []
    for what, (ours, theirs) in costs.items():
        print(f"{what}\n  pack             {ours}\n  convert_imageset {theirs}")
        print(f"  {theirs.cpu / ours.cpu:.2f} times as fast a core, {theirs.wall / ours.wall:.2f} times in wall time")
        for name, cost in (("pack", ours), ("convert_imageset", theirs)):
            each = [f"{cost.entries:,}", f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.cpu / cost.entries * 1e6:.0f}"]
            rows.append([what, name, *each, f"{cost.rss / 2**20:.0f}", f"{theirs.cpu / cost.cpu:.2f}"])
    columns = ["what", "program", "entries", "s of the clock", "s of the processor", "us of it an entry", "peak MiB"]
    measuring.table(f"{exp.dataset}, {exp.image_size} pixels", [*columns, "times as fast a core"], rows)


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
