"""The pages in a real browser, on a phone and on a desk: nothing fetched, nothing wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from report_runner.cli import main
from tests.conftest import Database, DatabaseFactory
from tests.report_runner.browser import CHROMIUM, Chromium, fetch_axe
from tests.report_runner.marts import STUDENTS, Student, add_student, fill

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

_MARKUP = "<script>alert(1)</script>{{7*7}} <img src=//x onerror=a()>"
HOSTILE = Student("hostile", _MARKUP, topics={_MARKUP: (24, 21, "strong")}, classroom_name=_MARKUP)
LONG = Student("long", "W" * 200, topics={"A" * 140: (18, 7, "weak"), "확률": (9, 5, None)})


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = fetch_axe(tmp_path_factory.mktemp("axe"))
    if source is None:
        pytest.skip("axe-core cannot be fetched: npm or its registry is not there")
    return source


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def pages(new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    database: Database = new_database()
    with database.engine.begin() as connection:
        fill(connection)
        for student in (HOSTILE, LONG):
            add_student(connection, student)
        connection.exec_driver_sql(
            "insert into irt.mirt_fit_meta (run_id, model, engine, status, linking, fitted_at) "
            "values ('run-1', '2PL', 'native', 'accepted', '{\"A\": 1.0}', '2026-06-14')"
        )
        connection.exec_driver_sql(
            "insert into irt.mirt_item_params "
            "(run_id, item_id, model, params, discrimination, difficulty) "
            "select 'run-1', 'item ' || n, '2PL', '{}', 1, n / 10.0 from generate_series(-9, 9) n"
        )
    root = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.url)
        for command in ("weekly", "cohort", "calibration"):
            assert main([command, "--format", "html", "--out", str(root)]) == 0
    found = sorted(root.rglob("report.html"))
    assert len(found) == len(STUDENTS) + 2 + 2
    return found


@pytest.mark.parametrize("width", [390, 1200])
def test_every_page_is_accessible_and_fetches_nothing(
    pages: list[Path], browser: Chromium, axe: str, width: int
) -> None:
    for path in pages:
        seen = browser.look(path, width, axe)
        assert seen["violations"] == [], path
        assert [url for url in seen["requests"] if not url.startswith("data:")] == [path.as_uri()]
        assert seen["console"] == [], path
        assert seen["width"] == [width, width], path
