"""What a psychometrician has to look at after a calibration, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from irt_service.comparisons import BASELINE, PREVIOUS
from irt_service.diagnose import Diagnosis

_SHOWN = 5
_GRADES = ("severe", "moderate", "minor")
_COMPARED = {PREVIOUS: "the run before", BASELINE: "the baseline"}

Row = Mapping[str, Any]
Lines = list[tuple[str, str]]


def lines(diagnosis: Diagnosis, *, has_history: bool = True) -> Lines:
    """Names and texts, one per finding.

    Args:
        diagnosis: of the calibration.
        has_history: whether there could be earlier runs to compare with.
    """
    summary = diagnosis.summary
    return [
        ("reliability", _reliability(summary["information"])),
        ("item fit", _item_fit(diagnosis)),
        ("dependence", _dependence(diagnosis)),
        ("person fit", _person_fit(summary["person_fit"])),
        *(("DIF", _dif(one, diagnosis)) for one in summary["dif"]),
        *(("drift", _drift(one, diagnosis)) for one in summary["drift"]),
        *(_not_compared(summary["drift"]) if has_history else []),
    ]


def _not_compared(drift: Sequence[Row]) -> Lines:
    """What there was nothing to compare with."""
    known = {one["comparison"] for one in drift}
    texts = {
        PREVIOUS: "no earlier run of this bank and model to compare with",
        BASELINE: "no baseline is pinned: python -m irt_service baseline RUN",
    }
    return [("drift", text) for name, text in texts.items() if name not in known]


def places(run_id: str) -> str:
    """Where the whole of it is."""
    return (
        f"irt.item_fit, item_dif, item_drift, local_dependence, person_fit of run_id '{run_id}'; "
        "fct_item_fit, fct_item_dif and fct_item_drift after dbt build --select source:irt+"
    )


def _reliability(information: Row) -> str:
    value = information["marginal_reliability"]
    return "not computable" if value is None else f"{value:.2f} for these students"


def _item_fit(diagnosis: Diagnosis) -> str:
    found = diagnosis.summary["item_fit"]
    total, unknown = diagnosis.item_fit.num_rows, found["not_computable"]
    note = f"; {unknown} have too few responses for a test" if unknown else ""
    if not found["misfits"]:
        judged = total - unknown
        return ("no item tested" if not judged else f"all {judged} items tested fit") + note
    rows = [row for row in diagnosis.item_fit.to_pylist() if row["is_misfit"]]
    rows.sort(key=lambda row: -row["rmsea"])
    worst = _shown([f"{row['item_id']} (RMSEA {row['rmsea']:.2f})" for row in rows])
    return f"LOOK: {found['misfits']} of {total} items do not fit the model: {worst}{note}"


def _dependence(diagnosis: Diagnosis) -> str:
    found = diagnosis.summary["local_dependence"]
    if not found["tested"]:
        return f"no two items share {found['fewest_pairs']} students"
    if not found["flagged"]:
        return f"none of {found['tested']:,} pairs of items depends on more than ability"
    rows = diagnosis.local_dependence.to_pylist()
    worst = _shown([f"{row['item_1']} and {row['item_2']} (Q3 {row['q3']:.2f})" for row in rows])
    return f"LOOK: {found['flagged']} of {found['tested']:,} pairs depend on each other: {worst}"


def _person_fit(found: Row) -> str:
    if not found["judged"]:
        return f"no student has {found['fewest_responses']} responses"
    return (
        f"{found['flagged']:,} of {found['judged']:,} students answer improbably "
        f"(lz* below {found['threshold']}), {found['expected']:,.0f} by chance"
    )


def _dif(found: Row, diagnosis: Diagnosis) -> str:
    used = [group for group in found["groups"] if not group["reason"]]
    if not used:
        return f"{found['grouping']}: too few students in its groups"
    reference = next(group["name"] for group in used if group["is_reference"])
    others = _shown([group["name"] for group in used if not group["is_reference"]])
    rows = [row for row in diagnosis.dif.to_pylist() if row["grouping"] == found["grouping"]]
    name = f"{found['grouping']}, {others} against {reference}"
    return _graded(name, found, rows, lambda row: f"{row['item_id']} for {row['focal_group']}")


def _drift(found: Row, diagnosis: Diagnosis) -> str:
    against = f"against {_COMPARED[found['comparison']]} {found['compared_run_id']}"
    if "reason" in found:
        return f"{against}: not comparable, {found['reason']}"
    rows = [row for row in diagnosis.drift.to_pylist() if row["comparison"] == found["comparison"]]
    return _graded(against, found, rows, lambda row: str(row["item_id"]))


def _graded(
    name: str,
    found: Row,
    rows: Sequence[Mapping[str, Any]],
    called: Callable[[Mapping[str, Any]], str],
) -> str:
    tested = len(rows) - found["untested"]
    counts = ", ".join(f"{found[grade]} {grade}" for grade in _GRADES if found[grade])
    if not counts:
        text = f"none of {tested} items tested differs"
        return f"{name}: {text}" if tested else f"{name}: no item could be tested"
    flagged = [row for row in rows if row["severity"] in _GRADES]
    flagged.sort(key=lambda row: (_GRADES.index(row["severity"]), -abs(row["delta_difficulty"])))
    worst = _shown([f"{called(row)} (b {row['delta_difficulty']:+.2f})" for row in flagged])
    look = "LOOK: " if found["severe"] or found["moderate"] else ""
    return f"{look}{name}: {counts} of {tested} items: {worst}"


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
