"""How well calibrations recover the truth, and whether intervals and flags keep their rates.

    python -m benchmarks.recovery [--replications 200] [--only recovery,dif,drift,fit]

Simulated responses, missing by design, calibrated by the native engine. Every rate is pooled over
items and replications; its 95 % interval treats replications, not items, as independent.
Asked: coverage of a and d of the 2PL between 93 and 97 % over items with at least 500 responses;
flags at their nominal 5 % where nothing is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from irt_service.diagnostics.dif import dif
from irt_service.diagnostics.drift import Parameters, drift, scale_covariance
from irt_service.diagnostics.item_fit import pv_q1, s_x2
from irt_service.diagnostics.person_fit import lz_star
from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings, Model
from irt_service.linking import Curves, link
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap

Floats = npt.NDArray[np.float64]

NOMINAL = 0.05
NORMAL_95 = 1.959964
FEWEST_RESPONSES = 500
TOLERANCE = 1e-5
GUESSING = 0.2
MOST_EXTREME = 2.5  # difficulty
FOCAL_SHARE = 0.4
LOWEST_5_PERCENT = -1.644854
SETTINGS = CalibrationSettings(tolerance=TOLERANCE, threads=1)


@dataclass(frozen=True)
class Truth:
    """Items and students that responses are drawn from."""

    a: Floats
    b: Floats
    c: Floats
    theta: Floats


def draw_items(rng: np.random.Generator, n_items: int, guessing: float = 0.0) -> Truth:
    """Items as in a mixed bank, none so extreme that all may fail; no students yet."""
    return Truth(
        rng.lognormal(0.0, 0.3, n_items),
        np.clip(rng.normal(0.0, 1.0, n_items), -MOST_EXTREME, MOST_EXTREME),
        np.full(n_items, guessing),
        np.empty(0),
    )


def draw_responses(
    rng: np.random.Generator, truth: Truth, answers: int, is_shifted: npt.NDArray[np.bool_]
) -> ResponseMatrix:
    """Each student answers `answers` items; shifted students get mostly the easier half."""
    n_persons, n_items = len(truth.theta), len(truth.a)
    keys = rng.random((n_persons, n_items))
    is_easy = truth.b < np.median(truth.b)
    keys += 0.5 * np.where(is_shifted[:, None], ~is_easy, is_easy) * is_shifted.any()
    items = np.sort(np.argsort(keys, axis=1)[:, :answers], axis=1)
    eta = truth.a[items] * (truth.theta[:, None] - truth.b[items])
    p = truth.c[items] + (1.0 - truth.c[items]) / (1.0 + np.exp(-eta))
    return ResponseMatrix(
        np.array([f"s{i:06d}" for i in range(n_persons)], dtype=object),
        np.array([f"i{j:04d}" for j in range(n_items)], dtype=object),
        np.arange(n_persons + 1, dtype=np.int64) * answers,
        items.astype(np.int32).ravel(),
        (rng.random(p.shape) < p).astype(np.int8).ravel(),
    )


def calibrate(responses: ResponseMatrix, settings: CalibrationSettings) -> Calibration:
    """Calibrate; every item must come back."""
    found = engine_named("native").calibrate(responses, settings)
    if found.excluded or not found.is_converged:
        raise SystemExit(f"not calibrated: {found.excluded} {found.warnings}")
    return found


def rate(hits: list[Floats]) -> str:
    """Share of hits with its interval over replications."""
    known = [values for values in hits if len(values)]
    share = float(np.concatenate(known).mean())
    means = np.array([values.mean() for values in known])
    half = NORMAL_95 * float(means.std(ddof=1)) / np.sqrt(len(means))
    return f"{100 * share:6.2f} % +- {100 * half:4.2f}"


def say(line: str) -> None:
    """Print at once, so that progress shows."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show(name: str, columns: dict[str, str], started: float) -> None:
    """One line of the table."""
    cells = "   ".join(f"{key} {value}" for key, value in columns.items())
    say(f"{name:<46} {cells}   ({time.perf_counter() - started:.0f} s)")


def recovery(replications: int) -> None:
    """Bias, RMSE and coverage."""
    say("\nrecovery: bias and RMSE of a and d, coverage of their 95 % intervals")
    cases: list[tuple[str, CalibrationSettings, tuple[int, int, int], float]] = [
        ("2PL, 2000 x 40 x 20", SETTINGS, (2000, 40, 20), 0.0),
        (
            "2PL, the same, per-item blocks",
            replace(SETTINGS, full_information_items=0),
            (2000, 40, 20),
            0.0,
        ),
        ("2PL, 10000 x 300 x 20, per-item blocks", SETTINGS, (10000, 300, 20), 0.0),
        (
            "3PL, c 0.2, 4000 x 40 x 20",
            replace(SETTINGS, model=Model.THREE_PL),
            (4000, 40, 20),
            GUESSING,
        ),
    ]
    for name, settings, (n_persons, n_items, answers), guessing in cases:
        started = time.perf_counter()
        errors: dict[str, list[Floats]] = {"a": [], "d": []}
        covered: dict[str, list[Floats]] = {"a": [], "d": []}
        for seed in range(replications):
            rng = np.random.default_rng([seed, n_persons])
            truth = draw_items(rng, n_items, guessing)
            truth = replace(truth, theta=rng.normal(size=n_persons))
            responses = draw_responses(rng, truth, answers, np.zeros(n_persons, np.bool_))
            found = calibrate(responses, settings)
            keep = found.n_responses >= FEWEST_RESPONSES
            for key, estimate, error, true in (
                ("a", found.discrimination, found.se_discrimination, truth.a),
                ("d", found.intercept, found.se_intercept, -truth.a * truth.b),
            ):
                gap = (estimate - true)[keep]
                errors[key].append(gap)
                covered[key].append((np.abs(gap) <= NORMAL_95 * error[keep]).astype(float))
        columns = {}
        for key, gaps in errors.items():
            every = np.concatenate(gaps)
            columns[f"{key}: bias"] = f"{every.mean():+.4f}"
            columns[f"{key}: RMSE"] = f"{np.sqrt((every**2).mean()):.4f}"
            columns[f"{key}: covered"] = rate(covered[key])
        show(name, columns, started)


def null_dif(replications: int) -> None:
    """Rates of the DIF test where there is none."""
    say("\nDIF, no item has any: p < 0.05, and flagged (q < 0.05)")
    cases = [
        ("2000 x 20, all answered, same ability", (2000, 20, 20), 0.0, False),
        ("2000 x 20, all answered, impact 1 SD", (2000, 20, 20), 1.0, False),
        ("3000 x 60 x 20, impact 1 SD", (3000, 60, 20), 1.0, False),
        ("4000 x 60 x 20, impact 1 SD, other items", (4000, 60, 20), 1.0, True),
    ]
    for name, (n_persons, n_items, answers), impact, is_by_group in cases:
        started = time.perf_counter()
        hits: dict[str, list[Floats]] = {"p": [], "uniform": [], "non-uniform": [], "flagged": []}
        for seed in range(replications):
            rng = np.random.default_rng([seed, n_persons, n_items])
            codes = (rng.random(n_persons) < FOCAL_SHARE).astype(np.int64)
            truth = draw_items(rng, n_items)
            truth = replace(truth, theta=rng.normal(size=n_persons) - impact * codes)
            shifted = (codes == 1) & is_by_group
            responses = draw_responses(rng, truth, answers, shifted)
            found = calibrate(responses, replace(SETTINGS, standard_errors=False))
            result = dif(
                responses,
                codes,
                ["reference", "focal"],
                found.discrimination,
                found.difficulty,
                found.guessing,
            )
            known = result.reason == ""
            for key, values in (
                ("p", result.p),
                ("uniform", result.p_uniform),
                ("non-uniform", result.p_non_uniform),
                ("flagged", result.q),
            ):
                hits[key].append((values[known] < NOMINAL).astype(float))
        show(name, {key: rate(values) for key, values in hits.items()}, started)


def _parameters(
    found: Calibration, responses: ResponseMatrix, link_to: Curves | None
) -> Parameters:
    """Estimates on the scale of `link_to`, or their own."""
    slope, shift = 1.0, 0.0
    curves = Curves(found.discrimination, found.difficulty, found.guessing)
    if link_to is not None:
        linked = link(curves, link_to)
        slope, shift = linked.slope, linked.shift
    moved = curves.moved(slope, shift)
    theta, se = eap(
        found.discrimination,
        found.difficulty,
        found.guessing,
        responses.indptr,
        responses.items,
        responses.correct,
    )
    return Parameters(
        moved.discrimination,
        moved.difficulty,
        (found.se_discrimination / slope) ** 2,
        (found.se_difficulty * slope) ** 2,
        found.cov_ab,
        found.n_responses.astype(np.float64),
        prior_mean=shift,
        prior_sd=slope,
        scale_covariance=scale_covariance(theta, se, 0.0, 1.0),
    )


def null_drift(replications: int) -> None:
    """Rates of the drift test between two windows that share students."""
    say("\ndrift, no item has any, new students 0.3 SD better: p < 0.05, flagged (q < 0.05)")
    cases = [
        ("2PL, 2000 x 40 x 20, windows apart", (2000, 40, 20), 0.0, 0.0),
        ("2PL, 2000 x 40 x 20, half shared", (2000, 40, 20), 0.5, 0.0),
        ("2PL, 2000 x 40 x 20, 90 % shared", (2000, 40, 20), 0.9, 0.0),
        ("2PL, 1500 x 30, all answered, half shared", (1500, 30, 30), 0.5, 0.0),
        ("2PL, 8000 x 300 x 20, half shared", (8000, 300, 20), 0.5, 0.0),
        ("3PL, 4000 x 40 x 20, half shared", (4000, 40, 20), 0.5, GUESSING),
    ]
    for name, (n_persons, n_items, answers), share, guessing in cases:
        started = time.perf_counter()
        settings = replace(SETTINGS, model=Model.THREE_PL) if guessing else SETTINGS
        hits: dict[str, list[Floats]] = {"p": [], "flagged": []}
        fresh = round(n_persons * (1.0 - share))
        for seed in range(replications):
            rng = np.random.default_rng([seed, n_persons, n_items, int(10 * share)])
            truth = draw_items(rng, n_items, guessing)
            theta = rng.normal(size=n_persons + fresh)
            theta[n_persons:] += 0.3
            truth = replace(truth, theta=theta)
            every = draw_responses(rng, truth, answers, np.zeros(len(theta), np.bool_))
            old, new = _students(every, 0, n_persons), _students(every, fresh, len(theta))
            both = _students(every, fresh, n_persons)
            old_found, new_found = calibrate(old, settings), calibrate(new, settings)
            base = _parameters(old_found, old, None)
            result = drift(
                _parameters(new_found, new, Curves(base.a, base.b, old_found.guessing)),
                base,
                both.item_counts().astype(np.float64) if share else np.zeros(n_items),
            )
            known = result.reason == ""
            hits["p"].append((result.p[known] < NOMINAL).astype(float))
            hits["flagged"].append((result.q[known] < NOMINAL).astype(float))
        show(name, {key: rate(values) for key, values in hits.items()}, started)


def _students(responses: ResponseMatrix, start: int, stop: int) -> ResponseMatrix:
    part = slice(responses.indptr[start], responses.indptr[stop])
    return ResponseMatrix(
        responses.person_ids[start:stop],
        responses.item_ids,
        responses.indptr[start : stop + 1] - responses.indptr[start],
        responses.items[part],
        responses.correct[part],
    )


def null_fit(replications: int) -> None:
    """Rates of item and person fit where the model holds."""
    say("\nfit, the model holds: p < 0.05 (lz*: below -1.645)")
    cases = [
        ("2PL, 2000 x 20, all answered", (2000, 20, 20)),
        ("2PL, 4000 x 60 x 20", (4000, 60, 20)),
    ]
    for name, (n_persons, n_items, answers) in cases:
        started = time.perf_counter()
        hits: dict[str, list[Floats]] = {"S-X2": [], "PV-Q1": [], "lz*": []}
        for seed in range(replications):
            rng = np.random.default_rng([seed, n_persons, n_items, 3])
            truth = replace(draw_items(rng, n_items), theta=rng.normal(size=n_persons))
            responses = draw_responses(rng, truth, answers, np.zeros(n_persons, np.bool_))
            found = calibrate(responses, replace(SETTINGS, standard_errors=False))
            bank = found.discrimination, found.difficulty, found.guessing
            rows = responses.indptr, responses.items, responses.correct
            summed, plausible = s_x2(responses, *bank), pv_q1(responses, *bank, seed=seed)
            theta, _ = eap(*bank, *rows)
            persons = lz_star(responses, *bank, theta)
            for key, fit in (("S-X2", summed), ("PV-Q1", plausible)):
                hits[key].append((fit.p[fit.reason == ""] < NOMINAL).astype(float))
            hits["lz*"].append((persons.statistic < LOWEST_5_PERCENT).astype(float))
        show(
            name,
            {key: rate(values) for key, values in hits.items() if sum(map(len, values))},
            started,
        )


PARTS: dict[str, Callable[[int], None]] = {
    "recovery": recovery,
    "dif": null_dif,
    "drift": null_drift,
    "fit": null_fit,
}


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--only", default=",".join(PARTS))
    arguments = parser.parse_args()
    for part in arguments.only.split(","):
        PARTS[part](arguments.replications)


if __name__ == "__main__":
    main()
