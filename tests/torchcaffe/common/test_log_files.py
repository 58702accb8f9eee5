"""--log_dir: the files have the names and the lines of BVLC Caffe's, and minloglevel leaves out the same lines."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.engine_processes import engines
from torchcaffe.common.log_files import LogFiles

NET = """\
input: "data" input_shape { dim: 2 dim: 3 }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
"""


def files_of(engine: list[str], folder: Path, *flags: str) -> tuple[dict[str, str], list[str]]:
    """Runs `time`. Returns the text of each file in `folder` by its name, and the severities on standard error."""
    folder.mkdir()
    (folder.parent / "net.prototxt").write_text(NET)
    command = [*engine, "time", "--model=net.prototxt", "--iterations=1", f"--log_dir={folder.name}", *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLOG_")}
    environment["PYTHONPATH"] = str(engine_runs.CHECKOUT)
    done = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, check=False)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    return written, re.findall(r"^([IWEF])\d{4} ", done.stderr, re.MULTILINE)


def general(name: str) -> str:
    return re.sub(r"\d{8}-\d{6}\.\d+$", "TIME.PID", name)


def test_the_files_are_named_as_caffes_and_hold_what_goes_to_standard_error(caffe, tmp_path):
    engine = engines(caffe)
    real, _ = files_of(engine["caffe"], tmp_path / "real")
    ours, severities = files_of(engine["torchcaffe"], tmp_path / "ours")
    assert set(map(general, ours)) == set(map(general, real)) and len(ours) == 4
    assert re.findall(r"^([IWEF])\d{4} ", ours["caffe.INFO"], re.MULTILINE) == severities
    headers = [re.sub(r"\d\d", "0", "".join(written["caffe.INFO"].splitlines(True)[:3])) for written in (real, ours)]
    assert headers[0] == headers[1] and headers[0].startswith("Log file created at: ")


@pytest.mark.parametrize("level", ["--minloglevel=1", "--minloglevel=0"])
def test_the_lowest_severity_is_the_same(caffe, tmp_path, level):
    engine = engines(caffe)
    real, shown = files_of(engine["caffe"], tmp_path / "real", level)
    ours, ours_shown = files_of(engine["torchcaffe"], tmp_path / "ours", level)
    assert set(shown) == set(ours_shown) and set(map(general, ours)) == set(map(general, real))


def test_each_file_has_its_severity_and_all_higher_ones(tmp_path):
    files = LogFiles(tmp_path)
    for severity in "IWIF":
        files.write(severity, f"{severity} said\n")
    files.close()
    said = {path.name: re.findall("^. said", path.read_text(), re.M) for path in tmp_path.glob("caffe.[A-Z]*")}
    assert {name: "".join(line[0] for line in lines) for name, lines in said.items() if name.count(".") == 1} == {
        "caffe.INFO": "IWIF",
        "caffe.WARNING": "WF",
        "caffe.ERROR": "F",
        "caffe.FATAL": "F",
    }


def test_a_folder_that_cannot_be_written_is_told_once_and_costs_nothing_else(tmp_path, capsys):
    files = LogFiles(tmp_path / "none")
    files.write("I", "a\n")
    files.write("F", "b\n")
    said = capsys.readouterr().err
    assert said == f"Could not write the log to {tmp_path}/none: No such file or directory; make that folder\n"


def test_a_user_without_a_name_and_names_that_are_not_utf_8_are_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    files = LogFiles(tmp_path)
    files.write("I", "Opened caf\udce9\n")
    files.close()
    assert (tmp_path / "caffe.INFO").read_text().endswith("Opened caf\\udce9\n")
    assert ".uid54321.log.INFO." in os.readlink(tmp_path / "caffe.INFO")
