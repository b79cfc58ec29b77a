"""How fast the native engine calibrates and scores, and how exact it is meanwhile.

    python -m benchmarks.engine [--cases 1,2,3,4] [--repeat 3] [--no-tight]

Every case runs in a process of its own, so that peak memory is its own (simulated responses
included). Seconds are wall time after a warm start (compiled code on disk), medians of the
repeats; CPU seconds beside them tell a busy machine from a slow program. `difference` is the
largest deviation of any a or d from the solution to a change of 1e-9.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap

CASES = {
    1: (5_000, 30, 30),
    2: (50_000, 200, 30),
    3: (200_000, 2_000, 40),
    4: (1_000_000, 5_000, 50),
}
TARGETS = {3: "1.2 s", 4: "8 s, 1.2 GB"}
ONE_STUDENT_RUNS = 20_000
SIMULATED_AT_ONCE = 20_000
HEADINGS = (
    f"{'students x items x answers':>28} {'seconds':>8} {'CPU s':>7} {'with SE':>8} {'CPU s':>7} "
    f"{'cycles':>6} {'difference':>10} {'peak MB':>8}  target"
)


def simulate(n_persons: int, n_items: int, answers: int) -> ResponseMatrix:
    """2PL responses, every student answering one item of each of `answers` equal groups."""
    rng = np.random.default_rng(n_persons)
    a, b = rng.lognormal(0.0, 0.3, n_items), rng.normal(0.0, 1.0, n_items)
    items = np.empty((n_persons, answers), np.int32)
    correct = np.empty((n_persons, answers), np.int8)
    edges = np.arange(answers + 1) * n_items // answers
    for start in range(0, n_persons, SIMULATED_AT_ONCE):
        part = slice(start, min(start + SIMULATED_AT_ONCE, n_persons))
        size = part.stop - part.start
        chosen = edges[:-1] + (rng.random((size, answers)) * np.diff(edges)).astype(np.int64)
        theta = rng.normal(size=(size, 1))
        p = 1.0 / (1.0 + np.exp(-a[chosen] * (theta - b[chosen])))
        items[part] = chosen
        correct[part] = rng.random((size, answers)) < p
    return ResponseMatrix(
        np.array([str(i) for i in range(n_persons)], dtype=object),
        np.array([f"i{j:05d}" for j in range(n_items)], dtype=object),
        np.arange(n_persons + 1, dtype=np.int64) * answers,
        items.reshape(-1),
        correct.reshape(-1),
    )


def timed(task: Callable[[], Calibration], repeat: int) -> tuple[float, float, Calibration]:
    """Median wall and CPU seconds, and the last result."""
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        result = task()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus), result


def run_case(number: int, repeat: int, with_tight: bool) -> dict[str, float]:
    """Measure one case in this process."""
    engine = engine_named("native")
    plain = CalibrationSettings(standard_errors=False)
    for warm in (replace(plain, full_information_items=1, standard_errors=True), plain):
        engine.calibrate(simulate(8_000, 40, 30), warm)
    responses = simulate(*CASES[number])
    seconds, cpu, found = timed(lambda: engine.calibrate(responses, plain), repeat)
    full = replace(plain, standard_errors=True)
    with_errors, cpu_with_errors, _ = timed(lambda: engine.calibrate(responses, full), repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    difference = float("nan")
    if with_tight:
        tight = engine.calibrate(responses, replace(plain, tolerance=1e-9))
        difference = max(
            float(np.abs(tight.discrimination - found.discrimination).max()),
            float(np.abs(tight.intercept - found.intercept).max()),
        )
    return {
        "seconds": seconds,
        "cpu": cpu,
        "with_errors": with_errors,
        "cpu_with_errors": cpu_with_errors,
        "cycles": found.iterations,
        "is_converged": found.is_converged,
        "difference": difference,
        "peak": peak,
    }


def run_scoring() -> dict[str, float]:
    """One student of 50 answers in process, and a million students."""
    rng = np.random.default_rng(1)
    responses = simulate(1_000_000, 5_000, 50)
    a, b, c = rng.lognormal(0.0, 0.3, 5_000), rng.normal(size=5_000), np.zeros(5_000)
    rows = responses.indptr, responses.items, responses.correct
    eap(a, b, c, rows[0][:10], rows[1][: rows[0][9]], rows[2][: rows[0][9]])
    eap(a[:50], b[:50], c[:50], [0, 500], np.arange(500) % 50, np.zeros(500))
    walls = []
    for _ in range(3):
        start = time.perf_counter()
        eap(a, b, c, rows[0], rows[1], rows[2], threads=0)
        walls.append(time.perf_counter() - start)
    own = [a[:50].copy(), b[:50].copy(), c[:50].copy()]
    one = np.array([0, 50]), np.arange(50, dtype=np.int32), responses.correct[:50].copy()
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(ONE_STUDENT_RUNS):
            eap(own[0], own[1], own[2], one[0], one[1], one[2])
        best = min(best, time.perf_counter() - start)
    return {"million": statistics.median(walls), "one": best / ONE_STUDENT_RUNS * 1e6}


def in_own_process(arguments: list[str]) -> dict[str, float]:
    """Run this script for one measurement and read its result."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-m", "benchmarks.engine", *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="1,2,3,4")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-tight", action="store_true")
    parser.add_argument("--no-scoring", action="store_true")
    parser.add_argument("--one-case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only-scoring", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_case:
        say(json.dumps(run_case(options.one_case, options.repeat, not options.no_tight)))
        return
    if options.only_scoring:
        say(json.dumps(run_scoring()))
        return
    say(HEADINGS)
    for number in (int(text) for text in options.cases.split(",")):
        given = ["--one-case", str(number), "--repeat", str(options.repeat)]
        row = in_own_process(given + ["--no-tight"] * options.no_tight)
        size = "{:,} x {:,} x {}".format(*CASES[number])
        say(
            f"{size:>28} {row['seconds']:8.3f} {row['cpu']:7.2f} {row['with_errors']:8.3f} "
            f"{row['cpu_with_errors']:7.2f} {int(row['cycles']):6d} {row['difference']:10.1e} "
            f"{row['peak']:8.0f}  {TARGETS.get(number, '')}"
            + ("" if row["is_converged"] else "  NOT CONVERGED")
        )
    if not options.no_scoring:
        row = in_own_process(["--only-scoring"])
        say(f"EAP of one student, 50 answers: {row['one']:.1f} us (target 20)")
        say(f"EAP of 1,000,000 students, 50 answers each: {row['million']:.2f} s (target 1.5)")


if __name__ == "__main__":
    main()
