"""What a calibration report shows, before any language: numbers of a run, curves, flags.

P(correct) = c + (1 - c) / (1 + exp(-a (theta - b))) (Birnbaum, 1968); the information of an
item is a^2 (Q/P) ((P - c) / (1 - c))^2 (Lord, 1980, eq. 4-43), with Q = 1 - P.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from report_runner.calibration_queries import CalibrationRecord
from report_runner.records import Row

GRID = np.linspace(-4.0, 4.0, 81)
CURVES_SHOWN = 5
_LEAST_INFORMATION = 1e-3  # the curve of standard errors ends at 32: beyond is off the page
_MAP_EDGES = np.linspace(-4.0, 4.0, 17)


@dataclass(frozen=True)
class ItemCard:
    """One item: parameters with standard errors (None where not known) and what was flagged."""

    item_id: str
    discrimination: float
    se_discrimination: float | None
    difficulty: float
    se_difficulty: float | None
    guessing: float
    n_responses: int | None
    infit: float | None
    outfit: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class CalibrationReport:
    """Everything that a calibration report shows."""

    run: Row
    items: tuple[ItemCard, ...]
    excluded: Sequence[Row]
    test_information: tuple[tuple[float, float], ...]
    standard_error: tuple[tuple[float, float], ...]
    item_curves: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    ability_bins: tuple[tuple[float, float, int], ...]
    difficulty_bins: tuple[tuple[float, float, int], ...]
    dif: Sequence[Row]
    drift: Sequence[Row]
    anchors: tuple[tuple[float, float, bool], ...]
    local_dependence: Sequence[Row]
    summary: Mapping[str, Any]


def build_calibration_report(record: CalibrationRecord) -> CalibrationReport:
    """Return what the report of one run shows; parts without rows stay empty."""
    a, b, c = (
        np.array([row[name] or 0.0 for row in record.items], dtype=np.float64)
        for name in ("discrimination", "difficulty", "guessing")
    )
    information = item_information(a, b, c, GRID).sum(axis=0)
    fit = {row["item_id"]: row for row in record.diagnostics["item_fit"]}
    dif, drift = record.diagnostics["item_dif"], record.diagnostics["item_drift"]
    metrics = record.run["metrics"] or {}
    return CalibrationReport(
        run=record.run,
        items=tuple(_card(row, fit.get(row["item_id"], {}), dif, drift) for row in record.items),
        excluded=record.excluded,
        test_information=_points(information),
        standard_error=_points(1.0 / np.sqrt(np.maximum(information, _LEAST_INFORMATION))),
        item_curves=_item_curves(record.items, a, b, c),
        ability_bins=_bins(np.array(record.abilities, dtype=np.float64)),
        difficulty_bins=_bins(b),
        dif=dif,
        drift=[row for row in drift if row["severity"] not in {None, "none"}],
        anchors=tuple(
            (
                row["difficulty"] - row["delta_difficulty"],
                row["difficulty"],
                row["severity"] not in {None, "none"},
            )
            for row in drift
            if row["comparison"] == "previous" and row["delta_difficulty"] is not None
        ),
        local_dependence=record.diagnostics["local_dependence"],
        summary=metrics.get("diagnostics", {}),
    )


def probability(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    theta: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return P(correct), shape (J, T)."""
    curve: NDArray[np.float64] = expit(a[:, None] * (theta[None, :] - b[:, None]))
    return c[:, None] + (1.0 - c[:, None]) * curve


def item_information(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    theta: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the information of each item on the grid, shape (J, T)."""
    p = probability(a, b, c, theta)
    above_chance = (p - c[:, None]) / (1.0 - c[:, None])
    return (a[:, None] ** 2) * (1.0 - p) / p * above_chance**2


def _card(row: Row, fit: Row, dif: Sequence[Row], drift: Sequence[Row]) -> ItemCard:
    item_id = row["item_id"]
    flags = [str(flag) for flag in row["flags"] or ()]
    if fit.get("is_misfit"):
        flags.append("misfit")
    flags += [f"DIF {found['focal_group']}" for found in dif if found["item_id"] == item_id]
    flags += [
        f"drift {found['severity']}"
        for found in drift
        if found["item_id"] == item_id and found["severity"] not in {None, "none"}
    ]
    return ItemCard(
        item_id=item_id,
        discrimination=row["discrimination"],
        se_discrimination=row["se_discrimination"],
        difficulty=row["difficulty"],
        se_difficulty=row["se_difficulty"],
        guessing=row["guessing"] or 0.0,
        n_responses=row["n_responses"],
        infit=fit.get("infit"),
        outfit=fit.get("outfit"),
        flags=tuple(dict.fromkeys(flags)),
    )


def _item_curves(
    items: Sequence[Row],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
) -> tuple[tuple[str, tuple[tuple[float, float], ...]], ...]:
    """Return the curves of items spread evenly over the difficulties."""
    if not items:
        return ()
    order = np.argsort(b, kind="stable")
    places = np.linspace(0, len(items) - 1, min(CURVES_SHOWN, len(items))).round().astype(int)
    chosen = order[places]
    shown = probability(a[chosen], b[chosen], c[chosen], GRID)
    return tuple(
        (items[position]["item_id"], _points(curve))
        for position, curve in zip(chosen.tolist(), shown, strict=True)
    )


def _points(values: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(GRID.tolist(), values.tolist(), strict=True))


def _bins(values: NDArray[np.float64]) -> tuple[tuple[float, float, int], ...]:
    """Return counts by half a logit; what lies outside is in the outermost."""
    counts, _edges = np.histogram(np.clip(values, -4.0, 4.0), bins=_MAP_EDGES)
    edges = _MAP_EDGES.tolist()
    return tuple(zip(edges[:-1], edges[1:], counts.tolist(), strict=True))
