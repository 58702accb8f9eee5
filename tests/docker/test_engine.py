"""docker/build.sh and docker/run.sh: which engine they choose, and what they ask of it.

The engines here are stand-ins that print how they were called: an image takes minutes (tests/image).
"""

import os
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import before_path, run, stand_in

PRINTS = '[ "$1" = info ] || echo "$(basename "$0") $*"'
FAILS = "exit 1"


@pytest.fixture
def called(checkout: Path, tmp_path: Path):
    """Calls a script of docker/ on a machine with these engines."""

    def call(script: str, *arguments: str, docker=FAILS, podman=FAILS, buildah=FAILS, gpu=FAILS, **settings: str):
        programs = {"docker": docker, "podman": podman, "buildah": buildah, "nvidia-smi": gpu}
        for name, text in programs.items():
            stand_in(tmp_path / "bin", name, text)
        path = before_path(tmp_path / "bin")
        return run("sh", checkout / "docker" / script, *arguments, cwd=tmp_path, PATH=path, **settings)

    return call


@pytest.mark.parametrize(
    ("works", "chosen"),
    [(["docker", "podman", "buildah"], "docker"), (["podman", "buildah"], "podman"), (["buildah"], "buildah")],
)
def test_the_first_engine_that_works_builds(called, works, chosen):
    done = called("build.sh", "cpu", **dict.fromkeys(works, PRINTS))
    assert done.returncode == 0, done.stderr
    assert f"{chosen} build " in done.stdout and "--target cpu --tag caffe-transfer:cpu" in done.stdout
    assert ("--layers" in done.stdout) == (chosen != "docker"), "docker keeps layers anyway, and refuses the option"


def test_an_engine_can_be_named(called):
    assert "podman build" in called("build.sh", "cpu", docker=PRINTS, podman=PRINTS, CONTAINER_ENGINE="podman").stdout
    done = called("build.sh", "cpu", docker=PRINTS, CONTAINER_ENGINE="podman")
    assert done.returncode == 1 and "no podman works here" in done.stderr


def test_without_any_the_error_says_what_to_install(called):
    done = called("run.sh", "cpu", "make")
    assert done.returncode == 1 and "no docker, podman or buildah works here" in done.stderr
    assert "apt-get install podman" in done.stderr


def test_mirrors_reach_the_build(called):
    done = called(
        "build.sh", "cuda", docker=PRINTS, CAFFE_MIRROR="http://a.example/x", DEBIAN_MIRROR="http://b.example"
    )
    assert "--build-arg CAFFE_MIRROR=http://a.example/x --build-arg DEBIAN_MIRROR=http://b.example" in done.stdout


def test_a_command_runs_as_the_caller_in_the_current_folder_with_the_pipelines_settings(called, tmp_path):
    done = called("run.sh", "cpu", "make", "demo-sweep", docker=PRINTS, GPUS="", PER_GPU="2")
    mounted = f"--volume {tmp_path}:/work --env PER_GPU=2 --env GPUS= --user {os.getuid()}:{os.getgid()} --rm"
    assert done.stdout == f"docker run {mounted} caffe-transfer:cpu make demo-sweep\n"
    assert "--user" not in called("run.sh", "cpu", "make", docker=PRINTS, RUN_AS="").stdout


def test_the_cuda_image_gets_the_gpus_where_there_are_any(called):
    assert "--gpus all caffe-transfer:cuda" in called("run.sh", "cuda", "make", docker=PRINTS, gpu="exit 0").stdout
    podman = called("run.sh", "cuda", "make", podman=PRINTS, gpu="exit 0").stdout
    assert "--device nvidia.com/gpu=all caffe-transfer:cuda" in podman
    assert "gpu" not in called("run.sh", "cuda", "make", docker=PRINTS).stdout
    assert "gpu" not in called("run.sh", "cpu", "make", docker=PRINTS, gpu="exit 0").stdout


def test_buildah_runs_in_a_container_that_goes_afterwards_and_its_exit_status_is_the_commands(called):
    buildah = 'case $1 in info) ;; from) echo made ;; rm) echo "removed $2" >&2 ;; run) echo "$@"; exit 3 ;; esac'
    done = called("run.sh", "cpu", "make", buildah=buildah)
    assert done.returncode == 3 and done.stdout.rstrip().endswith("made make")
    assert done.stderr == "removed made\n"
