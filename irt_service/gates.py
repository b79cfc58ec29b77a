"""What a calibration's input and result have to meet, with a verdict on each point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.engines.base import Calibration, Exclusion
from irt_service.responses import ResponseMatrix
from irt_service.settings import GateSettings

Codes = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]

NO_RESPONSES = "no_responses"
TOO_FEW_RESPONSES = "too_few_responses"
ALL_CORRECT = "all_correct"
ALL_INCORRECT = "all_incorrect"
NOT_CONNECTED = "not_connected"
IMPLAUSIBLE_DISCRIMINATION = "implausible_discrimination"
IMPLAUSIBLE_DIFFICULTY = "implausible_difficulty"
NO_STANDARD_ERROR = "no_standard_error"


@dataclass(frozen=True)
class Verdict:
    """One gate's answer; `found` says on what it rests, in words."""

    gate: str
    is_met: bool
    found: str

    def as_json(self) -> dict[str, Any]:
        """The verdict as it is stored."""
        return asdict(self)


@dataclass(frozen=True)
class Admission:
    """Responses that may be calibrated, and what was left out.

    Attributes:
        students_left_out: students with too few responses to the items kept.
    """

    responses: ResponseMatrix
    excluded: tuple[Exclusion, ...]
    students_left_out: int
    verdicts: tuple[Verdict, ...]

    @property
    def is_met(self) -> bool:
        """Whether something is left to calibrate."""
        return all(verdict.is_met for verdict in self.verdicts)


def admit(responses: ResponseMatrix, gates: GateSettings) -> Admission:
    """Set items aside and leave students out until every one left meets the gates.

    Each round may undo what made another item or student sufficient, so it is repeated until
    nothing changes. What is left and not connected by common students or items has no common
    scale; the part with most responses is kept.
    """
    counts = responses.item_counts()
    number = dict(zip(responses.item_ids, counts.tolist(), strict=True))
    reasons: dict[str, str] = {}
    parts = 1
    kept = responses
    while kept.n_items:
        verdict_by_item = _judge_items(kept, gates)
        keep = np.array([reason is None for reason in verdict_by_item], dtype=np.bool_)
        for item, reason in zip(kept.item_ids, verdict_by_item, strict=True):
            if reason is not None:
                # Responses that only students with too few answers gave still existed.
                is_emptied = reason == NO_RESPONSES and number[item] > 0
                reasons[item] = TOO_FEW_RESPONSES if is_emptied else reason
        smaller = kept.select(keep, gates.min_responses_per_student)
        if smaller.n_items == kept.n_items and smaller.n_persons == kept.n_persons:
            largest, parts = _largest_part(kept)
            if parts == 1:
                break
            reasons |= dict.fromkeys(kept.item_ids[~largest], NOT_CONNECTED)
            smaller = kept.select(largest, gates.min_responses_per_student)
        kept = smaller
    excluded = tuple(Exclusion(item, reasons[item], number[item]) for item in sorted(reasons))
    left_out = responses.n_persons - kept.n_persons
    return Admission(kept, excluded, left_out, _verdicts_before(kept, excluded, left_out, gates))


def judge(
    calibration: Calibration, gates: GateSettings, free: npt.NDArray[np.bool_] | None = None
) -> tuple[Exclusion, ...]:
    """Items whose estimates are not plausible, with the reason.

    Args:
        free: items to look at, shape (J,); fixed ones are not estimates.
    """
    low, high = gates.discrimination_range
    looked_at = ~calibration.is_fixed if free is None else free
    found = []
    for j in np.flatnonzero(looked_at):
        reason = None
        if not low <= calibration.discrimination[j] <= high:
            reason = IMPLAUSIBLE_DISCRIMINATION
        elif not abs(calibration.difficulty[j]) <= gates.max_difficulty:
            reason = IMPLAUSIBLE_DIFFICULTY
        elif not np.isfinite(calibration.se_difficulty[j]):
            reason = NO_STANDARD_ERROR
        if reason is not None:
            item = calibration.item_ids[j]
            found.append(Exclusion(item, reason, int(calibration.n_responses[j])))
    return tuple(found)


def verdicts_after(
    calibration: Calibration,
    implausible: tuple[Exclusion, ...],
    n_admitted: int,
    gates: GateSettings,
) -> tuple[Verdict, ...]:
    """Judge a fitted run.

    Args:
        implausible: items that were set aside after fitting, in every round.
        n_admitted: items that were admitted to the first round.
    """
    path = calibration.log_likelihood_path
    share = len(implausible) / max(n_admitted, 1)
    remaining = judge(calibration, gates)
    return (
        Verdict(
            "convergence",
            calibration.is_converged,
            f"{calibration.iterations} iterations, last change {calibration.largest_change:.2g}"
            + (f", log-likelihood {path[-1]:.2f}" if path else ""),
        ),
        Verdict(
            "plausible_items",
            share <= gates.max_set_aside_share and not remaining,
            f"{len(implausible)} of {n_admitted} items set aside after fitting"
            + (f", {len(remaining)} more in the last round" if remaining else ""),
        ),
        Verdict(
            "standard_errors",
            bool(np.isfinite(calibration.se_difficulty[~calibration.is_fixed]).all()),
            f"made from {calibration.information} information",
        ),
    )


def _judge_items(responses: ResponseMatrix, gates: GateSettings) -> list[str | None]:
    counts = responses.item_counts()
    correct = np.bincount(
        responses.items, weights=responses.correct, minlength=responses.n_items
    ).astype(np.int64)
    reasons: list[str | None] = []
    for count, right in zip(counts.tolist(), correct.tolist(), strict=True):
        if count == 0:
            reasons.append(NO_RESPONSES)
        elif count < gates.min_responses_per_item:
            reasons.append(TOO_FEW_RESPONSES)
        elif right == count:
            reasons.append(ALL_CORRECT)
        elif right == 0:
            reasons.append(ALL_INCORRECT)
        else:
            reasons.append(None)
    return reasons


def _verdicts_before(
    kept: ResponseMatrix,
    excluded: tuple[Exclusion, ...],
    left_out: int,
    gates: GateSettings,
) -> tuple[Verdict, ...]:
    tally = count_reasons(excluded)
    disconnected = tally.get(NOT_CONNECTED, 0)
    return (
        Verdict(
            "enough_responses",
            kept.n_items > 1 and kept.n_persons > 1,
            f"{kept.n_items} items with at least {gates.min_responses_per_item} responses, "
            f"{kept.n_persons} students with at least {gates.min_responses_per_student} "
            f"({len(excluded)} items and {left_out} students left out)",
        ),
        Verdict(
            "connectedness",
            disconnected <= gates.max_set_aside_share * (kept.n_items + disconnected),
            "one connected set of items and students"
            if disconnected == 0
            else f"{disconnected} items share no student with the largest set and were set aside",
        ),
    )


def count_reasons(excluded: tuple[Exclusion, ...]) -> dict[str, int]:
    """How many items were set aside for each reason."""
    tally: dict[str, int] = {}
    for one in excluded:
        tally[one.reason] = tally.get(one.reason, 0) + 1
    return tally


def _largest_part(responses: ResponseMatrix) -> tuple[npt.NDArray[np.bool_], int]:
    """Items of the connected part with most responses, and the number of parts."""
    labels = _label_parts(responses.indptr, responses.items, responses.n_items)
    sizes = np.bincount(labels, weights=responses.item_counts(), minlength=responses.n_items)
    return labels == int(np.argmax(sizes)), len(np.unique(labels))


@compiled
def _label_parts(indptr: Index, items: Codes, n_items: int) -> Index:
    """The smallest item of each item's connected part (union by students)."""
    parent = np.arange(n_items)
    for i in range(len(indptr) - 1):
        if indptr[i] == indptr[i + 1]:
            continue
        root = items[indptr[i]]
        while parent[root] != root:
            root = parent[root]
        for k in range(indptr[i], indptr[i + 1]):
            other = items[k]
            while parent[other] != root:
                above = parent[other]
                parent[other] = root
                if above == other:
                    break
                other = above
    for j in range(n_items):
        root = j
        while parent[root] != root:
            root = parent[root]
        parent[j] = root
    return parent


def as_json(verdicts: tuple[Verdict, ...]) -> list[dict[str, Any]]:
    """Verdicts as they are stored."""
    return [verdict.as_json() for verdict in verdicts]


def unmet(verdicts: tuple[Verdict, ...]) -> list[str]:
    """The reasons why a run is rejected; empty when every gate is met."""
    return [f"{verdict.gate}: {verdict.found}" for verdict in verdicts if not verdict.is_met]


def without_responses(items: Iterable[str]) -> tuple[Exclusion, ...]:
    """Items of the bank that nobody answered in the look-back, as exclusions."""
    return tuple(Exclusion(item, NO_RESPONSES, 0) for item in items)
