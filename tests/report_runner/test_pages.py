"""The pages of a weekly run on a real database: what they show equals the marts."""

import hashlib
from pathlib import Path

import pytest

from tests.conftest import Database, DatabaseFactory
from tests.report_runner.marts import ENGLISH, POOR, QUIET, RICH, STUDENTS, fill
from tests.report_runner.page import Element, parse
from tests.report_runner.running import execute, read, report_path, run
from tests.report_runner.test_catalogue import FORBIDDEN


@pytest.fixture(scope="module")
def marts(new_database: DatabaseFactory) -> Database:
    database = new_database()
    with database.engine.begin() as connection:
        fill(connection)
    return database


@pytest.fixture(scope="module")
def pages(marts: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pages")
    assert run(marts, root).written == len(STUDENTS)
    return root


def _values(page: Element, name: str) -> list[float]:
    return [
        float(element.attributes["value"])
        for element in page.find("data")
        if element.attributes["data-name"] == name
    ]


def test_numbers_on_the_page_equal_the_marts(marts: Database, pages: Path) -> None:
    for student in (RICH, ENGLISH, POOR, QUIET):
        page = read(pages, student.student_id)
        (row,) = execute(
            marts,
            "select * from analytics.fct_student_weekly_kpis "
            "where student_id = :student_id and week_start = :week",
            student.student_id,
        )
        names = ("improvement_index", "time_efficiency", "recovery_rate", "engagement")
        assert _values(page, "theta") == [row["theta"]]
        assert _values(page, "kpi") == [row[name] for name in names if row[name] is not None]
        goals = execute(
            marts,
            "select probability from analytics.fct_goal_probability "
            "where student_id = :student_id order by priority desc",
            student.student_id,
        )
        expected = [goal["probability"] for goal in goals] or [row["goal_probability"]]
        assert _values(page, "goal") == expected
        (done,) = execute(
            marts,
            "select count(*) as attempts, avg(cast(is_correct as int)) as rate, "
            "count(distinct attempt_date) as days from analytics.fct_attempts "
            "where student_id = :student_id and attempt_date >= :week",
            student.student_id,
        )
        activity = [done["attempts"], float(done["rate"]), done["days"]] if done["attempts"] else []
        assert _values(page, "activity") == pytest.approx(activity)


def test_numbers_are_shown_as_words_and_digits_say(pages: Path) -> None:
    page = read(pages, "rich")
    assert [value.text for value in page.find("data", "figure-value")] == [
        "548", "32문항", "72%", "5일", "+0.23", "25% 단축", "63%", "45%", "31%", "12%",
    ]  # fmt: skip
    assert page.find("p", "headline")[0].text.strip() == "4주 사이 실력 점수가 40점 올랐습니다."
    text = page.visible_text
    assert "실제 실력은 524점에서 572점 사이에 있을 가능성이 큽니다." in text
    assert "24문항 중 21문항 정답 (88%)" in text
    assert "2026년 7월 31일까지 · 47일 남았습니다" in text
    english = read(pages, "english").visible_text
    assert "Your true ability is likely to lie between 524 and 572." in english
    assert "by July 31, 2026 · 47 days left" in english


def test_a_page_never_holds_labels_jargon_empty_blocks_or_outside_addresses(pages: Path) -> None:
    for student in STUDENTS:
        document = report_path(pages, student.student_id).read_text(encoding="utf-8")
        page = parse(document.encode())
        assert not FORBIDDEN.search(page.visible_text), student.student_id
        assert "0.98765" not in document
        assert "99%" not in document
        assert "http" not in document.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
            "http-equiv", ""
        )
        for tag in ("section", "ul", "li", "p", "h1", "h2", "h3", "figcaption", "title"):
            assert all(element.text.strip() for element in page.find(tag)), (student, tag)
        assert len(page.find("h1")) == 1
        ids = [e.attributes["id"] for e in page.find() if "id" in e.attributes]
        assert len(ids) == len(set(ids))


def test_a_new_student_gets_an_honest_short_page(pages: Path) -> None:
    page = read(pages, "new")
    headings = [heading.text for heading in page.find("h2")]
    assert headings == ["점수는 조금 더 모인 뒤에", "이번 주 공부", "읽는 법"]
    assert "지금까지 채점된 문항은 4개입니다. 6문항쯤 더 풀면" in page.visible_text
    assert page.find("svg") == []


def test_a_week_without_questions_is_told_from_what_was_done_before(pages: Path) -> None:
    page = read(pages, "quiet")
    assert "이번 주 공부" not in [heading.text for heading in page.find("h2")]
    assert "그동안 푼 문항을 바탕으로 썼습니다." in page.visible_text


def test_every_report_has_one_row_that_describes_its_file(marts: Database, pages: Path) -> None:
    rows = execute(marts, "select * from reports.report_artifacts order by student_id")
    assert [row["student_id"] for row in rows] == sorted(s.student_id for s in STUDENTS)
    for row in rows:
        content = (pages / row["object_key"]).read_bytes()
        assert row["size_bytes"] == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["language"] == ("en" if row["student_id"] == "english" else "ko")
        assert row["run_id"] == (None if row["student_id"] == "new" else "run-7")
