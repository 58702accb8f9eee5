"""The walk over everything that an experiment's results stand on."""

from functools import partial

from tools.common.files import is_locked
from tools.common.progress import progress
from tools.protocol.layout import Run, experiment_name, results_folder, split_of
from tools.results.ended_runs import runs_on_disk
from tools.training.engine import Engine
from tools.verification.commands import Commands
from tools.verification.data_files import DataFiles, sizes_of_seeds
from tools.verification.findings import Check, Findings
from tools.verification.result_files import ResultFiles
from tools.verification.run_files import check_inputs, check_result, copy_fault, provable, read_manifest, run_checks
from tools.verification.seen import Seen

RECORD = "verify.json"


def walk(commands: Commands, engine: Engine | None, fast: bool = False) -> Findings:
    """Looks at every file, input and copied layer. `engine` None: there is none here, so inputs are not compared.

    `fast` leaves out LMDBs, nets and the proofs. Writes nothing but results/EXP/verify.json, the record that it goes on
    from if it is stopped.
    """
    exp, findings = commands.exp, Findings()
    seen = Seen(results_folder(exp, commands.engine) / RECORD)
    manifests = manifests_of(commands, findings)
    finished = list(manifests)
    checks: list[Check] = []
    for seed, sizes in sizes_of_seeds(exp, finished).items():
        stands = any(run.seed == seed for run in finished)
        data = DataFiles(commands, seed, sizes, stands, findings)
        checks += data.checks()
        data.check_images()
    for run, manifest in manifests.items():
        checks += run_checks(run, manifest, commands)
    results = ResultFiles(commands, findings)
    checks += results.checks()
    _look_at_files(checks, fast, seen, findings)
    damaged = findings.damaged
    if engine:
        for run, manifest in manifests.items():
            check_inputs(run, manifest, engine, commands, findings, damaged)
    else:
        findings.left_out["no engine here, so nothing says what a run's inputs are now"] += ["the inputs of runs"]
    for run, manifest in manifests.items():
        check_result(run, manifest, commands, findings)
    results.check_inputs()
    if not fast:
        _prove(commands, manifests, seen, findings)
    seen.ended()
    return findings


def manifests_of(commands: Commands, findings: Findings) -> dict[Run, dict]:
    """The finished runs and their manifests. What is not finished goes into the findings."""
    name = experiment_name(commands.exp, commands.engine)
    on_disk = [*runs_on_disk(name), *runs_on_disk(name, retained=True)]
    manifests = {}
    for run in dict.fromkeys([*commands.selected, *on_disk]):
        if is_locked(run.lock):
            findings.unfinished.append(f"{run.key} (running)")
        elif run.manifest.exists():
            if manifest := read_manifest(run, commands, findings):
                manifests[run] = manifest
        elif run in commands.selected or run.stale_manifest.exists():
            findings.unfinished.append(f"{run.key}{' (failed)' if run.failed.exists() else ''}")
    return manifests


def _look_at_files(checks: list[Check], fast: bool, seen: Seen, findings: Findings) -> None:
    chosen = [check for check in checks if not (fast and check.large)]
    if left := len(checks) - len(chosen):
        findings.left_out["--fast leaves out LMDBs, nets and what nets prove"] += [f"{left} files"]
    with progress("verify", sum(check.bytes for check in chosen), "bytes") as update:
        for check in chosen:
            _look_at(check, seen, findings)
            update(check.bytes)


def _look_at(check: Check, seen: Seen, findings: Findings) -> None:
    if not check.file.is_file():
        if check.may_be_gone:
            findings.gone.append(check.file)
        else:
            findings.add(check.file, "not there", check.command)
    elif check.sha256 is None:
        findings.unrecorded.append(check.file)
    elif (now := seen.sha256(check.file)) != check.sha256:
        what = f"not the bytes that were recorded: sha256 {now[:12]}..., recorded {check.sha256[:12]}..."
        findings.add(check.file, what, check.command)
    else:
        findings.files += 1


def _prove(commands: Commands, manifests: dict[Run, dict], seen: Seen, findings: Findings) -> None:
    damaged = findings.damaged
    provables = {run: provable(commands.exp, run, manifest) for run, manifest in manifests.items()}
    splits = {run: split_of(commands.exp, run.seed).marker for run in provables}  # rendering needs them
    provables = {run: files for run, files in provables.items() if files and not damaged & {*files, splits[run]}}
    with progress("verify: copied layers", len(provables), "runs") as update:
        for run, files in provables.items():
            look = partial(copy_fault, commands.exp, run, manifests[run], files)
            if fault := seen.result(f"proofs of {run.key}", files, look):
                findings.add(files[0], fault, commands.train_again(run))
            else:
                findings.proofs += 1
            update(1)
