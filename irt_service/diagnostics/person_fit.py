"""Person fit: does a student's pattern of answers agree with the model?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.parallel import block_runner, even_blocks
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, item_bank

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]

FEWEST_RESPONSES = 10
BLOCK = 8192
STEPS = 25
CLOSE = 1e-6
LARGEST_STEP = 1.0  # of theta in one Newton step
TOO_FEW_RESPONSES = "too_few_responses"
NO_MODE = "no_posterior_mode"
NO_VARIANCE = "no_variance"


@dataclass(frozen=True)
class PersonFit:
    """lz* per student, shape (N,) each; NaN where `reason` is not ''.

    Attributes:
        statistic: about N(0, 1) under the model; below -1.645 the pattern is less consistent
            than 5 % of consistent students would produce (guessing, cheating, mis-keying).
        n_responses: answers behind it.
        reason: why there is none, else ''.
    """

    statistic: Floats
    n_responses: Index
    reason: Strings


@compiled
def _fit_students(
    bank: Floats, rows: Rows, theta: Floats, prior: Floats, out: Floats, start: int, stop: int
) -> None:
    """lz* of students start:stop; NaN without a posterior mode, infinite without variance."""
    precision = 1.0 / (prior[1] * prior[1])
    for i in range(start, stop):
        mode = theta[i]
        step = LARGEST_STEP
        for _ in range(STEPS):
            score = (prior[0] - mode) * precision
            information = precision
            for k in range(rows.indptr[i], rows.indptr[i + 1]):
                j = rows.items[k]
                c = bank[j, 2]
                s = 1.0 / (1.0 + math.exp(-bank[j, 0] * mode - bank[j, 1]))
                p = c + (1.0 - c) * s
                ratio = bank[j, 0] * (s / p if p > 0.0 else 1.0)
                score += ratio * (rows.correct[k] - p)
                information += ratio * bank[j, 0] * (1.0 - c) * s * (1.0 - s)
            step = score / information
            mode += max(-LARGEST_STEP, min(LARGEST_STEP, step))
            if abs(step) < CLOSE:
                break
        if not abs(step) < CLOSE:
            out[i] = np.nan
            continue
        gap = 0.0
        by_weight = 0.0
        by_ratio = 0.0
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            c = bank[j, 2]
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * mode - bank[j, 1]))
            p = c + (1.0 - c) * s
            slope = bank[j, 0] * (1.0 - c) * s * (1.0 - s)
            weight = math.log(p / (1.0 - p))
            gap += (rows.correct[k] - p) * weight
            by_weight += slope * weight
            by_ratio += slope * bank[j, 0] * s / p
        share = by_weight / by_ratio
        variance = 0.0
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            c = bank[j, 2]
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * mode - bank[j, 1]))
            p = c + (1.0 - c) * s
            weight = math.log(p / (1.0 - p)) - share * bank[j, 0] * s / p
            variance += weight * weight * p * (1.0 - p)
        out[i] = (gap + share * (prior[0] - mode) * precision) / math.sqrt(variance)


def lz_star(
    responses: ResponseMatrix,
    a: Floats,
    b: Floats,
    c: Floats,
    theta: Floats,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    *,
    fewest_responses: int = FEWEST_RESPONSES,
    threads: int = 1,
) -> PersonFit:
    """The standardised log likelihood, corrected for the estimation of theta.

    Snijders (2001, Psychometrika 66(3), eqs. 13-17), as in Magis, Raiche & Beland (2012, Journal
    of Educational and Behavioral Statistics 37(1), eqs. 14-19) for the Bayesian mode. With
    w = log(P / Q), r = P' / (P Q), c = sum P' w / sum P' r, w* = w - c r and, for a normal
    prior, r0 = (mean - theta) / sd^2:

        lz* = (sum (u - P) w + c r0) / sqrt(sum w*^2 P Q)

    The theory needs an estimator that solves r0 + sum (u - P) r = 0. The EAP solves no such
    equation, so the posterior mode, found from the EAP by Fisher scoring, takes its place.

    Args:
        responses: students x items.
        a: discrimination, (J,).
        b: difficulty, (J,).
        c: guessing, (J,).
        theta: where to start, (N,); the EAP.
        prior_mean: of theta in the population.
        prior_sd: likewise.
        fewest_responses: students with fewer have the reason 'too_few_responses'.
        threads: 0 for all cores; the result does not depend on it.
    """
    bank = item_bank(a, b, c)
    rows = Rows(responses.indptr, responses.items, responses.correct)
    prior = np.array([prior_mean, prior_sd])
    values = np.empty(responses.n_persons)

    def fit(_: int, start: int, stop: int) -> None:
        _fit_students(bank, rows, theta, prior, values, start, stop)

    with block_runner(threads) as run:
        run(fit, even_blocks(responses.n_persons, -(-responses.n_persons // BLOCK)))
    counts = responses.person_counts()
    reason = np.full(responses.n_persons, "", dtype=object)
    reason[np.isinf(values)] = NO_VARIANCE
    reason[np.isnan(values)] = NO_MODE
    reason[counts < fewest_responses] = TOO_FEW_RESPONSES
    return PersonFit(np.where(reason == "", values, np.nan), counts, reason)
