"""The commands that mend what was found, as text that runs as pasted into a shell."""

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.protocol.conditions import SOURCE
from tools.protocol.experiment import SELECTING, Experiment
from tools.protocol.layout import Run, Size, results_folder
from tools.protocol.runs import runs_of
from tools.results.columns import CURVES, MANIFESTS, RUNS
from tools.results.tables import PUBLISHED


@dataclass(frozen=True)
class Commands:
    """Of one experiment. engine: its name. python: the interpreter, `.venv/bin/python`."""

    exp: Experiment
    engine: str
    python: str

    def tools(self, verb: str, *arguments: str, overrides: str | None = None) -> str:
        """`.venv/bin/python -m tools VERB experiments/demo.yaml ARGUMENTS`, with the overrides and the engine."""
        overrides = self.exp.overrides if overrides is None else overrides
        given = ["--set", overrides] if overrides else []
        text = shlex.join([self.python, "-m", "tools", verb, str(self.exp.file), *arguments, *given])
        return text if self.engine == "caffe" else f"CAFFE={shlex.quote(self.engine)} {text}"

    def sweep(self, run: Run | None = None) -> str:
        """A sweep; with a run that the experiment does not select now, one that selects it."""
        return self.tools("sweep", overrides=self.selecting(run))

    def of_run(self, verb: str, run: Run) -> str:
        return self.tools(verb, run.key, overrides=self.selecting(run))

    def of_data(self, *verbs: str, seed: int, sizes: list[Size]) -> str:
        """The verbs that make the data of a seed, in their order."""
        selected = seed in self.exp.seeds and {*sizes} <= {self.exp.full_size, *self.exp.sizes}
        overrides = None if selected else self._with(seeds=f"[{seed}]", sizes=f"[{','.join(map(str, sizes))}]")
        return " && ".join(self.tools(verb, overrides=overrides) for verb in verbs)

    def train_again(self, run: Run) -> str:
        """Removes the run, which its log and net cannot mend, and trains it; or brings it from what was published."""
        remove = shlex.join(["rm", "-r", str(run.folder)])
        if is_restored(run) and (self.published / MANIFESTS).is_file():
            return f"{remove} && {self.tools('restore')} && {self.sweep(run)}"
        return f"{remove} && {self.sweep(run)}"

    def without(self, run: Run, *names: str) -> str:
        """Removes these files of a run, which `sweep` makes from its log and net. Without the net: `train_again`."""
        if is_restored(run) or not any(run.folder.glob("net_iter_*.caffemodel*")):
            return self.train_again(run)
        return f"{shlex.join(['rm', '-f', *(str(run.folder / name) for name in names)])} && {self.sweep(run)}"

    def parse(self, run: Run) -> str:
        log = str(run.folder / "caffe.log")
        return shlex.join([self.python, "-m", "tools", "parse", log, str(run.folder)])

    def remove(self, path: Path, then: str) -> str:
        return f"{shlex.join(['rm', '-r', str(path)])} && {then}"

    def publish(self, folder: Path) -> str:
        """Publishes the results into `folder` again; where there are none, gets the folder from git."""
        if not (results_folder(self.exp, self.engine) / RUNS).is_file():
            return shlex.join(["git", "checkout", "--", str(folder)])
        return self.tools("publish", *([] if folder == self.published else ["--to", str(folder)]))

    @property
    def published(self) -> Path:
        """The folder that `publish` writes: docs/results/EXP."""
        return PUBLISHED / results_folder(self.exp, self.engine).name

    @cached_property
    def selected(self) -> list[Run]:
        return runs_of(self.exp, self.engine)

    def selecting(self, run: Run | None) -> str:
        """The overrides; for a run that they do not select, such that do."""
        if run is None or run in self.selected:
            return self.exp.overrides
        condition = "FTall" if run.condition == SOURCE else run.condition  # FTall brings its source net
        return self._with(
            sizes=f"[{run.size}]", conditions=f"[{condition}]", directions=f"[{run.direction}]", seeds=f"[{run.seed}]"
        )

    def _with(self, **values: str) -> str:
        return with_keys(self.exp.overrides, SELECTING, **values)


def with_keys(overrides: str, without: set[str], **values: str) -> str:
    """The text of SET, but for the keys in `without`, and with `values`."""
    given = rf"(?:^|\s)(?:{'|'.join(sorted(without))})=(?:\[[^\]]*\]|\"[^\"]*\"|'[^']*'|\S+)"
    kept = re.sub(given, "", overrides).strip()
    return " ".join(filter(None, [kept, *(f"{key}={value}" for key, value in values.items())]))


def is_restored(run: Run) -> bool:
    """Whether `restore` wrote the run's folder: its curves are then in curves.csv, and it has no log and no net."""
    return (run.folder / CURVES).exists()
