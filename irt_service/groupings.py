"""Groups of students held against each other: differential item functioning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irt_service.columns import Findings, numbers, tally_severity, texts_or_null, whole_numbers
from irt_service.diagnostics.dif import Dif, dif
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

MOST_GROUPS = 10  # of a grouping: a label with a value for each school says nothing about items

COLUMNS = pa.schema(
    [
        ("grouping", pa.string()),
        ("focal_group", pa.string()),
        ("item_id", pa.string()),
        ("reference_group", pa.string()),
        ("method", pa.string()),
        ("n_reference", pa.int64()),
        ("n_focal", pa.int64()),
        ("delta_discrimination", pa.float64()),
        ("delta_difficulty", pa.float64()),
        ("se_delta_discrimination", pa.float64()),
        ("se_delta_difficulty", pa.float64()),
        ("kind", pa.string()),
        ("statistic", pa.float64()),
        ("df", pa.int64()),
        ("p", pa.float64()),
        ("q", pa.float64()),
        ("severity", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Grouping:
    """A label of students, such as gender, and who has which value of it."""

    name: str
    members: Mapping[str, Sequence[str]]


def dif_of_groupings(
    responses: ResponseMatrix,
    parameters: tuple[Floats, Floats, Floats],
    prior: tuple[float, float],
    groupings: Sequence[Grouping],
    *,
    has_slope: bool,
    threads: int,
) -> Findings:
    """DIF of every item in every grouping, the largest group being the reference.

    Args:
        responses: of the students that were calibrated on.
        parameters: discrimination, difficulty, guessing in the order of the items.
        prior: mean and SD of these students.
        groupings: students that gave no responses are ignored, those of no group left out.
        has_slope: whether discriminations were estimated.
        threads: 0 for all cores.
    """
    place = {student: i for i, student in enumerate(responses.person_ids)} if groupings else {}
    tables, summary = [], []
    for grouping in groupings:
        codes, names, n_left_out = _codes(grouping, place)
        found = dif(
            responses, codes, names, *parameters, prior, has_slope=has_slope, threads=threads
        )
        tables.append(_table(grouping.name, responses, found))
        summary.append(_summary(grouping.name, found, n_left_out))
    return Findings(pa.concat_tables([COLUMNS.empty_table(), *tables]), summary)


def _codes(
    grouping: Grouping, place: Mapping[str, int]
) -> tuple[npt.NDArray[np.int64], list[str], int]:
    """Group per student, -1 for none; names of the groups; groups beyond the largest."""
    found = {
        name: [place[student] for student in students if student in place]
        for name, students in grouping.members.items()
    }
    sizes = sorted(((-len(students), name) for name, students in found.items() if students))
    names = sorted(name for _, name in sizes[:MOST_GROUPS])
    codes = np.full(len(place), -1, dtype=np.int64)
    for code, name in enumerate(names):
        codes[found[name]] = code
    return codes, names, len(sizes) - len(names)


def _table(grouping: str, responses: ResponseMatrix, found: Dif) -> pa.Table:
    names = np.array([group.name for group in found.groups], dtype=object)
    count = len(found.item)
    return pa.table(
        {
            "grouping": pa.array([grouping] * count, pa.string()),
            "focal_group": pa.array(names[found.focal].tolist(), pa.string()),
            "item_id": pa.array(responses.item_ids[found.item].tolist(), pa.string()),
            "reference_group": pa.array(names[found.reference].tolist(), pa.string()),
            "method": pa.array([found.method] * count, pa.string()),
            "n_reference": whole_numbers(found.n_reference),
            "n_focal": whole_numbers(found.n_focal),
            "delta_discrimination": numbers(found.delta_a),
            "delta_difficulty": numbers(found.delta_b),
            "se_delta_discrimination": numbers(found.se_delta_a),
            "se_delta_difficulty": numbers(found.se_delta_b),
            "kind": texts_or_null(found.kind),
            "statistic": numbers(found.statistic),
            "df": whole_numbers(found.df),
            "p": numbers(found.p),
            "q": numbers(found.q),
            "severity": texts_or_null(found.severity),
            "reason": texts_or_null(found.reason),
        },
        schema=COLUMNS,
    )


def _summary(grouping: str, found: Dif, n_left_out: int) -> dict[str, Any]:
    return {
        "grouping": grouping,
        "groups": [
            {
                "name": group.name,
                "n_students": group.n_students,
                "mean": group.mean if math.isfinite(group.mean) else None,
                "sd": group.sd if math.isfinite(group.sd) else None,
                "is_reference": group.is_reference,
                "reason": group.reason or None,
            }
            for group in found.groups
        ],
        "groups_left_out": n_left_out,
        "n_anchors": int(found.is_anchor.sum()),
        "rounds": found.rounds,
        **tally_severity(found.severity),
    }
