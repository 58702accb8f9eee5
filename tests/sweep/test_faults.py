"""What a machine and its user do to a sweep: clocks, names, kills of one process, places that cannot be written.

Each sweep is real: images to figures, with real Caffe, on four classes of small images.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.helpers import trained_project
from tests.helpers.shell_scripts import stand_in

pytestmark = pytest.mark.slow

SOURCE, COPY = "B2A/n0012/base/seed0", "A2B/n0012/S1T/seed0"
SET = ("--jobs", "1", "--set", "sizes=[12] conditions=[base,S1T]")  # three runs
FUTURE = time.time() + 10 * 365 * 86400


@pytest.fixture
def quick(root, tmp_path) -> Path:
    """The experiment file of a project in the current folder; nothing is done yet."""
    trained_project.write_project(tmp_path / "images")
    return Path("experiments/quick.yaml")


def runs(name: str = "quick") -> dict[str, dict]:
    """The manifests of models/NAME by run."""
    found = Path("models", name).rglob("manifest.json")
    return {manifest["run"]: manifest for path in found if (manifest := json.loads(path.read_text()))}


def test_no_time_of_a_file_decides_what_is_done(root, quick, caffe, tmp_path):
    """Once a net is trained all files are made ten years newer, as if the clock had been set back then."""
    find = "find . -newermt 2000-01-01 -exec touch -h -d '2100-01-01' {} +"
    wrapper = stand_in(
        tmp_path / "bin", "caffe", f'"{caffe}" "$@"; code=$?; [ "$1" = --version ] || {find}; exit $code'
    )
    root.environment["CAFFE"] = str(wrapper)
    said = root("sweep", quick, *SET)
    assert "quick: done in" in said and len(runs()) == 3
    source = Path("models/quick", SOURCE, "manifest.json")
    assert source.stat().st_mtime > FUTURE
    shutil.rmtree(Path("models/quick", COPY))
    assert "1 of 3 runs to do." in (said := root("sweep", quick, *SET)) and "quick: done in" in said
    assert "nothing to do: all 3 runs" in root("sweep", quick, *SET)
    copy = shutil.copytree(".", tmp_path.parent / f"{tmp_path.name}-copy", symlinks=True)
    os.chdir(copy)
    for path in sorted(Path().rglob("*")):
        os.utime(path, (0, 0))
    assert "nothing to do: all 3 runs" in root("sweep", quick, *SET)


def test_no_name_reaches_a_shell_and_no_home_is_needed(root, quick):
    """The name is one of shells, of Snakemake's wildcards and of format strings."""
    root.environment |= {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache"}
    name = 'a b {x} {run} it\'s "quoted" $(touch pwned)`touch pwned`; touch pwned;'
    file = quick.rename(quick.with_name(f"{name}.yaml"))
    said = root("sweep", file, "--jobs", "1", "--set", "sizes=[12] conditions=[base] directions=['A2B']")
    assert f"{name}: done in" in said
    assert list(runs(name)) == ["A2B/n0012/base/seed0"]
    assert Path("results", name, "report.html").is_file()
    assert not list(Path().rglob("pwned")) and not Path(".snakemake").exists()


def test_make_hands_names_and_values_on_as_they_are(root, quick, checkout, tmp_path):
    shutil.copy(quick, "experiments/a$(touch pwned) it's.yaml")
    shutil.move(tmp_path / "images", tmp_path / "im$(touch pwned)`id` ages")
    more = f"sizes=[12] path='{tmp_path}/im$(touch pwned)`id` ages'"
    command = ["make", "-s", "-f", f"{checkout}/Makefile", f"PROJECT={checkout}", f"VENV={checkout}/.venv"]
    command += ["a$(touch pwned) it's-sweep", "DRY_RUN=1", f"SET={more}"]
    result = subprocess.run(command, env=root.environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "3 runs, 0 done; folder models/a$(touch pwned) it's/" in result.stdout
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("folder", ["models", "results", "data"])
def test_a_folder_that_is_a_link_to_nowhere_is_named(root, quick, folder):
    Path(folder).symlink_to("/mnt/not-mounted/disk")
    said = root("sweep", quick, *SET, status=2)
    assert f"error: {folder}: a link to /mnt/not-mounted/disk, which is not there" in said


def test_a_finished_sweep_is_finished_without_its_images_and_lists(root, quick, tmp_path):
    root("sweep", quick, *SET)
    before = {run: manifest["ended"] for run, manifest in runs().items()}
    shutil.rmtree(tmp_path / "images")
    for file in Path("data").rglob("*.txt"):
        file.unlink()
    (tmp_path / "images").mkdir()
    assert "nothing to do: all 3 runs and figures are there" in (said := root("sweep", quick, *SET))
    assert "what `fetch` made is not here any more" in said and "what `split` made is not here any more" in said
    assert "stages: fetch not needed, split not needed, pack done" in root("status", quick, *SET[2:])
    Path("results/quick/report.html").unlink()
    root("sweep", quick, *SET)
    assert Path("results/quick/report.html").is_file()
    assert before == {run: manifest["ended"] for run, manifest in runs().items()}


VICTIMS = {
    "tools split": "  failed: split: killed by signal 9 (SIGKILL): most likely for lack of memory",
    "-m tools.planning.job": "died with <Signals.SIGKILL: 9>",
    "-m snakemake": "  failed: Snakemake: killed by signal 9 (SIGKILL): most likely for lack of memory",
}


def test_what_is_killed_for_lack_of_memory_is_named_and_the_same_command_goes_on(root, quick):
    command = [sys.executable, "-m", "tools", "sweep", str(quick), *SET]
    for victim, told in VICTIMS.items():
        sweep = subprocess.Popen(
            command, env=root.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        kill(sweep.pid, victim)
        _, said = sweep.communicate()
        assert sweep.returncode == 1 and "quick: 0 of 3 runs done" in said and told in said, said
    assert "quick: done in" in root("sweep", quick, *SET)


def kill(parent: int, words: str) -> None:
    """Kills the first process below `parent` with these words in its name or command."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for process in below(parent):
            if words in " ".join(command_of(process)):
                process.kill()
                return
        time.sleep(0.002)
    raise AssertionError(f"no process {words}")


def below(parent: int) -> Iterator[psutil.Process]:
    try:
        yield from psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return


def command_of(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.Error:
        return []


def test_a_plan_that_another_sweep_has_overtaken_takes_nothing_away(root, quick, caffe, tmp_path):
    """The second sweep plans while a run is stale, then its measurement takes until the first has trained that run."""
    root("sweep", quick, *SET)
    solver = Path("solvers/quick.prototxt")
    solver.write_text(solver.read_text().replace("0.05", "0.04"))
    go = tmp_path / "go"
    wait = f'case "$*" in *long.prototxt*|*/tmp*solver.prototxt*) while [ ! -e {go} ]; do sleep 0.1; done;; esac'
    slow = stand_in(tmp_path / "slow", "caffe", f'{wait}; exec "{caffe}" "$@"')
    Path("results/quick/iteration.json").unlink()
    command = [sys.executable, "-m", "tools", "sweep", str(quick), *SET]
    environment = root.environment | {"CAFFE": str(slow), "TMPDIR": str(tmp_path)}
    second = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert second.stdout is not None
    assert any("3 of 3 runs to do." in line for line in second.stdout)
    root("sweep", quick, *SET)
    first = runs()
    go.touch()
    said = second.stdout.read()
    assert second.wait() == 0, said
    assert runs() == first and {manifest["attempts"] for manifest in first.values()} == {1}
