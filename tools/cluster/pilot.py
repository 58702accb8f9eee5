"""A pilot: works through an experiment's runs, beside other pilots, until none is left or its time is nearly up.

The shared folder is the queue. A pilot takes the first run, sources first, that is not done, whose source net is there,
and that nobody works on; the kernel's locks say so, and are free again when a node dies. It waits for no other pilot: a
run whose source is trained elsewhere is passed over. `tools run` itself trains a run once, whoever calls it.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tools.cluster import fate
from tools.cluster.executor import MEMORY, NODE, TIME
from tools.common.files import is_locked, read_json, write_json
from tools.common.parent_death import with_this_process
from tools.planning.state import Plan
from tools.protocol.layout import Run

IDLE = 60.0  # seconds without a run to take, after which a pilot ends and frees its cores and GPUs
_STEP = 0.02  # seconds between two looks at the children; a run takes seconds at least
_REST = 1.0  # seconds between two looks at the folder while nothing can be taken
_END = 30.0  # seconds that runs have to end once the scheduler ends the job


@dataclass
class Taken:
    """A run that this pilot works on."""

    run: Run
    process: "subprocess.Popen[bytes]"
    claim: IO[str]
    gpu: str | None
    began: float


@dataclass
class Pilot:
    """command: a run -> the words that train it. is_over: whether a run has failed in this sweep.

    seconds: a run -> its estimated seconds, None if unknown. left: the seconds until the job must have ended.
    places: a GPU (None: the cores) for each training at a time. job, log: the id and log file of this job. level: the
    runs that were killed for time or memory at most so often are for this pilot; the others need one that has more.
    opened: called when a net is trained that other runs wait for. waits: this pilot does not end while it has time and
    runs wait for a net, for nobody would send another one then.
    """

    plan: Plan
    command: Callable[[Run], list[str]]
    is_over: Callable[[Run], bool]
    job: str
    log: Path
    places: list[str | None]
    environment: dict[str, str] = field(default_factory=dict)
    seconds: Callable[[Run], float | None] = lambda run: None
    left: Callable[[], float] = lambda: float("inf")
    ending: Callable[[str, Path], str | None] = lambda job, log: None
    margin: float = 1.5
    retries: int = 2
    level: int = 0
    opened: Callable[[], None] = lambda: None
    waits: bool = False
    idle: float = IDLE

    def __post_init__(self) -> None:
        self._open = dict.fromkeys(self.plan.remaining)
        self._taken: list[Taken] = []
        self._ending = False
        self._sources = {*self.plan.copies.values()}
        self.finished = 0  # runs
        self._whole = self.left()

    def work(self) -> bool:
        """Takes runs until none is left to take. Returns whether it was told to end before that."""
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_ending", True))
        last = time.monotonic()
        while not self._ending:
            while len(self._taken) < len(self.places) and self._take_one():
                last = time.monotonic()
            is_idle = not self._taken and (not self._open or time.monotonic() - last > self.idle)
            if is_idle and not (self.waits and any(self._is_free(run) for run in self._open)):
                break
            full = len(self._taken) == len(self.places)
            until = time.monotonic() + _REST
            while not self._reap() and (full or time.monotonic() < until) and not self._ending:
                time.sleep(_STEP)
            last = time.monotonic() if self._taken else last
        self._end()
        return self._ending

    def left_to_others(self) -> bool:
        """Whether runs are left that neither are done nor have failed."""
        return not all(self._is_settled(run) for run in self.plan.remaining)

    def left_free(self) -> bool:
        """Whether runs are left that nobody works on, and that have a chance: what they copy from has not failed."""
        sources = self.plan.copies
        lost = {run for run in self.plan.remaining if self.is_over(run)}
        free = (run for run in self.plan.remaining if run not in lost and sources.get(run) not in lost)
        return any(self._is_free(run) for run in free)

    def _is_free(self, run: Run) -> bool:
        return not self._is_settled(run) and not is_locked(run.folder / ".taken")

    def _take_one(self) -> bool:
        ready: dict[Run, bool] = {}
        for run in list(self._open):
            source = self.plan.copies.get(run)
            if source and source not in ready:
                ready[source] = source.manifest.exists()
                if not ready[source] and self.is_over(source):
                    self._open = {other: None for other in self._open if self.plan.copies.get(other) != source}
            if run not in self._open or (source and not ready[source]):
                continue
            if self._is_settled(run):
                del self._open[run]
            elif not is_locked(run.lock) and (claim := self._claim(run)):
                self._start(run, claim)
                return True
        return False

    def _is_settled(self, run: Run) -> bool:
        done = run.manifest.exists() and self.plan.runs[run] != "unscored"
        return done or self.is_over(run)

    def _fits(self, run: Run) -> bool:
        """Whether the time that is left is enough for the run; of a whole pilot's time the margin is not asked."""
        seconds = self.seconds(run)
        if seconds is None:
            return True
        left = self.left()
        if left >= seconds * self.margin or (left >= seconds and left > 0.9 * self._whole):
            return True
        if seconds > self._whole:
            text = f"its training takes about {seconds / 3600:.2g} hours, and a pilot has {self._whole / 3600:.2g}"
            write_json(run.failed, {"run": run.key, "error": f"{text}; set more `hours` in the profile", "attempts": 0})
        return False

    def _claim(self, run: Run) -> IO[str] | None:
        """The lock that other pilots see at once; the run's own is taken by `tools run` when it has started."""
        run.folder.mkdir(parents=True, exist_ok=True)
        file = open(run.folder / ".taken", "a")  # noqa: SIM115  held until the run has ended
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if not self._is_settled(run) and self._may_begin(run) and self._fits(run):
            return file
        del self._open[run]
        self._release(run, file)
        return None

    def _may_begin(self, run: Run) -> bool:
        """Notes how an earlier job ended that had the run and did not finish it; whether the run may be tried again."""
        before = fate.record_of(run)
        if before["job"]:
            why = self.ending(before["job"], Path(before["log"])) if before["job"] != self.job else None
            fate.note_killed(run, why or NODE)
        return not fate.give_up(run, self.retries) and fate.kills(run, TIME, MEMORY) <= self.level

    def _start(self, run: Run, claim: IO[str]) -> None:
        node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
        fate.note_taken(run, self.job, node, self.log)
        used = [taken.gpu for taken in self._taken]
        free = list(self.places)
        for gpu in used:
            free.remove(gpu)
        environment = os.environ | self.environment
        if free[0] is not None:
            environment |= {"GPUS": free[0], "CUDA_VISIBLE_DEVICES": free[0]}
        with open(run.folder / fate.LOG, "a", encoding="utf-8") as out:
            print(
                f"# job {self.job} on {node}, {time.strftime('%FT%TZ', time.gmtime())}; {self.log}",
                file=out,
                flush=True,
            )
            process = subprocess.Popen(
                self.command(run),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=with_this_process(),
            )
        self._taken.append(Taken(run, process, claim, free[0], time.monotonic()))

    def _reap(self) -> bool:
        """Whether a run of this pilot has ended."""
        for taken in self._taken:
            if taken.process.poll() is None:
                continue
            self._taken.remove(taken)
            self._open.pop(taken.run, None)
            self._note_end(taken)
            self._release(taken.run, taken.claim)
            if taken.run in self._sources and taken.process.returncode == 0 and not self._ending:
                self.opened()
            return True
        return False

    def _note_end(self, taken: Taken) -> None:
        run, status = taken.run, taken.process.returncode
        if status == 0:
            self.finished += 1
            fate.note_left(run)
        elif self._ending:  # the scheduler ends the job: no failure of the run. How it ended is known later
            run.failed.unlink(missing_ok=True)
            return
        elif status == -signal.SIGKILL or "signal 9" in str((read_json(run.failed) or {}).get("error")):
            run.failed.unlink(missing_ok=True)  # by a control group that was out of memory
            fate.note_killed(run, MEMORY)
            fate.give_up(run, self.retries)
        else:
            fate.note_left(run)
            if not run.failed.exists():
                write_json(run.failed, {"run": run.key, "error": last_line(run), "attempts": 0})
        print(last_line(run) or f"{run.key}: exit {status}", flush=True)

    def _release(self, run: Run, claim: IO[str]) -> None:
        (run.folder / ".taken").unlink(missing_ok=True)
        claim.close()

    def _end(self) -> None:
        """Ends what is running, if anything is: the scheduler has sent its signal to all processes of the job."""
        end = time.monotonic() + _END
        for taken in self._taken:
            taken.process.terminate()
        while self._taken and time.monotonic() < end:
            if not self._reap():
                time.sleep(_STEP)


def last_line(run: Run) -> str:
    """The last line that the run printed in its job."""
    with contextlib.suppress(FileNotFoundError), open(run.folder / fate.LOG, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""


def words_of_run(arguments: list[str]) -> Callable[[Run], list[str]]:
    """The command that trains a run: `python -m tools run ... KEY`."""
    return lambda run: [sys.executable, "-m", "tools", "run", *arguments, run.key]
