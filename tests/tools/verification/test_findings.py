"""What verify prints: every fault with its command, what was not looked at, and the verdict."""

from pathlib import Path

from tools.verification.findings import Findings


def test_every_fault_has_its_command_below_it_and_the_verdict_counts_them() -> None:
    findings = Findings(files=3, proofs=1)
    findings.add(Path("a.csv"), "not there", "make it")
    findings.add(Path("b.csv"), "changed", "make that")
    assert findings.text().splitlines() == [
        "a.csv: not there",
        "    make it",
        "b.csv: changed",
        "    make that",
        "2 faults; 3 files as recorded, 1 copying run proven again; the command below each fault mends it",
    ]


def test_what_is_not_finished_not_here_or_without_a_checksum_is_said_and_is_no_fault() -> None:
    findings = Findings(files=1_000, unfinished=[f"run {number}" for number in range(5)])
    findings.gone = [Path("net.caffemodel")]
    findings.unrecorded = [Path("a/caffe.log"), Path("b/caffe.log"), Path("a/plan.txt")]
    findings.left_out["no engine"] += ["inputs"]
    assert findings.text().splitlines() == [
        "not looked at: inputs: no engine",
        "not here: 1 net, restored or removed since (keep_models): net.caffemodel",
        "not checked: 3 files without a recorded checksum: 2 caffe.log, 1 plan.txt",
        "not finished: run 0, run 1, run 2 and 2 more",
        "no fault in what there is: 1,000 files as recorded, 0 copying runs proven again",
    ]
