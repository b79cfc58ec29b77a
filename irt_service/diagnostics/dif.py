"""Differential item functioning: is an item harder, or less telling, for a group of equal ability?

The model has common item parameters and, for every group, a normal distribution of ability of
its own (Bock & Zimowski, 1997, in Handbook of Modern Item Response Theory), so that groups may
differ in ability and may have answered different items. Around it each item in turn gets a
discrimination and difficulty of its own in every group, the other items placing the students; a
Wald test compares them between groups (Lord, 1980, ch. 14; Cai, Thissen & du Toit, 2011; Langer,
2008), with the uncertainty of the groups' means and SDs in the covariances. Items with DIF no
longer place students, and the test is repeated until their set stays the same (Candell &
Drasgow, 1988, Applied Psychological Measurement 12(3)).

Matching on estimated abilities instead (logistic regression on the EAP) flags clean items when
groups differ in mean ability, since equal EAPs are then not equal abilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.diagnostics.chi_square import upper_tail
from irt_service.diagnostics.false_discovery import benjamini_hochberg
from irt_service.diagnostics.groups import GroupModel, estimate_groups, start_model
from irt_service.diagnostics.severity import SIGNIFICANT, severity
from irt_service.errors import InvalidInputError
from irt_service.parallel import block_runner
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]

METHOD = "wald"
FEWEST_STUDENTS = 200  # per group
FEWEST_RESPONSES = 100  # per item and group
FEWEST_ANCHORS = 5
FEWEST_GROUPS = 2
MOST_ROUNDS = 5

TOO_FEW_STUDENTS = "too_few_students"
ONLY_GROUP = "no_group_to_compare_with"
TOO_FEW_RESPONSES = "too_few_responses"
NOT_IDENTIFIED = "not_identified"
NO_FINITE_MAXIMUM = "no_finite_maximum"
NO_SPREAD = "no_spread_of_ability"

UNIFORM = "uniform"
NON_UNIFORM = "non-uniform"


@dataclass(frozen=True)
class Group:
    """A group of students on the common scale.

    Attributes:
        name: as given.
        n_students: who belong to it and answered anything.
        mean: of ability; NaN if the group was too small to be used.
        sd: likewise.
        is_reference: the largest group.
        reason: why it was not used, else ''.
    """

    name: str
    n_students: int
    mean: float
    sd: float
    is_reference: bool
    reason: str


@dataclass(frozen=True)
class Dif:
    """One row per item and focal group, shape (R,); NaN where `reason` is not ''.

    Differences are focal minus reference on the common scale: delta_b above 0 means harder for
    the focal group than for students of the reference group of equal ability.

    Attributes:
        item: position of the item.
        focal: position in `groups`.
        reference: position in `groups`.
        statistic: Wald chi-square of both differences.
        df: 2, or 1 where discriminations are not estimated.
        p: of the statistic.
        q: adjusted for the false-discovery rate over the items of this pair of groups.
        delta_a: difference of discrimination.
        delta_b: difference of difficulty.
        se_delta_a: its standard error; NaN where discriminations are not estimated.
        se_delta_b: likewise.
        p_uniform: of a difference in location alone, discriminations held equal (1 df).
        p_non_uniform: of a difference in discrimination (1 df).
        kind: 'uniform' or 'non-uniform' for significant rows, else ''.
        severity: 'none', 'minor', 'moderate', 'severe', '' without a test.
        n_focal: responses in the focal group.
        n_reference: responses in the reference group.
        reason: why there is no test, else ''.
        groups: what the groups are.
        is_anchor: items that placed the students in the last round, (J,).
        rounds: of purification.
        method: name of the test.
    """

    item: Codes
    focal: Codes
    reference: Codes
    statistic: Floats
    df: Floats
    p: Floats
    q: Floats
    delta_a: Floats
    delta_b: Floats
    se_delta_a: Floats
    se_delta_b: Floats
    p_uniform: Floats
    p_non_uniform: Floats
    kind: Strings
    severity: Strings
    n_focal: Floats
    n_reference: Floats
    reason: Strings
    groups: tuple[Group, ...]
    is_anchor: npt.NDArray[np.bool_]
    rounds: int
    method: str = METHOD


@dataclass(frozen=True)
class _Pair:
    """Tests of all items between one focal group and the reference, (J,) each."""

    delta_a: Floats
    delta_b: Floats
    se_delta_a: Floats
    se_delta_b: Floats
    statistic: Floats
    p: Floats
    q: Floats
    p_uniform: Floats
    p_non_uniform: Floats
    n_focal: Floats
    n_reference: Floats
    reason: Strings


def dif(
    responses: ResponseMatrix,
    groups: npt.ArrayLike,
    group_names: Sequence[str],
    a: Floats,
    b: Floats,
    c: Floats,
    prior: tuple[float, float] = (0.0, 1.0),
    *,
    has_slope: bool = True,
    threads: int = 1,
) -> Dif:
    """Test every item in every group against the largest group.

    A group needs 200 students, an item 100 responses in both groups, 10 of them correct and 10
    incorrect. Where the answers of a group show no spread of ability, nothing can be said of its
    items. c is taken as known.

    Args:
        responses: students x items.
        groups: position in `group_names` per student, (N,); -1 for unknown.
        group_names: of the groups.
        a: discrimination, (J,), of the calibration; where estimation starts and what fixes the
            scale.
        b: difficulty, (J,).
        c: guessing, (J,).
        prior: mean and SD of the calibrated population.
        has_slope: whether discriminations are estimated (False: Rasch, 1PL).
        threads: 0 for all cores; the result does not depend on it.

    Raises:
        InvalidInputError: the codes do not fit the students or the names.
    """
    codes = np.asarray(groups, dtype=np.int64)
    _check(codes, responses.n_persons, len(group_names))
    has_answers = responses.person_counts() > 0
    sizes = np.bincount(codes[(codes >= 0) & has_answers], minlength=len(group_names))
    used = np.flatnonzero(sizes >= FEWEST_STUDENTS)
    anchors = np.ones(responses.n_items, np.bool_)
    if len(used) < FEWEST_GROUPS:
        return _assemble([], _describe(group_names, sizes, used, None), anchors, 0, has_slope)
    students = tuple(np.flatnonzero((codes == code) & has_answers) for code in used)
    model = start_model(responses, students, np.column_stack([a, -a * b]), c, prior)
    reference = int(np.argmax(sizes[used]))
    focal = [position for position in range(len(used)) if position != reference]
    with block_runner(threads) as run:
        for rounds in range(1, MOST_ROUNDS + 1):
            model = estimate_groups(model, anchors, has_slope, FEWEST_RESPONSES, run)
            pairs = [_compare(model, position, reference, has_slope) for position in focal]
            clean = _clean(pairs)
            if (clean == anchors).all() or rounds == MOST_ROUNDS:
                break
            anchors = clean
    described = _describe(group_names, sizes, used, model.latent)
    labelled = [(int(used[position]), pair) for position, pair in zip(focal, pairs, strict=True)]
    return _assemble(labelled, described, anchors, rounds, has_slope)


def _check(codes: Codes, n_persons: int, n_groups: int) -> None:
    if codes.shape != (n_persons,):
        raise InvalidInputError(
            "every student needs a group", f"{codes.shape} codes, {n_persons} students", "-1: none"
        )
    if len(codes) and not (codes.min() >= -1 and codes.max() < n_groups):
        raise InvalidInputError(
            "a group has no name", f"codes {codes.min()} to {codes.max()}, {n_groups} names"
        )


def _describe(
    names: Sequence[str], sizes: Codes, used: Codes, latent: Floats | None
) -> tuple[Group, ...]:
    reference = int(used[np.argmax(sizes[used])]) if len(used) else -1
    groups = []
    for code, name in enumerate(names):
        mean = sd = float("nan")
        reason = "" if code in used else TOO_FEW_STUDENTS
        if latent is not None and code in used:
            mean, sd = (float(value) for value in latent[int(np.searchsorted(used, code))])
        elif latent is None and not reason:
            reason = ONLY_GROUP
        groups.append(Group(str(name), int(sizes[code]), mean, sd, code == reference, reason))
    return tuple(groups)


def _compare(model: GroupModel, focal: int, reference: int, has_slope: bool) -> _Pair:
    """Wald tests of the groups' own parameters."""
    own, covariances = model.freed, model.covariance
    reason = np.full(len(model.common), "", dtype=object)
    enough = (model.n[focal] >= FEWEST_RESPONSES) & (model.n[reference] >= FEWEST_RESPONSES)
    estimated = model.is_estimated[focal] & model.is_estimated[reference]
    settled = model.has_settled[focal] & model.has_settled[reference]
    reason[~settled] = NO_FINITE_MAXIMUM
    reason[~estimated] = NOT_IDENTIFIED
    reason[~enough] = TOO_FEW_RESPONSES
    if not (model.has_spread[focal] and model.has_spread[reference]):
        reason[:] = NO_SPREAD
    is_known = reason == ""
    used = slice(0 if has_slope else 1, 2)
    difference = np.where(is_known[:, None], own[focal] - own[reference], np.nan)
    covariance = covariances[focal] + covariances[reference]
    covariance[~is_known] = np.nan
    safe = np.where(is_known[:, None, None], covariance, np.eye(2))[:, used, used]
    precision = np.linalg.inv(safe)
    part = difference[:, used]
    statistic = np.einsum("jr,jrs,js->j", part, precision, part)
    # With equal discriminations the difference in d is weighted by its row of the precision.
    in_place = (precision[:, -1:, :] @ part[:, :, None])[:, 0, 0] ** 2 / precision[:, -1, -1]
    delta_b, se_delta_b = _difficulties(own, covariances, focal, reference, has_slope)
    with np.errstate(invalid="ignore"):
        se_delta_a = np.sqrt(covariance[:, 0, 0])
        p_non_uniform = upper_tail((difference[:, 0] / se_delta_a) ** 2, 1)
    p = upper_tail(statistic, part.shape[1])
    return _Pair(
        difference[:, 0],
        np.where(is_known, delta_b, np.nan),
        se_delta_a,
        np.where(is_known, se_delta_b, np.nan),
        statistic,
        p,
        benjamini_hochberg(p),
        upper_tail(in_place, 1),
        p_non_uniform,
        model.n[focal],
        model.n[reference],
        reason,
    )


def _difficulties(
    own: Floats, covariances: Floats, focal: int, reference: int, has_slope: bool
) -> tuple[Floats, Floats]:
    """Difference of b = -d / a and its standard error by the delta method."""
    difference, variance = np.zeros(own.shape[1]), np.zeros(own.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for group, sign in ((focal, 1.0), (reference, -1.0)):
            a, d = own[group].T
            by_a, by_d = (d / a**2 if has_slope else np.zeros_like(a)), -1.0 / a
            matrix = covariances[group] if has_slope else np.nan_to_num(covariances[group])
            difference -= sign * d / a
            variance += by_a**2 * matrix[:, 0, 0] + by_d**2 * matrix[:, 1, 1]
            variance += 2.0 * by_a * by_d * matrix[:, 0, 1]
        return difference, np.sqrt(variance)


def _clean(pairs: list[_Pair]) -> npt.NDArray[np.bool_]:
    """Items without significant DIF in any group; at least the FEWEST_ANCHORS least suspect."""
    q = np.stack([pair.q for pair in pairs])
    p = np.stack([pair.p for pair in pairs])
    clean = np.asarray(~np.any(q < SIGNIFICANT, axis=0))
    if clean.sum() < FEWEST_ANCHORS:
        smallest = np.where(np.isnan(p), 1.0, p).min(axis=0)
        clean[np.argsort(-smallest, kind="stable")[:FEWEST_ANCHORS]] = True
    return clean


def _assemble(
    pairs: list[tuple[int, _Pair]],
    groups: tuple[Group, ...],
    anchors: npt.NDArray[np.bool_],
    rounds: int,
    has_slope: bool,
) -> Dif:
    """Rows of all pairs, one after the other."""
    n_items = len(anchors)
    reference = next((code for code, group in enumerate(groups) if group.is_reference), -1)

    def column(name: str) -> Floats:
        return np.concatenate([np.empty(0), *(getattr(pair, name) for _, pair in pairs)])

    q, delta_a, delta_b = column("q"), column("delta_a"), column("delta_b")
    p_non_uniform = column("p_non_uniform")
    is_different = q < SIGNIFICANT
    kind = np.full(len(q), "", dtype=object)
    kind[is_different] = UNIFORM
    kind[is_different & (p_non_uniform < SIGNIFICANT)] = NON_UNIFORM
    return Dif(
        item=np.tile(np.arange(n_items), len(pairs)),
        focal=np.repeat(np.array([code for code, _ in pairs], dtype=np.int64), n_items),
        reference=np.full(len(q), reference),
        statistic=column("statistic"),
        df=np.where(np.isnan(q), np.nan, 2.0 if has_slope else 1.0),
        p=column("p"),
        q=q,
        delta_a=delta_a,
        delta_b=delta_b,
        se_delta_a=column("se_delta_a"),
        se_delta_b=column("se_delta_b"),
        p_uniform=column("p_uniform"),
        p_non_uniform=p_non_uniform,
        kind=kind,
        severity=severity(delta_a, delta_b, q),
        n_focal=column("n_focal"),
        n_reference=column("n_reference"),
        reason=column("reason").astype(object),
        groups=groups,
        is_anchor=anchors,
        rounds=rounds,
    )
