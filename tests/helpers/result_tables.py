"""Tables of an experiment of any size, as summarize writes them, with invented numbers."""

import math
from pathlib import Path

from tools.common.files import sha256, write_atomic, write_record
from tools.results.columns import CLAIMS, CURVES, PREDICTIONS, RUNS, csv_text
from tools.stats.claim_places import MARKER

CONDITIONS = ["base", "FTall", *(f"S{n}T" for n in range(1, 8))]
SIZES = [500, 400, 300, 200, 100, 50]


def write_tables(
    folder: Path,
    seeds: int,
    conditions: list[str] = CONDITIONS,
    sizes: list[int] = SIZES,
    dataset: str = "tiny-imagenet",
) -> int:
    """Writes runs.csv, summary.csv and curves.csv for both directions of every cell; returns how many runs there are.

    A run has eleven tests and a hundred displays. The first one is stuck.
    """
    runs, means, curves = [], [], []
    for size in sizes:
        for depth, condition in enumerate(conditions):
            cell = []
            for seed in range(seeds):
                for direction in ("A2B", "B2A"):
                    key = f"{direction}/n{size:04d}/{condition}/seed{seed}"
                    end = 0.3 + 0.1 * math.log10(size) - 0.01 * depth + 0.01 * ((7 * seed + 3 * depth + size) % 5)
                    cell.append(end)
                    spec = {"dataset": dataset, "direction": direction, "size": size}
                    spec |= {"condition": condition, "seed": seed}
                    runs.append(spec | _result(key, round(end, 4), "ok" if runs else "stuck"))
                    curves += _curve(key, end)
            mean = sum(cell) / len(cell)
            means.append(
                {"size": size, "condition": condition, "accuracy": round(mean, 4), "sd": 0.01, "n": len(cell)}
                | {"low": round(mean - 0.01, 4), "high": round(mean + 0.01, 4), "seeds": seeds, "interval": "seeds"}
                | {"excluded": 0, "best_accuracy": mean, "best_iter": 9000, "loss": 2.0}
            )
    for name, rows in (("runs.csv", runs), ("summary.csv", means), ("curves.csv", curves)):
        write_atomic(folder / name, csv_text(rows[0], rows))
    return len(runs)


def write_claims(folder: Path, text: str) -> None:
    """Writes claims.csv into a folder of tables, and claims.json as if it had been tested on these."""
    write_atomic(folder / CLAIMS, text)
    tables = [folder / name for name in (RUNS, CURVES, PREDICTIONS) if (folder / name).is_file()]
    inputs = {str(path): sha256(path) for path in tables}
    write_record(folder / MARKER, {"inputs": inputs, CLAIMS: sha256(folder / CLAIMS)})


def _result(key: str, accuracy: float, status: str) -> dict:
    figures = {
        "accuracy": accuracy,
        "best_accuracy": accuracy + 0.005,
        "best_iter": 9000,
        "loss": 2.1234,
        "iters": 10000,
    }
    rest = {"seconds": 612.5, "images_per_s": 4180.1, "engine": "caffe", "status": status, "attempts": 1}
    return figures | rest | {"run": f"models/tiny/{key}"}


def _curve(key: str, end: float) -> list[dict]:
    tests = {at: (end * (1 - 0.9 ** (at / 400)), 4.6 - 3 * end * at / 10000) for at in range(0, 10001, 1000)}
    found = []
    for at in range(0, 10001, 100):
        accuracy, loss = tests.get(at, (None, None))
        train = round(4.6 - 3.5 * end * (at / 10000) ** 0.5, 5)
        found.append(
            {"run": key, "iteration": at, "accuracy": accuracy, "validation_loss": loss, "training_loss": train}
        )
    return found
