"""The one place that knows where every artefact lies on disk. All paths are relative to the project's root, the cwd.

data/tiny-imagenet/fetch.json                        the data set is here, checked
data/tiny-imagenet/split0/split.json                 halves A and B, and lists: A/n0300.txt, A/val.txt
data/tiny-imagenet/split0/64x64/A/n0300/             an LMDB: data.mdb, pack.json, mean.binaryproto
models/tiny/A2B/n0300/S3T/seed0/                     a run: its name is its specification
results/tiny/runs.csv
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tools.conditions import Condition, controls
from tools.errors import UserError
from tools.experiment import Experiment
from tools.weighted import weighted_blocks

Half = Literal["A", "B"]
Size = int | str
CHECKOUT = Path(__file__).resolve().parents[1]
MODELS, RESULTS = Path("models"), Path("results")
NET = "train_val.prototxt"


def size_name(size: Size) -> str:
    """n0300, or nall for a whole half whose classes differ in size."""
    return "nall" if size == "all" else f"n{size:04d}"


def dataset_folder(exp: Experiment) -> Path:
    """`data/tiny-imagenet`; a `folder` data set is told from others by its place."""
    if exp.dataset != "folder":
        return Path("data") / exp.dataset
    if exp.path is None:
        raise exp.fault("dataset", "folder without path", "path: names the folder that holds train/ and val/")
    place = Path(exp.path).resolve()
    return Path("data") / f"folder-{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Split:
    """The lists, LMDBs and means of one random division of a data set's classes."""

    folder: Path  # data/tiny-imagenet/split0
    images: str  # 64x64, 28x28-gray

    @property
    def marker(self) -> Path:
        """split.json: written last, so that where it is, every list is."""
        return self.folder / "split.json"

    @property
    def packed(self) -> Path:
        """pack.json of all LMDBs that an experiment needs: the graph's mark, renamed in last."""
        return self.folder / self.images / "pack.json"

    @property
    def means(self) -> Path:
        """mean.json, likewise: every training LMDB has its mean.binaryproto."""
        return self.folder / self.images / "mean.json"

    def train_list(self, half: Half, size: Size) -> Path:
        return self.folder / half / f"{size_name(size)}.txt"

    def val_list(self, half: Half) -> Path:
        return self.folder / half / "val.txt"

    def train_lmdb(self, half: Half, size: Size) -> Path:
        return self.folder / self.images / half / size_name(size)

    def val_lmdb(self, half: Half) -> Path:
        return self.folder / self.images / half / "val"

    def mean(self, half: Half, size: Size) -> Path:
        return self.train_lmdb(half, size) / "mean.binaryproto"


def split_of(exp: Experiment, seed: int) -> Split:
    """Where the split of one of `exp.seeds` lies: `split0`, or `split0-1` if the subsample has a seed of its own."""
    split, subsample = split_seeds(exp, seed)
    name = f"split{split}" if split == subsample else f"split{split}-{subsample}"
    images = f"{exp.image_size}x{exp.image_size}" + ("-gray" if exp.gray else "")
    return Split(dataset_folder(exp) / (name if exp.nested else name + "+nested=false"), images)


def split_seeds(exp: Experiment, seed: int) -> tuple[int, int]:
    """(seed of the class halves, seed of the subsamples) of one of `exp.seeds`."""
    return (
        seed if exp.split_seed is None else exp.split_seed,
        seed if exp.subsample_seed is None else exp.subsample_seed,
    )


def train_sizes(exp: Experiment) -> list[Size]:
    """Every size that needs lists, an LMDB and a mean: the full one, for the source nets, and the selected ones."""
    return list(dict.fromkeys([exp.full_size, *exp.sizes]))


@dataclass(frozen=True)
class Run:
    """One training: a folder, and the specification that its name is."""

    experiment: str
    direction: str  # A2B: source half A, target half B
    size: Size
    condition: str  # of tools/conditions.py, or `source` where the source net is no base run (mean: source)
    seed: int

    @property
    def key(self) -> str:
        """A2B/n0300/S3T/seed0"""
        return f"{self.direction}/{size_name(self.size)}/{self.condition}/seed{self.seed}"

    @property
    def folder(self) -> Path:
        return MODELS / self.experiment / self.key

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def withdrawn(self) -> Path:
        """Where a manifest goes that could not be judged when a sweep was planned (tools/plan.py)."""
        return self.folder / "manifest.withdrawn.json"

    @property
    def before(self) -> Path:
        """The manifest of a source net that is gone and will be trained again, to compare the two."""
        return self.folder / "manifest.before.json"

    @property
    def failed(self) -> Path:
        return self.folder / "failed.json"

    @property
    def source(self) -> Half:
        return self.direction[0]

    @property
    def target(self) -> Half:
        return self.direction[2]


def experiment_name(exp: Experiment, engine: str) -> str:
    """The experiment's name, with the engine in it where that is not BVLC Caffe."""
    return exp.name if engine == "caffe" else f"{exp.name}+engine={engine}"


def source_run(exp: Experiment, run: Run) -> Run | None:
    """The run whose net `run` copies from, None for one that copies nothing.

    The source net of A2B is the full-size `base` run on A: that is B2A/n0500/base. With `mean: source` that run
    subtracts the mean of B, so the source net is a run of its own. A selffer control (TnT) copies from the `base` run
    on its own target set: one on the whole half would have seen the images that the target set leaves out.
    """
    condition = condition_of(run)
    if condition.retained:
        return replace(run, condition=condition.retained.name)
    if condition.origin is None:
        return None
    if condition.origin == "self":
        return replace(run, condition="base")
    back = "B2A" if run.direction == "A2B" else "A2B"
    condition = "base" if exp.mean == "target" else "source"
    return Run(run.experiment, back, exp.full_size, condition, run.seed)


def random_seed(exp: Experiment, run: Run) -> int:
    """The solver's `random_seed`: the run's seed (or init_seed), and 1000 more for each net that it is copied through:
    none for base, one for FTall and SnT.

    Caffe draws in layer order, renamed or not: from the seed of its source net a target net's random layers would start
    where the source net's own began, which is not far from what it learnt.
    """
    copies, at = 0, run
    while at := source_run(exp, at):
        copies += 1
    return (run.seed if exp.init_seed is None else exp.init_seed) + 1000 * copies


def runs(exp: Experiment, engine: str) -> list[Run]:
    """Every run that the experiment selects and every source run that these need, sources first."""
    name = experiment_name(exp, engine)
    selected = [
        Run(name, direction, size, condition, seed)
        for seed in exp.seeds
        for size in exp.sizes
        for condition in conditions(exp)
        for direction in exp.directions
    ]
    every, found = selected, selected
    while found := [source for run in found if (source := source_run(exp, run))]:
        every = [*found, *every]
    return list(dict.fromkeys(every))


def conditions(exp: Experiment) -> list[str]:
    """The experiment's conditions, with their controls where it asks for them."""
    if not exp.controls:
        return exp.conditions
    net, file = net_template(exp)
    return [*exp.conditions, *controls(exp.conditions, len(weighted_blocks(net, file)))]


def find_run(exp: Experiment, engine: str, key: str) -> Run:
    """The run of `exp` with this key (`A2B/n0300/S3T/seed0`); raises UserError naming what is there."""
    every = runs(exp, engine)
    for run in every:
        if run.key == key.strip("/") or str(run.folder) == key.rstrip("/"):
            return run
    raise UserError(f"{exp.file}: no run {key!r}; there are {len(every)}, from {every[0].key} to {every[-1].key}")


def train_set(exp: Experiment, run: Run) -> tuple[Half, Size]:
    """The half and size that a run trains on: its target set; for what it retained, all of the source half."""
    return (run.source, exp.full_size) if condition_of(run).retained else (run.target, run.size)


def results_folder(exp: Experiment, engine: str) -> Path:
    return RESULTS / experiment_name(exp, engine)


def mean_of(exp: Experiment, run: Run) -> Path:
    """The mean file that a run subtracts, in training and test alike."""
    split = split_of(exp, run.seed)
    if run.condition != "source" and exp.mean == "source":
        return split.mean(run.source, exp.full_size)
    return split.mean(*train_set(exp, run))


def template(folder: str, name: str) -> Path:
    """A template of the project's root, or of the checkout where the root has none of that name."""
    here = Path(folder) / name
    return here if here.exists() else CHECKOUT / folder / name


def net_template(exp: Experiment) -> tuple[NetParameter, Path]:
    """The experiment's net as its template has it, and the template's file."""
    file = template("prototxt", exp.model) / NET
    if not file.exists():
        raise exp.fault("model", exp.model, f"a folder of prototxt/ with a {NET} in it")
    return prototxt.read_net(file), file


def condition_of(run: Run) -> Condition:
    return Condition.parse("base" if run.condition == "source" else run.condition)
