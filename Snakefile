# The sweep as a graph: fetch -> split -> pack -> mean -> run (sources first) -> summarize -> claims -> plot -> report.
# `python -m tools sweep` plans and starts it (tools/planning/graph.py). The graph holds only what the plan found missing,
# and its files are empty marks in a folder of this sweep alone. So neither the times of files nor another sweep nor a
# name that a user chose can change what is done.
import logging
import os

from tools.planning.job import MESSAGES, command

# Snakemake's own messages. The sweep shows them if nothing else says why the graph failed.
for handler in logging.getLogger("snakemake.logging").handlers:
    if handler.name == "DefaultStreamHandler":
        handler.setStream(open(MESSAGES, "a", buffering=1))

STAGES, RUNS = config["stages"], config["runs"]  # verbs to do; runs to do, each with the one that it waits for, or null
PRIORITIES = config["priorities"]  # of runs that are to begin before others
JOB = command(os.getpid(), "{output}")

onstart:
    # For its limit of 100 starts a second Snakemake looks each second whether more may start, in one more thread for
    # each job that ended: 76 runs cost it a tenth of a core at the end. The last look holds it for a second.
    workflow.scheduler.job_rate_limiter = None


def after(*verbs):
    """The marks of those of the verbs that are to do."""
    return [verb for verb in verbs if verb in STAGES]


def source(wildcards):
    """The mark of the run whose net this one copies, if that is to do."""
    return [f"run/{RUNS[wildcards.run]}"] if RUNS[wildcards.run] else []


rule all:
    input: STAGES[-1:]

rule fetch:
    output: "fetch"
    shell: JOB

rule split:
    input: after("fetch")
    output: "split"
    shell: JOB

rule pack:
    input: after("split")
    output: "pack"
    threads: workflow.cores
    shell: JOB

rule mean:
    input: after("pack")
    output: "mean"
    shell: JOB

rule run:
    input: after("mean"), source
    output: "run/{run}"
    priority: lambda wildcards: PRIORITIES.get(wildcards.run, 0)
    shell: JOB

rule summarize:
    input: after("mean"), [f"run/{run}" for run in RUNS]
    output: "summarize"
    shell: JOB

rule claims:
    input: after("summarize")
    output: "claims"
    shell: JOB

rule plot:
    input: after("claims")
    output: "plot"
    shell: JOB

rule report:
    input: after("plot")
    output: "report"
    shell: JOB
