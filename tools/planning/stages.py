"""The stages of an experiment: the marker of each, its inputs and its outputs.

Snakefile, plan and verbs all ask these objects whether a stage is complete.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tools.common.checkout import CHECKOUT
from tools.common.files import read_json, sha256
from tools.common.lmdb_removal import is_removed
from tools.common.stage import NotReady, Record, Stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import (
    HALVES,
    Split,
    dataset_folder,
    experiment_name,
    image_shape,
    results_folder,
    split_of,
    train_sizes,
)
from tools.results.columns import (
    CLAIMS,
    CLASSES,
    CORRELATIONS,
    CURVES,
    MANIFESTS,
    PREDICTIONS,
    RETENTION,
    RUNS,
    SCORES,
    SUMMARY,
)

if TYPE_CHECKING:
    from tools.datasets.present import PresentImages  # numpy and OpenCV: the graph must not load them
    from tools.stats.claim_places import Places

DATA = ("fetch", "split", "pack", "mean")  # the runs come after these
RESULTS = ("summarize", "claims", "plot", "report")
ORDER = (*DATA, *RESULTS)
OPTIONS = {"pack": ("--needed",)}  # verb -> the options with which a sweep calls it
TABLES = (RUNS, SUMMARY, CURVES, CLASSES, PREDICTIONS)  # what `summarize` writes
OTHER_TABLES = (CORRELATIONS, SCORES, RETENTION)  # what other verbs add, and the page shows
FIGURES, PAGE = "figures", "report.html"


def stages_of(exp: Experiment, engine: str) -> dict[str, list[Stage]]:
    """Verb -> its stages, one per seed if it works seed by seed. In the graph's order, without the runs."""
    from tools.datasets.present import PresentImages
    from tools.stats.claim_places import default_places

    places = default_places(exp, engine)
    results = results_folder(exp, engine)
    images = PresentImages(exp)
    return {
        "fetch": [fetch_stage(exp)],
        "split": [split_stage(exp, seed, images) for seed in exp.seeds],
        "pack": [pack_stage(exp, seed, images) for seed in exp.seeds],
        "mean": [mean_stage(exp, seed, images) for seed in exp.seeds],
        "summarize": [summarize_stage(exp, engine)],
        "claims": [claims_stage(exp, engine, places)],
        "plot": [plot_stage(results, results)],
        "report": [report_stage(results, results)],
    }


def fetch_stage(exp: Experiment) -> Stage:
    """The data set is here, in the folder that fetch.json names."""
    from tools.datasets import fetched  # numpy and OpenCV: the graph must not load them

    folder = dataset_folder(exp)

    def current(_: Record) -> dict[str, str]:
        return {"folder": str(fetched(exp))}

    return Stage("fetch", folder / "fetch.json", current, lambda record: {"folder": str(folder / record["folder"])})


def split_stage(exp: Experiment, seed: int, images: "PresentImages | None" = None) -> Stage:
    """Every list that `exp` needs: unchanged, made from the present images, with the settings of `exp`."""
    from tools.datasets.present import PresentImages

    place = split_of(exp, seed)
    names = place.lists(train_sizes(exp))
    present = images or PresentImages(exp)

    def current(record: Record) -> dict[str, object]:
        left_out = record["missing"]["count"] + record["unreadable"]["count"]
        may_be_left_out = exp.on_bad_image == "skip"
        return {**present.compared_with(record), "left_out": left_out if may_be_left_out else 0}

    def recorded(record: Record) -> dict[str, object]:
        left_out = record["missing"]["count"] + record["unreadable"]["count"]
        if not all(record["classes"][half] and record["counts"][half] for half in HALVES):
            raise KeyError("classes")
        return {"root": record["root"], "images": record.get("images"), "left_out": left_out}

    def outputs(record: Record) -> dict[Path, str]:
        return {place.list_file(name): record["lists"][f"{name}.txt"]["sha256"] for name in names}

    return Stage("split", place.marker, current, recorded, outputs)


def present_split(exp: Experiment, seed: int, images: "PresentImages | None" = None) -> Record:
    """The record of a split that was made of the present images. Raises NotReady if there is none."""
    stage = split_stage(exp, seed, images)
    again = f"run `python -m tools split {exp.file}` first"
    record = stage.record
    if record is None or not record.get("lists"):
        raise NotReady(f"{stage.marker}: no split yet; {again}")
    changed = stage.changed(record)
    if stage.marker.name in changed:
        raise NotReady(f"{stage.marker}: damaged; {again}")
    if "root" in changed:
        now = stage.inputs(record)["root"]
        raise NotReady(f"{stage.marker}: made of the images in {record['root']}, which are now {now}; {again}")
    if "images" in changed:
        raise NotReady(f"{stage.marker}: the images in {record['root']} are not those that it was made of; {again}")
    if changed:
        raise NotReady(f"{stage.marker}: some images were left out, and on_bad_image is `error` now; {again}")
    return record


def pack_stage(exp: Experiment, seed: int, images: "PresentImages | None" = None) -> Stage:
    """Every LMDB that `exp` needs, each made from the list that split.json has now."""
    place = split_of(exp, seed)
    names = place.lists(train_sizes(exp))

    def current(_: Record) -> dict[str, str]:
        lists = present_split(exp, seed, images)["lists"]
        return {name: lists[f"{name}.txt"]["sha256"] for name in names}

    def recorded(record: Record) -> dict[str, str]:
        return {name: record["lmdbs"][name] for name in names}

    def lmdbs(_: Record) -> list[Stage]:
        return [lmdb_stage(exp, place, name) for name in names]

    return Stage("pack", place.packed, current, recorded, parts=lmdbs)


def lmdb_stage(exp: Experiment, place: Split, name: str) -> Stage:
    """One LMDB (A/n0500). Its pack.json came with the folder's rename: if it is there, the whole LMDB is.

    One that `keep_lmdbs: none` removed is complete, too: a plan says whether it is to be made again (state.py).
    `content` is the checksum of the images of its list. Splits and LMDBs of earlier versions have none.
    """
    folder = place.lmdb(name)
    keys = ("root", "list_sha256", "shape", "skipped", "content")

    def current(record: Record) -> dict[str, object]:
        split = read_json(place.marker)
        if not isinstance(split, dict):
            raise NotReady(f"{place.marker}: no split yet; run `python -m tools split {exp.file}` first")
        entry = split["lists"][f"{name}.txt"]
        skipped = record["skipped"] if exp.on_bad_image == "skip" else 0
        content = entry.get("content") if "content" in record else None
        values = (split["root"], entry["sha256"], list(image_shape(exp)), skipped, content)
        return dict(zip(keys, values, strict=True))

    def recorded(record: Record) -> dict[str, object]:
        return {key: record[key] for key in keys[:-1]} | {"content": record.get("content")}

    def outputs(_: Record) -> dict[Path, str | None]:
        return {} if is_removed(folder) else {folder / "data.mdb": None}

    return Stage("pack", folder / "pack.json", current, recorded, outputs)


def mean_stage(exp: Experiment, seed: int, images: "PresentImages | None" = None) -> Stage:
    """The unchanged mean of every training LMDB that `exp` needs. It is in the LMDB's folder and is deleted with it."""
    place = split_of(exp, seed)

    def current(_: Record) -> dict[str, str]:
        present_split(exp, seed, images)
        return {}

    def outputs(record: Record) -> dict[Path, str]:
        return {mean_file(place, name): record["means"][name] for name in place.train_sets(train_sizes(exp))}

    return Stage("mean", place.means, current, lambda _: {}, outputs)


def mean_file(place: Split, name: str) -> Path:
    """The mean of the training LMDB A/n0500."""
    return place.lmdb(name) / "mean.binaryproto"


def summarize_stage(exp: Experiment, engine: str) -> Stage:
    """The tables, unchanged, made from exactly the runs that have ended."""
    from tools.results.ended_runs import ended_runs  # protobuf, which the data's stages do not need

    folder = results_folder(exp, engine)

    def current(_: Record) -> dict[str, object]:
        runs = {ended.run.key: ended.sha256 for ended in ended_runs(experiment_name(exp, engine))}
        return {"runs": runs, "tables": sorted(TABLES)}

    def recorded(record: Record) -> dict[str, object]:
        return {"runs": record["runs"], "tables": sorted(record["tables"])}

    def outputs(record: Record) -> dict[Path, str]:
        return {folder / name: digest for name, digest in record["tables"].items()}

    return Stage("summarize", folder / "summary.json", current, recorded, outputs)


def claims_stage(exp: Experiment, engine: str, places: "Places") -> Stage:
    """claims.csv, tested on the present tables of `places`."""
    from tools.stats.claim_places import MARKER

    folder = results_folder(exp, engine)

    def current(_: Record) -> dict[str, str]:
        if not (places.own / RUNS).is_file():
            raise NotReady(f"{places.own / RUNS}: not there yet; run `python -m tools summarize {exp.file}` first")
        return places.checksums

    return Stage("claims", folder / MARKER, current, outputs=lambda record: {folder / CLAIMS: record[CLAIMS]})


def plot_stage(results: Path, tables: Path) -> Stage:
    """The figures in `results` that could be drawn, from the present tables in `tables`."""
    folder = results / FIGURES

    def current(_: Record) -> dict[str, str]:
        return {str(tables / name): sha256(tables / name) for name in TABLES[:4] if (tables / name).is_file()}

    def outputs(record: Record) -> dict[Path, str | None]:
        digests = record.get("outputs", {})  # older records have none
        return {folder / name: digests.get(name) for name in record["files"]}

    return Stage("plot", folder / "figures.json", current, outputs=outputs)


def report_stage(results: Path, tables: Path) -> Stage:
    """The page in `results`, made from the present tables in `tables`, the figures and the page's template."""

    def current(record: Record) -> dict[str, str]:
        from tools.page import template  # Jinja
        from tools.stats.claim_places import are_of

        of_runs = [tables / name for name in ("summary.json", MANIFESTS)]  # for the commits, engines and times
        files = [tables / name for name in (RUNS, SUMMARY, CURVES, CLAIMS, *OTHER_TABLES)]
        known = record.get("inputs", [_short_name(file) for file in of_runs])  # older records lack them, and stand
        files += [file for file in of_runs if _short_name(file) in known]
        if (tables / CLAIMS).is_file() and not are_of(tables):
            files.remove(tables / CLAIMS)  # the page says so, and has none
        marker = results / FIGURES / "figures.json"
        files += [marker, *(marker.parent / name for name in (read_json(marker) or {}).get("files", []))]
        files += sorted(template.FOLDER.glob("*.*"))
        return {_short_name(file): sha256(file) for file in files if file.is_file()}

    def outputs(record: Record) -> dict[Path, str | None]:
        return {results / PAGE: record.get("outputs", {}).get(PAGE)}

    return Stage("report", results / "report.json", current, outputs=outputs)


def _short_name(file: Path) -> str:
    return str(file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) else file)
