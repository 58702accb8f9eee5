"""What pilots on a Slurm cost beside the runs: runs that are a `sleep`, on four nodes.

    python -m benchmarks.pilots --runs 500 --seconds 2 --pilots 4 --at-a-time 2

in a folder that the nodes share, with a Slurm whose commands are on the PATH. Prints the time from the submission
to the end of the last run, the ideal one, and the difference in percent.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tools.cluster.executor import Job
from tools.cluster.pilot import Pilot
from tools.cluster.profile import SlurmProfile
from tools.cluster.slurm import Slurm
from tools.planning.state import Plan
from tools.protocol.layout import Run

PROFILE = SlurmProfile(executor="slurm", pilots=1, cpus=1, memory=0.2, hours=1.0)


def runs_of(count: int) -> list[Run]:
    return [Run("sleeps", "A2B", 10, "base", seed) for seed in range(count)]


def work(count: int, seconds: float, places: int) -> None:
    """A pilot; the runs beyond the first ten copy from one of those."""
    runs = runs_of(count)
    plan = Plan({}, dict.fromkeys(runs, "waiting"), {run: runs[run.seed % 10] for run in runs[10:]})

    def command(run: Run) -> list[str]:
        return ["sh", "-c", f"echo x >>{run.folder}/times; sleep {seconds}; echo {{}} >{run.manifest}"]

    job = Slurm(PROFILE).own_job()
    Pilot(plan, command, lambda run: run.failed.exists(), job, Path("log"), [None] * places).work()


def measure(count: int, seconds: float, pilots: int, places: int) -> None:
    slurm, runs = Slurm(PROFILE), runs_of(count)
    logs = Path("logs").absolute()
    logs.mkdir()
    words = [sys.executable, "-P", "-m", "benchmarks.pilots", "--runs", str(count), "--seconds", str(seconds)]
    command = (*words, "--at-a-time", str(places), "--work")
    began = time.time()
    slurm.submit(Job("pilot", "sleeps", pilots, command, logs, places, 0, 0.2, 1.0))
    waiting = runs
    while waiting := [run for run in waiting if not run.manifest.exists()]:
        time.sleep(0.2)
    took = max(run.manifest.stat().st_mtime for run in runs) - began
    twice = sum(len((run.folder / "times").read_text().split()) > 1 for run in runs)
    ideal = count * seconds / (pilots * places)
    first = min((run.folder / "times").stat().st_mtime for run in runs) - began
    print(
        f"{count} runs of {seconds:g} s, {pilots} pilots, {places} at a time in each: {took:.1f} s; ideal {ideal:.1f} s"
    )
    print(f"overhead {100 * (took / ideal - 1):.1f} %; the first began after {first:.1f} s; {twice} were begun twice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--pilots", type=int, default=4)
    parser.add_argument("--at-a-time", type=int, default=2)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.runs, arguments.seconds, arguments.at_a_time)
    else:
        subprocess.run(["sinfo"], check=True)
        measure(arguments.runs, arguments.seconds, arguments.pilots, arguments.at_a_time)


if __name__ == "__main__":
    main()
