"""The words of a calibration report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from report_runner.calibration import CalibrationReport, ItemCard
from report_runner.catalogue import Language
from report_runner.charts import Chart
from report_runner.plots import Series, curves, scatter, wright_map
from report_runner.text import clean_text

ITEMS_SHOWN = 400
_ROWS_SHOWN = 40
# How the first published run is in force from the beginning of time.
_BEGINNINGS = ("-infinity", date.min.isoformat())
# The method of a scale that had no other to be linked to.
_FIRST_RUN = "first run"
_NOT_KNOWN = "–"  # noqa: RUF001  a dash in an empty field of a table

Cells = tuple[str, ...]


@dataclass(frozen=True)
class CalibrationReportText:
    """Everything a template of the calibration report can show."""

    document_title: str
    name: str
    summary: str
    reasons: tuple[str, ...]
    provenance: tuple[Cells, ...]
    linking: tuple[Cells, ...]
    anchors: Chart | None
    information: Chart | None
    standard_error: Chart | None
    item_curves: Chart | None
    wright: Chart | None
    items: tuple[Cells, ...]
    items_left_out: str
    dif: tuple[Cells, ...]
    drift: tuple[Cells, ...]
    dependence: tuple[Cells, ...]
    excluded: tuple[Cells, ...]


def say_calibration(report: CalibrationReport, language: Language) -> CalibrationReportText:
    """Return the report in the words of `language`."""
    run = report.run
    text = language.text
    left_out = len(report.items) - ITEMS_SHOWN
    flagged_first = sorted(report.items, key=lambda item: (not item.flags, item.item_id))
    return CalibrationReportText(
        document_title=text("calibration.document_title", run=_shown(run["run_id"])),
        name=_shown(run["run_id"]),
        summary=text(
            "calibration.summary",
            model=_shown(run["model"]),
            items=_count(run["n_items"], language),
            persons=_count(run["n_persons"], language),
            responses=_count(run["n_responses"], language),
            status=text(f"calibration.status.{run['status']}"),
        ),
        reasons=tuple(_reason(reason) for reason in run["reasons"] or ()),
        provenance=_provenance(report, language),
        linking=_linking(run["linking"] or {}, language),
        anchors=scatter(
            report.anchors,
            (text("calibration.linking.before"), text("calibration.linking.after")),
            text("calibration.linking.chart_title"),
            text("calibration.linking.chart_description", count=str(len(report.anchors))),
        )
        if report.anchors
        else None,
        information=_curve("information", report.test_information, language)
        if report.items
        else None,
        standard_error=_curve("error", report.standard_error, language) if report.items else None,
        item_curves=curves(
            [Series(_shown(name), points) for name, points in report.item_curves],
            ("theta", "P"),
            text("calibration.curves.items_title"),
            ", ".join(_shown(name) for name, _points in report.item_curves),
        )
        if report.item_curves
        else None,
        wright=_wright(report, language) if report.items else None,
        items=tuple(_item(item, language) for item in flagged_first[:ITEMS_SHOWN]),
        items_left_out=text("calibration.items.more", count=language.number(left_out))
        if left_out > 0
        else "",
        dif=tuple(
            (
                _shown(row["item_id"]),
                f"{row['grouping']}: {row['focal_group']} / {row['reference_group']}",
                _decimal(row["delta_difficulty"]),
                _decimal(row["q"], 3),
                _severity(row["severity"], language),
            )
            for row in report.dif[:_ROWS_SHOWN]
        ),
        drift=tuple(
            (
                _shown(row["item_id"]),
                f"{row['comparison']} ({row['compared_run_id']})",
                _decimal(row["delta_discrimination"]),
                _decimal(row["delta_difficulty"]),
                _decimal(row["q"], 3),
                _severity(row["severity"], language),
            )
            for row in report.drift[:_ROWS_SHOWN]
        ),
        dependence=tuple(
            (
                _shown(row["item_1"]),
                _shown(row["item_2"]),
                _decimal(row["q3"]),
                _count(row["n_pairs"], language),
            )
            for row in report.local_dependence
        ),
        excluded=tuple(
            (_shown(row["item_id"]), str(row["reason"]), _count(row["n_responses"], language))
            for row in report.excluded[:_ROWS_SHOWN]
        ),
    )


def _linking(linking: Mapping[str, object], language: Language) -> tuple[Cells, ...]:
    words = {
        name: language.text(f"calibration.linking.{name.replace(' ', '_')}")
        for name in ("method", _FIRST_RUN)
    }
    return tuple(
        (words.get(name, name), words.get(str(value), _plain(value)))
        for name, value in linking.items()
        if not isinstance(value, list | dict)
    )


def _provenance(report: CalibrationReport, language: Language) -> tuple[Cells, ...]:
    run = report.run
    information = report.summary.get("information", {})
    window = [run["window_start"], run["window_end"]]
    values: dict[str, str] = {
        "bank": _plain(run["bank"]),
        "engine": f"{run['engine']} {run['engine_version'] or ''}".strip(),
        "fitted_at": _plain(run["fitted_at"]),
        "in_force_from": language.text("calibration.provenance.from_the_beginning")
        if run["in_force_from"] in _BEGINNINGS
        else _plain(run["in_force_from"]),
        "window": " \N{EN DASH} ".join(map(_plain, window)) if all(window) else _NOT_KNOWN,
        "log_likelihood": _decimal(run["log_likelihood"], 2),
        "iterations": _plain(run["iterations"]),
        "prior": f"N({_decimal(run['prior_mean'], 3)}, {_decimal(run['prior_sd'], 3)}²)",
        "reliability": _decimal(information.get("marginal_reliability"), 3),
        "versions": ", ".join(f"{name} {value}" for name, value in (run["versions"] or {}).items()),
        "fingerprint": _plain(run["input_fingerprint"]),
    }
    return tuple(
        (language.text(f"calibration.provenance.{name}"), value)
        for name, value in values.items()
        if value != _NOT_KNOWN
    )


def _curve(name: str, points: Sequence[tuple[float, float]], language: Language) -> Chart:
    title = language.text(f"calibration.curves.{name}")
    peak = (
        max(points, key=lambda point: point[1])
        if name == "information"
        else min(points, key=lambda point: point[1])
    )
    description = language.text(
        f"calibration.curves.{name}_description",
        theta=_decimal(peak[0], 1),
        value=_decimal(peak[1]),
    )
    return curves([Series(title, points)], ("theta", ""), title, description)


def _wright(report: CalibrationReport, language: Language) -> Chart:
    return wright_map(
        report.ability_bins,
        report.difficulty_bins,
        (language.text("calibration.wright.students"), language.text("calibration.wright.items")),
        language.text("calibration.wright.heading"),
        language.text("calibration.wright.description"),
    )


def _item(item: ItemCard, language: Language) -> Cells:
    return (
        _shown(item.item_id),
        _with_error(item.discrimination, item.se_discrimination),
        _with_error(item.difficulty, item.se_difficulty),
        _decimal(item.guessing),
        _count(item.n_responses, language),
        _decimal(item.infit),
        _decimal(item.outfit),
        ", ".join(_shown(flag) for flag in item.flags) or _NOT_KNOWN,
    )


def _with_error(value: float, error: float | None) -> str:
    return _decimal(value) if error is None else f"{_decimal(value)} ±{_decimal(error)}"


def _severity(severity: str | None, language: Language) -> str:
    return _NOT_KNOWN if severity is None else language.text(f"calibration.severity.{severity}")


def _decimal(value: float | None, places: int = 2) -> str:
    if value is None:
        return _NOT_KNOWN
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")


def _count(value: float | None, language: Language) -> str:
    return _NOT_KNOWN if value is None else language.number(float(value))


def _plain(value: object) -> str:
    if value is None:
        return _NOT_KNOWN
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return _decimal(value, 4)
    return value.isoformat() if isinstance(value, date) else str(value)


def _reason(reason: object) -> str:
    if isinstance(reason, dict):
        return ", ".join(f"{key}: {value}" for key, value in reason.items())
    return str(reason)


def _shown(value: object) -> str:
    return clean_text(str(value)) or "—"
