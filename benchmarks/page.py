"""How long the page of 2,000 runs takes to load, to sort and to filter, in headless Chromium.

    python -m benchmarks.page
    RUNS=500 python -m benchmarks.page

The tables are artificial (tests/helpers/result_tables.py): every run has eleven tests and a hundred displays. Loading
lasts from the start of the navigation to the end of the page's own script or to the load event, whichever is later. The
best and the worst of five loads are shown, all in the same browser, each after a blank page.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import Measuring
from tests.helpers import browser
from tests.helpers.result_tables import CONDITIONS, SIZES, write_tables
from tools.common.checkout import CHECKOUT
from tools.protocol.experiment import load
from tools.report import report

RUNS = int(os.environ.get("RUNS", 2000))
LIMIT = 2.0  # seconds
REPEATS = 5
LOADED = """
const entry = performance.getEntriesByType("navigation")[0];
return Math.max(entry.loadEventEnd, Number(document.documentElement.dataset.ready));
"""
TIMED = """
const begun = performance.now();
(%s)();
document.body.getBoundingClientRect();
return performance.now() - begun;
"""
ACTIONS = {
    "sort by accuracy": "() => document.querySelectorAll('#run-table thead button')[4].click()",
    "filter by a word": "() => { const i = document.querySelector('[name=text]'); i.value = 's3t';"
    " i.dispatchEvent(new Event('input', {bubbles: true})); }",
    "open a run's curves": "() => { location.hash = '#run/A2B/n0050/S3T/seed0'; showFragment(); }",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write page.json there")
    record, measuring = parser.parse_args().record, Measuring("page")
    if browser.MISSING:
        print(f"the page is not measured: {browser.MISSING}")
        return
    exp = load(CHECKOUT / "experiments" / "tiny.yaml")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        seeds = max(1, round(RUNS / (2 * len(SIZES) * len(CONDITIONS))))
        count = write_tables(Path("results/tiny"), seeds)
        start = time.perf_counter()
        report(exp, "caffe")
        page = Path("results/tiny/report.html")
        size, wrote = page.stat().st_size / 1e6, time.perf_counter() - start
        print(f"{count} runs: {size:.1f} MB, written in {wrote:.1f} s")
        with browser.chromium() as driver:
            loads = []
            for _ in range(REPEATS):
                browser.open_page(driver, page)
                time.sleep(0.5)
                loads.append(driver.execute_script(LOADED) / 1000)
            print(f"load {min(loads):.2f} s, the slowest of {REPEATS} {max(loads):.2f} s")
            rows = [[f"load, best / slowest of {REPEATS}", f"{min(loads):.2f} / {max(loads):.2f}"]]
            for name, action in ACTIONS.items():
                milliseconds = driver.execute_script(TIMED % action)
                print(f"{name:20} {milliseconds:5.0f} ms")
                rows.append([name, f"{milliseconds / 1000:.2f}"])
    measuring.table(f"The page of {count:,} runs, {size:.1f} MB, written in {wrote:.1f} s", ["", "s"], rows)
    if record:
        measuring.write(record)
    if min(loads) > LIMIT:
        sys.exit(f"the page of {count} runs took more than {LIMIT:.0f} s")


if __name__ == "__main__":
    main()
