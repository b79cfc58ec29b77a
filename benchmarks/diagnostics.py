"""How long the diagnostics of a calibration take, and how much memory.

    python -m benchmarks.diagnostics [--case 1000000,5000,50] [--threads 0]

Simulated 2PL responses at their true parameters; two groups of students for DIF. Seconds are wall
time after a warm start (compiled code in memory); CPU seconds tell a busy machine from a slow
program. Peak memory includes the responses.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.engine import simulate
from irt_service.diagnostics.dif import dif
from irt_service.diagnostics.drift import Parameters, drift
from irt_service.diagnostics.item_fit import pv_q1, residual_fit, s_x2
from irt_service.diagnostics.local_dependence import q3
from irt_service.diagnostics.person_fit import lz_star
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap

WARM_UP = (500, 20, 10)


def say(line: str) -> None:
    """Print at once, so that progress shows."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def timed(name: str, task: Callable[[], object], is_shown: bool) -> None:
    """Run a task and print a line."""
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if is_shown:
        say(f"{name:<28} {wall:8.2f} {cpu:8.2f} {peak:8.0f}")


def measure(case: tuple[int, int, int], threads: int, is_shown: bool) -> None:
    """Run every diagnostic once on one simulated bank."""
    n_persons, n_items, _ = case
    responses: ResponseMatrix = simulate(*case)
    truth = np.random.default_rng(n_persons)
    a, b = truth.lognormal(0.0, 0.3, n_items), truth.normal(0.0, 1.0, n_items)
    c = np.zeros(n_items)
    rows = responses.indptr, responses.items, responses.correct
    theta, _ = eap(a, b, c, *rows, threads=threads)
    groups = (np.arange(n_persons) % 3 == 0).astype(np.int64)
    one = np.ones(n_items)
    run = Parameters(a, b, 0.01 * one, 0.01 * one, 0.0 * one, 1e4 * one)
    noise = np.random.default_rng(1).normal(0.0, 0.14, n_items)
    moved = Parameters(a, b + noise, 0.01 * one, 0.01 * one, 0.0 * one, 1e4 * one)
    tasks: dict[str, Callable[[], object]] = {
        "infit and outfit": lambda: residual_fit(responses, a, b, c, theta, threads),
        "lz*": lambda: lz_star(responses, a, b, c, theta, threads=threads),
        "Q3, all pairs": lambda: q3(responses, a, b, c, theta, threads=threads),
        "S-X2 (no complete forms)": lambda: s_x2(responses, a, b, c, threads=threads),
        "PV-Q1, 30 draws": lambda: pv_q1(responses, a, b, c, seed=1, threads=threads),
        "DIF, two groups": lambda: dif(responses, groups, ["x", "y"], a, b, c, threads=threads),
        "drift": lambda: drift(moved, run, 0.0 * one),
    }
    for name, task in tasks.items():
        timed(name, task, is_shown)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="1000000,5000,50")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    n_persons, n_items, answers = (int(part) for part in arguments.case.split(","))
    measure(WARM_UP, arguments.threads, is_shown=False)
    say(f"{n_persons:,} students x {n_items:,} items x {answers} answers")
    say(f"{'':<28} {'seconds':>8} {'CPU s':>8} {'peak MB':>8}")
    measure((n_persons, n_items, answers), arguments.threads, is_shown=True)


if __name__ == "__main__":
    main()
