"""Give a run's net to the world outside of Caffe, as ONNX, PyTorch code or safetensors, with a model card.

    python -m tools export experiments/demo.yaml A2B/n0001/FTall/seed20
    python -m tools export experiments/demo.yaml A2B/n0001/FTall/seed20 --to onnx,pytorch,safetensors --preprocess

writes results/<experiment>/export/A2B-n0001-FTall-seed20/: net.onnx, pytorch/, net.safetensors, the run's
train_val.prototxt and mean.binaryproto, and readme.md, the card. It has the front matter of Caffe's models (name,
caffemodel, sha1, license), the experiment, the accuracy, the classes in order, and what is done to an image.

The exporter is the program torchcaffe, also for a net that BVLC Caffe has trained: `make torchcaffe` brings it. It
computes every blob with the exported net and with BVLC Caffe, if that is there, and refuses to write what differs.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, TransformationParameter
from tools import cli
from tools.common.errors import UserError
from tools.common.files import new_folder, read_json, sha256, write_atomic
from tools.figures.samples import class_names
from tools.nets.templates import NET, SOLVER
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, results_folder, size_name, split_of
from tools.protocol.net_graph import graph_of
from tools.protocol.register import card
from tools.protocol.runs import find_run
from tools.results.columns import SUMMARY, Row, engine_name, read_csv
from tools.training.engine import NoEngine, find_engine
from tools.training.output import ended, lines_of, silence_allowed, started

FOLDER, CARD = "export", "readme.md"
OUTPUTS = {"onnx": "net.onnx", "pytorch": "pytorch", "safetensors": "net.safetensors"}


def export(exp: Experiment, run: Run, formats: list[str], preprocess: bool) -> Path:
    """Writes the folder, whole or not at all, and returns it. Raises UserError."""
    manifest = read_json(run.manifest)
    if manifest is None:
        raise UserError(f"{run.folder}: not finished; run `python -m tools run {exp.file} {run.key}` first")
    if manifest["result"]["status"] == "diverged":
        raise UserError(f"{run.folder}: it has diverged: there is no net to export")
    model = run.folder / manifest["model"]["file"]
    if not model.exists():
        raise UserError(f"{model}: gone (keep_models); train it again: `python -m tools run {exp.file} {run.key}`")
    if sha256(model) != manifest["model"]["sha256"]:
        raise UserError(f"{model}: not the net that {run.manifest} names; `make verify` says what to do")
    program = find_exporter()
    folder = results_folder(exp, engine_name()) / FOLDER / run.key.replace("/", "-")
    with new_folder(folder) as part:
        said = []
        for name in formats:
            extra = ["--preprocess=net"] if preprocess and name == "onnx" else []
            said += _run(program, run, model, name, part / OUTPUTS[name], folder / OUTPUTS[name], extra)
        shutil.copy(run.folder / NET, part)
        transform = transform_of(run)
        if transform.mean_file:
            shutil.copy(transform.mean_file, part / "mean.binaryproto")
        steps = what_is_left(transform, formats, preprocess)
        write_atomic(part / CARD, model_card(exp, run, manifest, model, transform.crop_size, steps, said))
    return folder


def find_exporter() -> Path:
    """The program torchcaffe: beside this Python, or on the PATH. Raises UserError that says how to get it."""
    found = shutil.which("torchcaffe", path=str(Path(sys.executable).parent)) or shutil.which("torchcaffe")
    if not found:
        raise UserError(
            "export: the program torchcaffe writes and checks exported nets, also those that BVLC Caffe trained, and "
            "it is not installed; run `make torchcaffe`"
        )
    return Path(found)


def _run(program: Path, run: Run, model: Path, to: str, output: Path, final: Path, more: list[str]) -> list[str]:
    """Runs `torchcaffe export` into `output`, and returns the lines that it prints, with `final`, where that will lie,
    in its place. Raises UserError with its message."""
    state = prototxt.read_solver(run.folder / SOLVER).test_state
    stages = [f"--level={state[0].level}", f"--stage={','.join(state[0].stage)}"] if state else []
    command: list[str | Path] = [program, "export", run.folder / NET, model, f"--to={to}", f"--output={output}"]
    process = started([*command, *stages, *more], _environment())
    with ended(process):
        lines = [line.rstrip("\n") for line in lines_of(process, silence_allowed())]
    if process.returncode:
        fault = [line.partition("Check failed: ")[2] or line for line in lines if "stack trace" not in line]
        raise UserError(f"{run.key}: torchcaffe export --to {to} failed:\n" + "\n".join(fault[-12:]))
    lines = [line.replace(str(output), str(final)) for line in lines]
    print("\n".join(lines), flush=True)
    return lines


def _environment() -> dict[str, str]:
    """With PYCAFFE, against which torchcaffe checks, naming the pycaffe of BVLC Caffe, if that is there."""
    try:
        pycaffe = find_engine().path.with_name("pycaffe")
    except NoEngine:
        return dict(os.environ)
    return {"PYCAFFE": str(pycaffe), **os.environ} if pycaffe.exists() else dict(os.environ)


def transform_of(run: Run) -> TransformationParameter:
    """What the run's data layer does to an image of the TEST phase."""
    net, solver = prototxt.read_net(run.folder / NET), prototxt.read_solver(run.folder / SOLVER)
    layers = [net.layer[at] for at in graph_of(net, TEST, solver).layers]
    return next((layer.transform_param for layer in layers if layer.type == "Data"), TransformationParameter())


def what_is_left(transform: TransformationParameter, formats: list[str], preprocess: bool) -> str:
    """What is done to an image before the nets in `formats`. With `preprocess`, net.onnx does it itself."""
    mean = "mean.binaryproto (its centre)" if transform.mean_file else list(transform.mean_value) or "nothing"
    steps = f"subtract {mean}, then multiply by {transform.scale:g}."
    if not (preprocess and "onnx" in formats):
        return steps.capitalize()
    others = " and ".join(OUTPUTS[name] for name in formats if name != "onnx")
    done = f"net.onnx takes these values: its graph subtracts {mean} and multiplies by {transform.scale:g}."
    return f"{done} For {others}: {steps}" if others else done


def model_card(
    exp: Experiment, run: Run, manifest: dict, model: Path, crop_size: int, steps: str, said: list[str]
) -> str:
    """The text of readme.md. `steps` says what is done to an image before the net."""
    net, about = prototxt.read_net(run.folder / NET), card(exp.dataset)
    sha1 = hashlib.sha1(model.read_bytes(), usedforsecurity=False).hexdigest()
    split, names = read_json(split_of(exp, run.seed).marker), class_names(exp)
    ids = split["classes"][run.target] if split else []
    front = {
        "name": f"{net.name or exp.model}, {manifest['experiment']} {run.key}",
        "caffemodel": model.name,
        "sha1": sha1,
        "license": "the net: BSD-2-Clause; the data: see below",
        "experiment": f"{exp.file}, run {run.key}",
        "accuracy": f"{manifest['result']['accuracy']:.4f}",
        "engine": manifest["engine"]["version"],
        "commit": manifest["commit"] or "unknown",
    }
    classes = "\n".join(f"{i}. {names.get(name, name)}" + f" ({name})" * (name in names) for i, name in enumerate(ids))
    size = crop_size or exp.image_size
    return "\n".join(
        [
            "---",
            *(f"{key}: {_scalar(value)}" for key, value in front.items()),
            "---",
            "",
            f"Trained on half {run.target} of {exp.dataset} with {size_name(run.size)} images a class, condition "
            f"{run.condition}, seed {run.seed}.",
            "",
            f"Terms of the data: {about.terms.strip()}",
            "",
            "## Accuracy",
            "",
            f"This net: {manifest['result']['accuracy']:.4f}, top-1, on the validation images of half {run.target}. "
            + _of_condition(exp, run),
            "",
            "## What the net takes",
            "",
            f"Images of {size} x {size} pixels{'' if exp.gray else ', channels in the order BGR'}, values from 0 to "
            f"255, (N, {1 if exp.gray else 3}, {size}, {size}), float32. {steps} Images of "
            f"{exp.image_size} x {exp.image_size} are cut to their centre.",
            "",
            "## Classes, in the order of the outputs",
            "",
            *(classes.splitlines() or ["unknown: the split is not there"]),
            "",
            "## How it was exported",
            "",
            *(f"- {line}" for line in said),
            "",
        ]
    )


def _of_condition(exp: Experiment, run: Run) -> str:
    """The mean of all runs of this size and condition, with its interval, if the tables are there."""
    path = results_folder(exp, engine_name()) / SUMMARY
    rows: list[Row] = read_csv(path) if path.exists() else []
    row = next((r for r in rows if r["size"] == run.size and r["condition"] == run.condition), None)
    if row is None or row.get("accuracy") is None:
        return "The tables of the experiment are not there, so no interval is known."
    mean = f"All runs of this size and condition: {row['accuracy']:.4f}, n = {row['n']}"
    if row.get("low") is None:
        return f"{mean}."
    return f"{mean}, 95 % interval {row['low']:.4f} to {row['high']:.4f} over {row['interval']}."


def _scalar(value: str) -> str:
    """`value` as YAML: in quotes if it might mean something else."""
    plain = value and all(c.isalnum() or c in " ._-/,;" for c in value) and not value[0].isdigit()
    return value if plain else "'" + value.replace("'", "''").replace("\n", " ") + "'"


def main(argv: list[str]) -> None:
    parser = cli.parser("export", __doc__)
    cli.add_run(parser)
    parser.add_argument("--to", default="onnx", metavar="FORMATS", help="onnx (the default), pytorch, safetensors")
    parser.add_argument("--preprocess", action="store_true", help="mean and scale as part of the ONNX graph")
    given = parser.parse_args(argv)
    formats = [name for name in given.to.replace(",", " ").split() if name]
    if not formats or not set(formats) <= OUTPUTS.keys():
        raise UserError(f"--to {given.to}: found a format that is none of {', '.join(OUTPUTS)}")
    exp = load(given.experiment, given.set)
    folder = export(exp, find_run(exp, engine_name(), given.run), formats, given.preprocess)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
