# The sweep as a graph of files: fetch -> split -> pack -> mean -> run (sources first) -> summarize -> claims -> plot ->
# report. `python -m tools sweep` starts it, after the judge (tools/planning/state.py) has withdrawn what no longer stands: what is
# missing is all that the graph has to know, so inputs are `ancient` and only the marks of finished work are declared.
import shlex
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
from tools.protocol import layout
from tools.protocol.experiment import load
from tools.common.checkout import CHECKOUT
from tools.protocol.runs import runs_of, source_run

exp = load(Path(config["experiment"]), config["set"])
ENGINE = config["engine"]
GRAPH = str(layout.results_folder(exp, ENGINE) / "graph")
RUNS = {str(run.manifest): run for run in runs_of(exp, ENGINE)}
TOOLS = f"PYTHONPATH={shlex.quote(str(CHECKOUT))} exec {shlex.quote(sys.executable)} -m tools"
EXPERIMENT = f"{shlex.quote(config['experiment'])} --set {shlex.quote(config['set'])}"


def verb(name, after=""):
    """The shell command of a verb; its stage's mark is touched when it ends well."""
    return f"({TOOLS} {name} {EXPERIMENT}) && touch {{output}}"


def source_manifest(wildcards):
    """The run that must be finished before this one: its source net's, if it copies any."""
    run = RUNS[f"models/{wildcards.run}/manifest.json"]
    source = source_run(exp, run)
    return ancient(str(source.manifest)) if source else []


rule all:
    input: f"{GRAPH}/report"

rule fetch:
    output: f"{GRAPH}/fetch"
    shell: verb("fetch")

rule split:
    input: ancient(f"{GRAPH}/fetch")
    output: f"{GRAPH}/split"
    shell: verb("split")

rule pack:
    input: ancient(f"{GRAPH}/split")
    output: f"{GRAPH}/pack"
    threads: workflow.cores
    shell: verb("pack")

rule mean:
    input: ancient(f"{GRAPH}/pack")
    output: f"{GRAPH}/mean"
    shell: verb("mean")

rule run:
    input: ancient(f"{GRAPH}/mean"), source_manifest
    output: update("models/{run}/manifest.json")  # Snakemake removes other outputs first: one that another sweep made
    shell: f"{TOOLS} run {EXPERIMENT} models/{{wildcards.run}}"

rule summarize:
    input: ancient(list(RUNS))
    output: f"{GRAPH}/summarize"
    shell: verb("summarize")

rule claims:
    input: ancient(f"{GRAPH}/summarize")
    output: f"{GRAPH}/claims"
    shell: verb("claims")

rule plot:
    input: ancient(f"{GRAPH}/claims")
    output: f"{GRAPH}/plot"
    shell: verb("plot")

rule report:
    input: ancient(f"{GRAPH}/plot")
    output: f"{GRAPH}/report"
    shell: verb("report")
