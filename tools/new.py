"""Write an experiment file for your own images, with every key explained and values that fit.

    python -m tools new mine /my/images

looks at the images in train/<class>/ and val/<class>/ (their number, sizes and colours; nothing is changed) and writes
experiments/mine.yaml. A file of that name is not overwritten. The output says what to run next.
"""

import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

import yaml

from caffeformat import prototxt
from tools import cli
from tools.common.checkout import own_file
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.datasets import folders_in, reader, several
from tools.datasets.base import Scan
from tools.datasets.looks import Looks, look
from tools.datasets.names import require_each_once, require_one_line, require_short_names
from tools.datasets.walk import note
from tools.protocol.experiment import LONGEST_NAME, Experiment, load
from tools.protocol.fit import check_counts, class_halves, drawn_classes, fitting_batch
from tools.protocol.layout import NET, dataset_folder
from tools.protocol.register import card, datasets

EXPERIMENTS = Path("experiments")
_FEWEST = 4  # classes: with one class in a half, every net is always right
_SMALL = 48  # pixels: images of a shorter side are for the template mini
_FRACTIONS = (4, 20)  # the smaller target sets have about this part of a class
_MOST_TEST = 100  # images in a test batch

# Key -> what the file says of it. Those without a value are written as comments: the template's own value holds.
EXPLAINED = {
    "dataset": "`folder`: your own images; other names are in data/cards/",
    "path": "train/<class>/* and val/<class>/* are in this folder",
    "image_size": "pixels a side in the LMDB; other images are resized (bilinear)",
    "gray": "true: one channel; false: three",
    "on_bad_image": "skip: leaves out images that cannot be read, and counts them",
    "classes": "how many to draw, an even number; without this key: all",
    "full_size": "images a class in a whole half, for the source nets; all: whatever there is",
    "sizes": "images a class in each target set",
    "nested": "smaller target sets are parts of the larger; false: each is drawn on its own",
    "directions": "source half, target half; a score is the mean of both",
    "conditions": "base: all random; FTall: fine-tuned; SnT: n layers copied and frozen",
    "controls": "true: also SnT+, TnT, TnT+ and RnT (docs/controls.md)",
    "seeds": "each repeats the whole protocol; claims and advise need several: [0, 1, 2]",
    "split_seed": "one division of the classes for all seeds",
    "subsample_seed": "one draw of the target sets for all seeds",
    "init_seed": "one start of the nets for all seeds",
    "mean": "mean image of the set that is trained on; source: of the source half",
    "model": "prototxt/{model}/train_val.prototxt (docs/templates.md)",
    "solver": "solvers/{solver}.prototxt",
    "fc8_outputs": "outputs of the last layer; else the classes of a half",
    "crop_size": "pixels a side of the crops that a net sees",
    "train_batch_size": "images in an iteration",
    "test_batch_size": "must divide the validation images of each half: {val} here",
    "max_iter": "iterations of each training",
    "test_interval": "iterations between two tests; must divide max_iter",
    "display": "iterations between two lines of the log",
    "snapshot": "iterations between two snapshots; 0: only at the end",
    "base_lr": "learning rate at the start",
    "precision": "bf16: faster with torchcaffe on a CPU that has it (docs/torchcaffe.md)",
    "claims": "files of experiments/claims/ that `claims` tests on the tables",
    "keep_models": "sources: keeps only nets that others copy from; none: keeps no net",
    "keep_lmdbs": "none: removes them when all runs are finished (docs/settings.md)",
    "resume": "true: a killed training goes on from its last snapshot (docs/settings.md)",
}


def new(name: str, place: Path) -> tuple[Path, list[str]]:
    """Writes experiments/NAME.yaml for the images at `place`; returns the file, and lines on what was found.

    Raises UserError for a name that no file can have, a file that exists, and images that cannot be divided.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"{name!r}: not a name for an experiment; use letters, digits, `-`, `_` and `.`")
    file = EXPERIMENTS / f"{name}.yaml"
    if len(name.encode()) > LONGEST_NAME:
        raise UserError(f"{file}: a name of {len(name.encode())} bytes, at most {LONGEST_NAME}; choose a shorter one")
    if file.exists():
        raise UserError(f"{file}: is there already; choose another name, or remove it first")
    root = Path(os.path.expanduser(place)).resolve()  # `~x` without a user x is a folder
    if str(root).splitlines() != [str(root)]:
        raise UserError(f"{str(root)!r}: the path is not one line of text; rename or move the folder")
    dataset, folder = _dataset_at(root)
    data = reader(dataset)(folder)
    scan = data.scan()
    require_one_line(data, scan)
    require_each_once(data, scan)
    require_short_names(data, scan)
    if len(scan.classes) < _FEWEST:
        raise UserError(f"{root}: {len(scan.classes)} classes; {_FEWEST} are needed, two in each half")
    looks = look(data, scan)
    if looks is None:
        raise UserError(f"{root}: none of the images that were looked at can be read")
    values = _values(dataset, root, scan, looks)
    text = _text(name, values, scan, looks)
    exp = _checked(name, text, scan)
    write_atomic(file, text)
    notes = [*scan.notes, *_lost(scan, looks)]
    return file, [*_found(scan, looks), *(f"note: {text}" for text in notes), *_advice(exp, scan)]


def _dataset_at(root: Path) -> tuple[str, Path]:
    """The data set whose layout `root` has, or else the one folder in it: a published one, else `folder`."""
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; name the one that holds train/<class>/* and val/<class>/*")
    names = [*(name for name in datasets() if card(name).is_published), "folder"]
    try:
        for name in names:
            if reader(name).is_at(root):
                return name, root
        inside = {folder: name for name in reversed(names) for folder in folders_in(name, root)}
    except PermissionError as error:
        raise UserError(f"{root}: cannot be read: {error.strerror}; give yourself access to this folder") from None
    if len(inside) > 1:
        raise UserError(f"{root}: holds {several(sorted(inside))}; name one of them")
    for folder, name in inside.items():
        return name, folder
    raise UserError(f"{root} {reader('folder').found_at(root)}; right is {card('folder').layout}")


def _values(dataset: str, root: Path, scan: Scan, looks: Looks) -> dict[str, Any]:
    """The keys that have a value in the file; all others are comments."""
    counts = [len(images) for images in scan.train.values()]
    smallest = min(counts)
    full: int | str = smallest if min(counts) == max(counts) else "all"
    smaller = [size for part in _FRACTIONS if (size := _round(smallest // part)) and size < smallest]
    is_small = min(looks.height, looks.width) < _SMALL
    odd = len(scan.classes) % 2 == 1
    return {
        "dataset": dataset,
        "path": str(root),
        "image_size": 28 if is_small else 64,
        "gray": looks.gray,
        "on_bad_image": "error",
        **({"classes": len(scan.classes) - 1} if odd else {}),
        "full_size": full,
        "sizes": [full, *dict.fromkeys(smaller)],
        "nested": True,
        "directions": ["A2B", "B2A"],
        "conditions": Experiment.model_fields["conditions"].default,
        "controls": False,
        "seeds": [0],
        "mean": "target",
        "model": "mini" if is_small else "alexnet_quarter",
        "solver": "mini" if is_small else "alexnet_quarter",
        "test_batch_size": fitting_batch(_val_counts(scan, odd), _MOST_TEST),
        "claims": ["thesis"],
        "keep_models": "all",
        "keep_lmdbs": "all",
        "resume": False,
    }


def _val_counts(scan: Scan, odd: bool) -> list[int]:
    """The validation images of the halves of seed 0, or those of every class where classes are drawn."""
    if odd:
        return [len(images) for images in scan.val.values()]
    return [sum(len(scan.val[name]) for name in half) for half in class_halves(scan.classes, 0).values()]


def _round(number: int) -> int:
    """The largest of 1, 2, 3, 5, 10, 20, 30, 50, 100, ... up to `number`; 0 for 0."""
    steps = [step * 10**power for power in range(len(str(number))) for step in (1, 2, 3, 5)]
    return max((step for step in steps if step <= number), default=0)


def _text(name: str, values: dict[str, Any], scan: Scan, looks: Looks) -> str:
    val = " and ".join(f"{count:,}" for count in sorted(set(_val_counts(scan, False))))
    told = {"model": values["model"], "solver": values["solver"], "val": val}
    lines = [f"# {line}" for line in (*_found(scan, looks), f"Command:  make {name}-sweep")]
    lines += ["# A key behind a # is not set: the value that it shows holds anyway.", ""]
    held = _held(values, scan)
    for key in Experiment.model_fields:
        written = f"{key}: {_yaml(values[key])}" if key in values else f"# {key}: {held[key]}"
        lines.append(f"{written:32}  # {EXPLAINED[key].format(**told)}")
    return "\n".join(lines) + "\n"


def _held(values: dict[str, Any], scan: Scan) -> dict[str, object]:
    """Key -> the value that holds where the file gives none: the template's, the solver's, or that of the images."""
    net, solver = prototxt.read_net(_template(values["model"])), prototxt.read_solver(_solver(values["solver"]))
    train = next(layer for layer in net.layer if layer.type == "Data")
    return {
        "classes": len(scan.classes),
        **dict.fromkeys(("split_seed", "subsample_seed", "init_seed"), "null"),
        "fc8_outputs": values.get("classes", len(scan.classes)) // 2,
        "crop_size": train.transform_param.crop_size,
        "train_batch_size": train.data_param.batch_size,
        **{key: getattr(solver, key) for key in ("max_iter", "test_interval", "display", "snapshot")},
        "base_lr": f"{solver.base_lr:g}",
        "precision": Experiment.model_fields["precision"].default,
    }


def _template(model: str) -> Path:
    return own_file("prototxt", model) / NET


def _solver(name: str) -> Path:
    return own_file("solvers", f"{name}.prototxt")


def _yaml(value: object) -> str:
    """The value on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).partition("\n")[0]


def _checked(name: str, text: str, scan: Scan) -> Experiment:
    """The experiment that the text gives. It is loaded and its counts are checked before anything is written."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        exp = load(file)
    dataset_folder(exp)  # has the name of the images' folder, if it can
    drawn = scan.of_classes(drawn_classes(exp, 0, scan.classes))
    check_counts(exp, 0, drawn.classes, drawn.train, drawn.val, notes=scan.notes)
    return exp


def _found(scan: Scan, looks: Looks) -> list[str]:
    train, val = ([len(images) for images in part.values()] for part in (scan.train, scan.val))
    colours = "gray" if looks.gray else "in colour"
    return [
        f"{len(scan.classes)} classes, {sum(train):,} training images ({_span(train)} a class) and {sum(val):,} "
        f"validation images ({_span(val)} a class)",
        f"{looks.width}x{looks.height} pixels (median of {looks.images} images), {colours}",
    ]


def _lost(scan: Scan, looks: Looks) -> list[str]:
    """Notes on what `split` refuses with `on_bad_image: error`."""
    looked_at = looks.images + len(looks.unreadable)
    right = "replace them, or set `on_bad_image: skip`"
    missing = note("missing images, which a list or a link names", list(scan.missing))
    unreadable = note(f"cannot be read, of {looked_at:,} images that were looked at", list(looks.unreadable))
    return [f"{text}; {right}" for text in (*missing, *unreadable)]


def _span(counts: list[int]) -> str:
    return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"


def _advice(exp: Experiment, scan: Scan) -> list[str]:
    """What could be better, and what to run next."""
    lines = []
    if exp.classes is not None:
        lines.append(f"note: {len(scan.classes)} classes are an odd number; `classes: {exp.classes}` leaves one out")
    if exp.test_batch_size is not None and exp.test_batch_size < 10 < min(_val_counts(scan, False)):
        lines.append(
            f"note: the halves have {_span(_val_counts(scan, False))} validation images, so test batches have "
            f"{exp.test_batch_size}; the same number in every class makes tests quicker"
        )
    crop = prototxt.read_net(_template(exp.model)).layer[0].transform_param.crop_size
    lines.append(f"{exp.model}: images of {exp.image_size}x{exp.image_size}, of which a net sees {crop}x{crop}")
    return lines


def main(argv: list[str]) -> None:
    parser = cli.bare_parser("new", __doc__)
    parser.add_argument("name", help="name of the experiment: mine gives experiments/mine.yaml")
    parser.add_argument("images", type=Path, help="folder of the images, with train/<class>/ and val/<class>/")
    arguments = parser.parse_args(argv)
    file, lines = new(arguments.name, arguments.images)
    print("\n".join([f"{file}: written", *(f"  {line}" for line in lines)]))
    sweep = shlex.quote(f"{arguments.name}-sweep")
    print(f"next: `make {sweep} DRY_RUN=1` lists the runs and measures the time; `make {sweep}` does them")
