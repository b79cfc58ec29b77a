"""The psychometrician's report: numbers of the run, curves by formula, absent tables."""

from pathlib import Path

import numpy as np
import pytest

from report_runner.calibration import item_information, probability
from report_runner.cli import main
from tests.conftest import Database
from tests.report_runner.page import parse
from tests.report_runner.running import execute


def test_probability_and_information_follow_their_formulas() -> None:
    a, b, c, theta = np.array([1.5]), np.array([0.5]), np.array([0.2]), np.array([1.0])
    p = 0.2 + 0.8 / (1 + np.exp(-0.75))
    assert probability(a, b, c, theta)[0, 0] == pytest.approx(p, abs=1e-12)
    slope = 1.5 * (p - 0.2) * (1 - p) / 0.8
    expected = slope**2 / (p * (1 - p))
    assert item_information(a, b, c, theta)[0, 0] == pytest.approx(expected, abs=1e-12)
    two_parameters = item_information(a, b, np.array([0.0]), b)
    assert two_parameters[0, 0] == pytest.approx(1.5**2 / 4, abs=1e-12)


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    execute(
        database,
        "insert into irt.mirt_fit_meta (run_id, model, engine, status, linking, n_items, "
        "n_persons, n_responses, fitted_at) values ('run-1', '2PL', 'native', 'accepted', "
        """'{"A"\\: 1.02, "B"\\: -0.05, "method"\\: "Stocking-Lord"}', """
        "2, 500, 900, '2026-06-14')",
    )
    execute(
        database,
        "insert into irt.mirt_item_params (run_id, item_id, model, params, discrimination, "
        "difficulty, se_discrimination, se_difficulty, n_responses) values "
        "('run-1', '<q1>', '2PL', '{}', 1.25, -0.5, 0.11, 0.07, 450), "
        "('run-1', 'q2', '2PL', '{}', 0.8, 1.0, null, null, 450)",
    )
    execute(
        database,
        "insert into irt.publications (run_id, in_force_from) values ('run-1', '-infinity')",
    )
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


def _page(tmp_path: Path, *options: str) -> list[list[str]]:
    assert main(["calibration", "--language", "en", "--out", str(tmp_path), *options]) == 0
    (path,) = tmp_path.glob("calibrations/*/report.html")
    page = parse(path.read_bytes())
    assert (path.with_suffix(".pdf")).read_bytes().startswith(b"%PDF")
    return [[cell.text for cell in row.find("td")] for row in page.find("tr")]


def test_item_cards_hold_the_numbers_of_the_run_and_its_diagnostics(
    run: Database, tmp_path: Path
) -> None:
    execute(
        run,
        "insert into irt.item_fit (run_id, item_id, n_responses, infit, outfit, is_misfit) "
        "values ('run-1', 'q2', 450, 1.31, 1.4, true)",
    )
    rows = _page(tmp_path)
    assert ["q2", "0.80", "1.00", "0.00", "450", "1.31", "1.40", "misfit"] in rows
    minus = "\N{MINUS SIGN}"
    card = ["<q1>", "1.25 ±0.11", f"{minus}0.50 ±0.07", "0.00", "450"]
    assert any(row[:5] == card for row in rows)
    assert ["A", "1.0200"] in rows
    assert ["B", f"{minus}0.0500"] in rows
    assert ["In force from", "the beginning"] in rows


def test_a_korean_report_says_in_korean_what_is_no_name(run: Database, tmp_path: Path) -> None:
    execute(
        run,
        "insert into irt.item_dif (run_id, grouping, focal_group, item_id, reference_group, "
        "method, n_reference, n_focal, delta_difficulty, q, severity) values "
        "('run-1', 'region', 'a', 'q2', 'b', 'wald', 300, 200, 0.76, 0.027, 'severe')",
    )
    rows = _page(tmp_path, "--language", "ko")
    assert ["방법", "Stocking-Lord"] in rows
    assert ["q2", "region: a / b", "0.76", "0.027", "심함"] in rows


def test_a_table_that_is_not_there_gives_no_section(run: Database, tmp_path: Path) -> None:
    execute(run, "drop table irt.item_dif, irt.item_drift, irt.item_fit, irt.local_dependence")
    rows = _page(tmp_path, "--run", "run-1")
    assert any(row[:1] == ["q2"] for row in rows)


def test_an_unknown_run_is_an_error_and_no_run_is_nothing_to_do(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    assert main(["calibration", "--out", str(tmp_path)]) == 0
    assert main(["calibration", "--run", "none", "--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
