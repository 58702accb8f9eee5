# The sweep as a graph of files: fetch -> split -> pack -> mean -> run (sources first) -> summarize -> claims -> plot ->
# report. `python -m tools sweep` starts it, after it has removed the markers of what is out of date
# (tools/planning/state.py). The graph only has to know what is missing. So inputs are `ancient`, and only the markers
# of finished work are declared as outputs.
import shlex
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
from tools.common.checkout import CHECKOUT
from tools.planning.stages import graph_marks
from tools.protocol.experiment import load
from tools.protocol.runs import runs_of, source_run

exp = load(Path(config["experiment"]), config["set"])
MARKS = {verb: str(mark) for verb, mark in graph_marks(exp, config["engine"]).items()}
RUNS = {str(run.manifest): run for run in runs_of(exp, config["engine"])}
TOOLS = f"PYTHONPATH={shlex.quote(str(CHECKOUT))} exec {shlex.quote(sys.executable)} -m tools"
EXPERIMENT = f"{shlex.quote(config['experiment'])} --set {shlex.quote(config['set'])}"


def verb(name):
    """The shell command of a verb. Its mark is touched if the verb succeeds."""
    return f"({TOOLS} {name} {EXPERIMENT}) && touch {{output}}"


def source_manifest(wildcards):
    """The manifest of the run that this one copies from, if it copies from any."""
    source = source_run(exp, RUNS[f"models/{wildcards.run}/manifest.json"])
    return ancient(str(source.manifest)) if source else []


rule all:
    input: MARKS["report"]

rule fetch:
    output: MARKS["fetch"]
    shell: verb("fetch")

rule split:
    input: ancient(MARKS["fetch"])
    output: MARKS["split"]
    shell: verb("split")

rule pack:
    input: ancient(MARKS["split"])
    output: MARKS["pack"]
    threads: workflow.cores
    shell: verb("pack")

rule mean:
    input: ancient(MARKS["pack"])
    output: MARKS["mean"]
    shell: verb("mean")

rule run:
    input: ancient(MARKS["mean"]), source_manifest
    output: update("models/{run}/manifest.json")  # without `update` Snakemake deletes what another sweep just made
    shell: f"{TOOLS} run {EXPERIMENT} models/{{wildcards.run}}"

rule summarize:
    input: ancient(list(RUNS))
    output: MARKS["summarize"]
    shell: verb("summarize")

rule claims:
    input: ancient(MARKS["summarize"])
    output: MARKS["claims"]
    shell: verb("claims")

rule plot:
    input: ancient(MARKS["claims"])
    output: MARKS["plot"]
    shell: verb("plot")

rule report:
    input: ancient(MARKS["plot"])
    output: MARKS["report"]
    shell: verb("report")
