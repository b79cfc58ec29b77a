"""How fast the native engine calibrates and scores, how exact it is meanwhile, and beside peers.

    python -m benchmarks.engine [--cases 1,2,3,4] [--repeat 3] [--no-tight] [--no-scoring]
                                [--peers] [--python-peer PATH_TO_PYTHON]

Every case runs in a process of its own, so that peak memory is its own (simulated responses
included). Seconds are wall time after a warm start (compiled code on disk), medians of the
repeats; CPU seconds beside them tell a busy machine from a slow program. `difference` is the
largest deviation of any a or d from the solution to a change of 1e-9.

The bound: an E-step reads a table row per response and adds to a row of counts, inside the window
of nodes that matter to the student. `GB/s` is what one E-step at the solution moves that way, on
all threads; `cache GB/s` what plain adding of one such table to another moves, both in the cache;
`limit` the seconds that all cycles would take at that rate if nothing else had to be done.

What lies between: rows come from random places (latency and address translation, hidden only in
part by prefetches), and each student costs an exponential per node, a normalisation and a window.
Reading the items in two to eight tiles that fit the second-level cache was slower: each tile reads
and writes every student's sums again. Fewer responses per E-step (early cycles on a sample) and
wider vectors (AVX-512) would close more of it.

`--peers` fits 50,000 x 200 x 30 in turns with the Python package mirt (`--python-peer` names the
Python it is installed in) and with R mirt (Rscript on PATH).
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
import numpy.typing as npt

from benchmarks.engine_peers import PeerFit, find_peers
from benchmarks.machine import describe_machine
from irt_service.compiled import compiled
from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings
from irt_service.engines.expectation import SINGLE, ExpectationStep, aligned
from irt_service.parallel import RunBlocks, block_runner, thread_count
from irt_service.quadrature import normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap

CASES = {
    1: (5_000, 30, 30),
    2: (50_000, 200, 30),
    3: (200_000, 2_000, 40),
    4: (1_000_000, 5_000, 50),
}
TARGETS = {3: "1.2 s", 4: "8 s, 1.2 GB"}
PEER_CASE = 2
PEER_TARGETS = {"Python mirt": 40, "R mirt": 60}
# A row of the table is read, a row of counts is read and written.
BYTES_PER_NODE = 3 * np.dtype(SINGLE.kind).itemsize
ROUNDS = 200
ONE_STUDENT_RUNS = 20_000
SIMULATED_AT_ONCE = 20_000
HEADINGS = (
    f"{'students x items x answers':>28} {'seconds':>8} {'CPU s':>7} {'with SE':>8} {'CPU s':>7} "
    f"{'cycles':>6} {'difference':>10} {'peak MB':>8} {'GB/s':>6} {'cache GB/s':>10} {'limit':>6}"
    "  target"
)


@compiled
def add_table(table: npt.NDArray[np.float32], counts: npt.NDArray[np.float32], rounds: int) -> None:
    """Add one array to another, over and over."""
    for _ in range(rounds):
        for k in range(len(counts)):
            counts[k] += table[k]


def cache_bandwidth(numbers: int, run: RunBlocks) -> float:
    """GB/s of all threads, each adding an array of `numbers` to one of its own."""
    threads = thread_count(0)
    pairs = [(aligned((numbers,), SINGLE.kind), aligned((numbers,), SINGLE.kind))] * threads
    for table, counts in pairs:
        table.fill(0.0)
        counts.fill(0.0)

    def add(number: int, _start: int, _stop: int) -> None:
        add_table(*pairs[number], ROUNDS)

    places = [(number, number + 1) for number in range(threads)]
    run(add, places)
    start = time.perf_counter()
    run(add, places)
    return threads * ROUNDS * numbers * BYTES_PER_NODE / (time.perf_counter() - start) / 1e9


def bandwidth(responses: ResponseMatrix, found: Calibration) -> dict[str, float]:
    """What one E-step at the solution moves and how fast, beside what the cache allows."""
    bank = np.stack([found.discrimination, found.intercept, found.guessing], axis=1)
    with block_runner(0) as run:
        grid = normal_grid()
        step = ExpectationStep(responses, grid, has_guessing=False, run=run, precision=SINGLE)
        for _ in range(2):
            start = time.perf_counter()
            step(bank, 0.0, 1.0)
            seconds = time.perf_counter() - start
        width = np.diff(step.persons.windows, axis=1)[:, 0]
        moved = float(width @ responses.person_counts()) * BYTES_PER_NODE / 1e9
        cache = cache_bandwidth(2 * responses.n_items * grid.stride, run)
    return {"moved": moved / seconds, "cache": cache, "limit": found.iterations * moved / cache}


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
    for n_persons in (500, 8_000):  # in double and in single precision
        small = simulate(n_persons, 40, 30)
        for items in (1, 40):
            engine.calibrate(small, CalibrationSettings(full_information_items=items))
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
        **bandwidth(responses, found),
    }


def in_turns(repeat: int, python: str) -> None:
    """Fit with every peer and the native engine in turns, and print medians."""
    peers, absent = find_peers(python)
    for sentence in absent:
        say(sentence)
    if not peers:
        return
    responses = simulate(*CASES[PEER_CASE])
    plan = CalibrationSettings(tolerance=1e-9, standard_errors=False)
    tight = engine_named("native").calibrate(responses, plan)
    solution = np.stack([tight.discrimination, tight.intercept])
    fits: dict[str, list[PeerFit]] = {"native": [], **{peer.name: [] for peer in peers}}
    for _ in range(repeat):
        row = in_own_process(["--one-case", str(PEER_CASE), "--repeat", "1"])
        fits["native"].append(PeerFit("native", row["seconds"], row["difference"]))
        for peer in peers:
            fits[peer.name].append(peer.fit(responses, solution))
    ours = statistics.median(fit.seconds for fit in fits["native"])
    say("{:,} x {:,} x {}, in turns:".format(*CASES[PEER_CASE]))
    for name, done in fits.items():
        seconds = statistics.median(fit.seconds for fit in done)
        line = f"{done[0].version:>20} {seconds:8.3f} s, {done[0].difference:.1e} from the solution"
        if name != "native":
            line += f", {seconds / ours:.0f} times ours (asked: {PEER_TARGETS[name]})"
        say(line)


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
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--python-peer", default=sys.executable)
    parser.add_argument("--one-case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only-scoring", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_case:
        say(json.dumps(run_case(options.one_case, options.repeat, not options.no_tight)))
        return
    if options.only_scoring:
        say(json.dumps(run_scoring()))
        return
    say(describe_machine())
    say(HEADINGS)
    for number in (int(text) for text in options.cases.split(",") if text):
        given = ["--one-case", str(number), "--repeat", str(options.repeat)]
        row = in_own_process(given + ["--no-tight"] * options.no_tight)
        size = "{:,} x {:,} x {}".format(*CASES[number])
        say(
            f"{size:>28} {row['seconds']:8.3f} {row['cpu']:7.2f} {row['with_errors']:8.3f} "
            f"{row['cpu_with_errors']:7.2f} {int(row['cycles']):6d} {row['difference']:10.1e} "
            f"{row['peak']:8.0f} {row['moved']:6.1f} {row['cache']:10.1f} {row['limit']:6.2f}  "
            f"{TARGETS.get(number, '')}" + ("" if row["is_converged"] else "  NOT CONVERGED")
        )
    if not options.no_scoring:
        row = in_own_process(["--only-scoring"])
        say(f"EAP of one student, 50 answers: {row['one']:.1f} us (target 20)")
        say(f"EAP of 1,000,000 students, 50 answers each: {row['million']:.2f} s (target 1.5)")
    if options.peers:
        in_turns(options.repeat, options.python_peer)


if __name__ == "__main__":
    main()
