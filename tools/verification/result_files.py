"""The tables, the claims, the figures and the page, and whether they were made from each other as they are."""

from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import is_whole, read_json
from tools.common.stage import Stage
from tools.planning.stages import FIGURES, PAGE, TABLES, claims_stage, plot_stage, report_stage, summarize_stage
from tools.protocol.layout import experiment_name, results_folder
from tools.results.columns import CLAIMS, CORRELATIONS, RETENTION, RUNS, SCORES
from tools.results.ended_runs import ended_runs
from tools.stats.claim_places import MARKER, default_places
from tools.verification.commands import Commands
from tools.verification.findings import Check, Findings

OTHER = {
    SCORES: ("scores", "scores.json"),
    CORRELATIONS: ("scores", "scores.json"),
    RETENTION: ("retain", "retention.json"),
}


class ResultFiles:
    def __init__(self, commands: Commands, findings: Findings) -> None:
        exp, engine = commands.exp, commands.engine
        self._commands, self._findings = commands, findings
        self.folder = results_folder(exp, engine)
        self._experiment = experiment_name(exp, engine)
        tested = _tables(self.folder / MARKER, self.folder)
        self._stages = {
            "summarize": summarize_stage(exp, engine),
            "claims": claims_stage(exp, engine, default_places(exp, engine, tested)),
            "plot": plot_stage(self.folder, _tables(self.folder / FIGURES / "figures.json", self.folder)),
            "report": report_stage(self.folder, _tables(self.folder / "report.json", self.folder)),
        }

    def checks(self) -> list[Check]:
        """The files and their checksums. Adds a fault for a broken record; one that is absent is not finished."""
        checks = []
        for verb, stage in self._stages.items():
            command = self._commands.tools(verb, *(self._given_to_claims(stage) if verb == "claims" else []))
            if not stage.marker.exists():
                if any(file.exists() for file in self._files(verb)):
                    self._findings.add(stage.marker, "not there: nothing says what its files were made from", command)
                else:
                    self._findings.unfinished.append(verb)
                continue
            try:
                digests = stage.outputs(stage.record or {})
                stage.recorded(stage.record or {})
            except (KeyError, TypeError, AttributeError):
                self._findings.add(stage.marker, "broken: not JSON, or a part is missing", command)
                continue
            if not is_whole(stage.record or {}):
                again = self._commands.remove(stage.marker, command)
                self._findings.add(stage.marker, "changed since it was written", again)
                continue
            checks += [Check(file, digest, command) for file, digest in digests.items()]
        for name, (verb, marker) in OTHER.items():
            if (self.folder / name).is_file():
                record = read_json(self.folder / marker)
                digest = record.get("outputs", {}).get(name) if isinstance(record, dict) else None
                checks.append(Check(self.folder / name, digest, self._commands.tools(verb)))
        return checks

    def _files(self, verb: str) -> list[Path]:
        names = {"summarize": TABLES, "claims": (CLAIMS,), "plot": (), "report": (PAGE,)}
        return [self.folder / name for name in names[verb]]

    def _given_to_claims(self, stage: Stage) -> list[str]:
        """The options that claims.json remembers, for it may have to be removed."""
        record = stage.record or {}
        given = {name: record.get(name) for name in ("other", "claims")}
        known = {name: value for name, value in given.items() if isinstance(value, str) and Path(value).exists()}
        return [text for name, value in known.items() for text in (f"--{name}", value)]

    def check_inputs(self) -> None:
        """Adds a fault for tables of other runs, and for claims, figures and a page of other tables, than are there.

        What is itself damaged, or made from what is, has its own fault already.
        """
        damaged = {str(file) for file in self._findings.damaged}
        if damaged & {str(self.folder / name) for name in TABLES}:
            damaged.add(str(self.folder / CLAIMS))  # the page has no claims of other tables than there are
        if self._is_whole("summarize", damaged):
            self._check_runs(self._stages["summarize"].record or {}, damaged)
        for verb in ("claims", "plot", "report"):
            stage = self._stages[verb]
            if not self._is_whole(verb, damaged):
                continue
            try:
                changed = [name for name in stage.changed(stage.record or {}) if name not in damaged]
            except UserError as error:
                self._findings.add(stage.marker, str(error), self._commands.tools(verb))
                continue
            if changed:
                what = f"made from another {', '.join(changed)} than is there now"
                self._findings.add(stage.marker, what, self._commands.tools(verb))

    def _is_whole(self, verb: str, damaged: set[str]) -> bool:
        marker = self._stages[verb].marker
        return marker.exists() and str(marker) not in damaged

    def _check_runs(self, record: dict[str, Any], damaged: set[str]) -> None:
        """The runs that the tables tell of are those that are there, with the manifests of then."""
        then = record["runs"]
        now = {ended.run.key: ended for ended in ended_runs(self._experiment)}
        again = self._commands.tools("summarize")
        for key in sorted(then.keys() - now.keys()):
            file = self.folder.parent.parent / "models" / self._experiment / key / "manifest.json"
            if str(file) not in damaged:
                self._findings.add(file, f"not there, and {self.folder / RUNS} has the run", self._commands.sweep())
        for key in sorted(then.keys() & now.keys()):
            ended = now[key]
            if ended.sha256 != then[key] and str(ended.run.manifest) not in damaged:
                what = f"not the one that {self.folder / RUNS} was made from"
                self._findings.add(ended.run.manifest, what, self._commands.without(ended.run, "manifest.json"))
        if new := sorted(now.keys() - then.keys()):
            self._findings.unfinished.append(f"summarize: {len(new)} more runs have ended, as {new[0]}; `{again}`")


def _tables(marker: Path, own: Path) -> Path:
    """The folder of the tables that figures or a page were made from: published ones after `--from`."""
    record = read_json(marker)
    inputs = record.get("inputs") if isinstance(record, dict) else None
    names = [Path(name) for name in inputs] if isinstance(inputs, dict) else []
    return next((name.parent for name in names if name.name == RUNS), own)
