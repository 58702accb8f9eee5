"""Whether the images can be divided as an experiment says. All faults are said at once, with values that fit."""

from collections.abc import Iterable
from math import gcd

from caffeformat.caffeformat_pb2 import TEST
from tools.common.errors import UserError
from tools.common.shuffle import shuffled
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_seeds
from tools.protocol.net_graph import graph_of
from tools.protocol.runs import net_template, solver_template

Images = dict[str, list[str]]  # class id -> references


def drawn_classes(exp: Experiment, seed: int, classes: list[str]) -> list[str]:
    """Those that `classes: 40` draws with the split's seed, sorted; all of them without that key. Raises UserError."""
    if exp.classes is None:
        return classes
    if exp.classes > len(classes):
        raise exp.fault("classes", str(exp.classes), f"at most the {len(classes)} classes of the data set")
    return sorted(shuffled(classes, split_seeds(exp, seed)[0], "drawn classes")[: exp.classes])


def class_halves(classes: list[str], seed: int) -> dict[str, list[str]]:
    """Ids in the order of their labels: half A and half B of the shuffled classes, each sorted."""
    order = shuffled(classes, seed, "classes")
    middle = len(order) // 2
    return {"A": sorted(order[:middle]), "B": sorted(order[middle:])}


def check_counts(
    exp: Experiment,
    seed: int,
    classes: list[str],
    train: Images,
    val: Images,
    lost: int = 0,
    notes: Iterable[str] = (),
) -> None:
    """Raises UserError, a line for each fault, if the data cannot be divided as `exp` says for its seed `seed`.

    `classes` are all of the data set, or those that were drawn for `seed`. `lost` images are missing or unreadable, and
    no longer among those of `train` and `val`. The error repeats `notes`, which may say where a class has gone.
    """
    key = "dataset" if exp.path is None else "path"
    faults = []
    if len(classes) % 2 or not classes:
        found = f"{len(classes)} classes in {exp.path or exp.dataset}"
        faults.append(exp.fault(key, found, "two halves of equal size need an even number; remove or add a class"))
    faults += [
        exp.fault(key, f"class {name} has no validation image", "add some, or remove the class")
        for name in classes
        if not val[name]
    ]
    faults += _size_faults(exp, classes, train, lost)
    if not faults or len(classes) % 2 == 0:
        faults += _batch_faults(exp, seed, classes, val)
    if faults:
        raise UserError("\n".join([*map(str, faults), *(f"note: {note}" for note in notes)]))


def fitting_batch(images: Iterable[int], most: int) -> int:
    """The largest test batch up to `most` that divides all these numbers of validation images."""
    common = gcd(*images)
    return max(size for size in range(1, max(1, min(most, common or most)) + 1) if common % size == 0)


def test_batch(exp: Experiment) -> int:
    """The test batch of the experiment, or of its template. Raises UserError for templates that do not exist."""
    if exp.test_batch_size is not None:
        return exp.test_batch_size
    net, _ = net_template(exp)
    solver, _ = solver_template(exp)
    sizes = [net.layer[at].data_param.batch_size for at in graph_of(net, TEST, solver).of_type("Data")]
    return max([*sizes, 1])


def _size_faults(exp: Experiment, classes: list[str], train: Images, lost: int) -> list[UserError]:
    left = f" left ({lost} images of the data set are missing or unreadable)" if lost else ""
    smallest = min(classes, key=lambda name: len(train[name]), default=None)
    if smallest is None:
        return []
    most = len(train[smallest])
    faults = []
    for key, sizes in (("full_size", [exp.full_size] * (exp.full_size not in exp.sizes)), ("sizes", exp.sizes)):
        large = [str(size) for size in sizes if (1 if size == "all" else size) > most]
        if large:
            found = f"{', '.join(large)} images a class, but class {smallest} has {most}{left}"
            faults.append(exp.fault(key, found, f"give at most {most}, or more images to the class"))
    return faults


def _batch_faults(exp: Experiment, seed: int, classes: list[str], val: Images) -> list[UserError]:
    batch = test_batch(exp)
    others = exp.seeds if exp.classes is None else []  # another seed draws other classes
    seeds = {split_seeds(exp, each)[0] for each in (seed, *others)}
    halves = [class_halves(classes, seed) for seed in sorted(seeds)]
    counts = [sum(len(val[name]) for name in ids) for half in halves for ids in half.values()]
    if all(count and count % batch == 0 for count in counts):
        return []
    different = sorted(set(counts))
    found = f"{' and '.join(f'{count:,}' for count in different[:2])}{', ...' if different[2:] else ''}"
    found += f" validation images in {'the halves' if different[1:] else 'each half'}, in test batches of {batch}"
    right = (
        f"it must divide {'all of them' if different[1:] else 'them'} exactly, as {fitting_batch(counts, batch)} does"
    )
    if len({len(val[name]) for name in classes}) > 1:
        right += "; more would fit if every class had the same number of validation images"
    return [exp.fault("test_batch_size", found, right)]
