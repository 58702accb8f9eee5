"""python -m tools VERB ...: the command line of every verb. A user's mistake is one clear error and exit code 2."""

import gc
import importlib
import io
import os
import sys
from pathlib import Path

from tools.common import parent_death

parent_death.obey()  # before what takes long to import: a sweep may be killed at any moment

try:
    from caffeformat import FormatError
    from tools.common.errors import UserError, shown
except ModuleNotFoundError as missing:
    sys.exit(f"error: no module {missing.name} in {sys.executable}; `make venv`, then .venv/bin/python -m tools ...")

VERBS = {
    "doctor": "show what this machine has for the experiments, and what is missing",
    "new": "write an experiment file for your own images",
    "fetch": "bring the data set, and check it",
    "split": "divide the classes into halves and draw the target sets: lists",
    "pack": "decode the images into LMDBs, each image once",
    "mean": "compute the mean image of every training LMDB",
    "render": "write a run's train_val.prototxt and solver.prototxt, and print its copy plan",
    "train": "run `caffe train` on a rendered run, and prove what was copied and frozen",
    "parse": "turn a Caffe log into train.csv and test.csv",
    "predict": "record the class that a trained net gives to every validation image",
    "run": "train one run to its end: render, train, parse, predict, manifest",
    "sweep": "do everything that an experiment needs, as a graph of the other verbs",
    "summarize": "collect the runs into tables: runs, means, learning curves, predictions",
    "claims": "test the thesis' claims, or your own, on the tables",
    "advise": "say which condition to use with n images a class, or how many images an accuracy takes",
    "confusion": "write and draw the confusion matrix of one run",
    "export": "give a run's net to ONNX, PyTorch or safetensors, with a model card",
    "publish": "copy the tables and figures into docs/results/",
    "restore": "put published runs back into models/, so that a sweep continues from them",
    "plot": "draw the figures",
    "retain": "score target nets on the source task",
    "scores": "compute transferability scores, beside the measured accuracy",
    "report": "write the page of the results: one HTML file",
    "verify": "look again at everything that the results stand on, and name the command that mends a fault",
    "tensorboard": "show the curves of running and finished runs in TensorBoard",
    "status": "show which runs are done, running, waiting or failed",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in VERBS:
        given = f"unknown verb {sys.argv[1]!r}\n" if len(sys.argv) > 1 and sys.argv[1] not in ("-h", "--help") else ""
        width = max(map(len, VERBS))
        lines = "\n".join(f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
        print(f"{given}usage: python -m tools VERB EXPERIMENT ...\n\n{lines}", file=sys.stderr if given else sys.stdout)
        return 2 if given else 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be anything
    gc.set_threshold(50_000)  # the 700 of Python cost a tenth of a verb's start, in searches of what it has loaded
    try:
        _settle_environment()
        status = importlib.import_module(f"tools.{sys.argv[1]}").main(sys.argv[2:]) or 0
        sys.stdout.flush()  # here a full disk or a closed pipe is an error with a name
        return status
    except (UserError, FormatError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that cannot be written: outputs appear whole or not at all
        print(f"error: {_explain(error)}", file=sys.stderr)
        if error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again as it ends
        return 2
    except KeyboardInterrupt:
        return 130


def _settle_environment() -> None:
    """Undoes settings of the caller's environment that would change what the verbs draw or the engine logs.

    Raises UserError where the current folder has a name that cannot be written into a file.
    """
    os.environ["MPLBACKEND"] = "Agg"  # Jupyter names a backend that draws into its notebook; the verbs draw into files
    for name in [name for name in os.environ if name.startswith("GLOG_")]:
        del os.environ[name]  # GLOG_minloglevel and GLOG_log_prefix take away lines and times that are read
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # there are none; it looks at every installed package for one
    folder = os.getcwd()
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{shown(folder)}: the path of the current folder is not UTF-8; rename or move the folder"
        ) from None


def _explain(error: OSError) -> str:
    """The file of an OSError and what is wrong with it. Names a link above it that leads nowhere."""
    if error.filename is None:
        return f"standard output: {error.strerror or error}"
    path = Path(os.fsdecode(error.filename))
    for place in (path, *path.parents):
        if os.path.islink(place) and not os.path.exists(place):  # these take a name that is too long
            return f"{place}: a link to {os.readlink(place)}, which is not there; make that folder, or remove the link"
    return f"{path}: {error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
