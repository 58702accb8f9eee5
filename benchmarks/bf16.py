"""How much faster torchcaffe trains with --precision=bf16 on the CPU: the same nets in fp32 and bf16, in turn.

    python -m benchmarks.bf16                               base, S3T, S7T at batch 256 and 64, and the small nets
    python -m benchmarks.bf16 --threads 1 --only "alexnet, base, batch 256"

As benchmarks/train.py measures, from the engine's own log: the displays after the first, of all rounds. Their medians
are shown, and two ratios: of the medians and of the best. The limit is the speed of a product of bf16 matrices in the
same run; the share of it is that of the best display.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.cases import Case
from benchmarks.record import Measuring
from benchmarks.train import SMALL, Benchmark, Measured
from tools.common.errors import UserError
from torchcaffe.common import cpu

CASES = [Case("alexnet", condition, batch) for batch in (256, 64) for condition in ("base", "S3T", "S7T")] + SMALL
TORCHCAFFE = [sys.executable, "-m", "torchcaffe"]
ENGINES = {"fp32": TORCHCAFFE, "bf16": [*TORCHCAFFE, "--precision=bf16"]}
COLUMNS = ["net", "images/s, fp32", "bf16", "ratio of medians / best", "n", "aim", "share of the limit"]
COLUMNS += ["CPU ms an iteration", "peak MiB"]
DISPLAYS = 16  # of each process
AIMS = {"alexnet, base, batch 256": 1.6, "alexnet, S3T, batch 256": 1.6, "alexnet, S7T, batch 256": 1.4} | {
    f"alexnet, {condition}, batch 64": 1.3 for condition in ("base", "S3T", "S7T")
}


def row(case: Case, operations: int, measured: dict[str, Measured], limit: float) -> list[str]:
    fp32, bf16 = (measured[name] for name in ENGINES)
    return [
        case.name,
        *(f"{median(each.rates) * case.batch:.0f}" for each in (fp32, bf16)),
        f"**{median(bf16.rates) / median(fp32.rates):.2f}** / {bf16.rate / fp32.rate:.2f}",
        f"{len(fp32.rates)} / {len(bf16.rates)}",
        f"{AIMS[case.name]:g}" if case.name in AIMS else "",
        f"{bf16.rate * case.batch * operations / limit:.0%}",
        " / ".join(f"{each.cpu * 1e3:.4g}" for each in (fp32, bf16)),
        " / ".join(f"{each.memory / 2**20:.0f}" for each in (fp32, bf16)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each precision for each case")
    parser.add_argument("--only", default="", help="cases whose name begins so: 'alexnet, S3T, batch 64'")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write bf16.json there")
    arguments, measuring = parser.parse_args(), Measuring("bf16")
    if cpu.has_bf16() is False:
        print("bf16 is not measured: this processor has neither avx512_bf16 nor amx_bf16")
        return
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(Path(folder), arguments.threads, arguments.rounds, ENGINES, DISPLAYS)
        limit = benchmark.gemm("bfloat16")
        print(f"{arguments.threads} threads, product of bf16 matrices: {limit / 1e9:.0f} GFLOP/s", flush=True)
        rows = []
        for case in CASES:
            if case.name.startswith(arguments.only):
                rows.append(row(case, *benchmark.compare(case), limit))
                print(" | ".join(rows[-1]), flush=True)
    measuring.table(f"{arguments.threads} threads; product of bf16 matrices: {limit / 1e9:.0f} GFLOP/s", COLUMNS, rows)
    if arguments.record:
        measuring.write(arguments.record)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
