"""The tutor's report: who needs contact and why, movement, distribution, gaps."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from report_runner.catalogue import language
from report_runner.cli import main
from report_runner.cohort import build_cohort_report
from report_runner.cohort_queries import CohortRecord
from report_runner.cohort_wording import say_cohort
from tests.conftest import Database
from tests.report_runner.marts import SUNDAY, WEEK, fill
from tests.report_runner.page import parse
from tests.report_runner.records import THIS_WEEK
from tests.report_runner.running import execute


def _student(student_id: str, **values: Any) -> dict[str, Any]:
    return {
        "student_id": student_id,
        "display_name": None,
        "theta": 0.0,
        "standard_error": 0.2,
        "churn_risk": 0.1,
        "days_since_last_activity": 1,
        "graded_recent_short_count": 9,
        "theta_before": 0.0,
        "state": "active",
        "to_state": None,
        "days_at_transition": None,
        "goal_probability": None,
        "target_date": None,
        **values,
    }


def _report(*students: dict[str, Any], topics: tuple[dict[str, Any], ...] = ()) -> Any:
    return build_cohort_report(CohortRecord("c", "1반", students, topics), THIS_WEEK)


def test_contacts_stand_in_the_order_of_what_presses_most() -> None:
    report = _report(
        _student("goal", goal_probability=0.39, target_date=SUNDAY + timedelta(days=3)),
        _student("risk", churn_risk=0.7, days_since_last_activity=6),
        _student("falling", theta=-0.2),
        _student("inactive", state="inactive", to_state="inactive", days_at_transition=7),
        _student("dormant", state="dormant", to_state="dormant", days_at_transition=28),
        _student("fine", churn_risk=0.69, theta=-0.19, goal_probability=0.4, target_date=SUNDAY),
        _student("back", to_state="dormant", days_at_transition=28),
    )
    names = [contact.student_id for contact in report.contacts]
    assert names == ["dormant", "inactive", "falling", "risk", "goal"]
    shown = say_cohort(report, language("ko")).contacts
    assert [contact.reasons for contact in shown] == [
        "28일째 공부한 기록이 없습니다.",
        "7일째 공부를 쉬고 있습니다.",
        "4주 사이 실력 점수가 20점 내려갔습니다.",
        "공부하는 간격이 벌어지고 있습니다(마지막 공부 6일 전).",
        "목표일이 3일 남았는데 달성 가능성이 39%입니다.",
    ]


def test_movement_percentiles_and_gaps_are_counted() -> None:
    students = [_student(f"s{n}", theta=n / 10, theta_before=0.0) for n in range(-5, 6)]
    report = _report(*students, _student("none", theta=None, graded_recent_short_count=0))
    assert (len(report.risers), report.steady_count, len(report.fallers)) == (4, 3, 4)
    assert report.percentiles == pytest.approx({10: 460, 25: 475, 50: 500, 75: 525, 90: 540})
    assert sum(count for _low, _high, count in report.bins) == 11
    assert report.without_score == (("none", None),)
    assert report.without_questions == ()


def test_names_of_many_students_without_data_are_cut_and_the_rest_counted() -> None:
    report = _report(*(_student(f"s{n:02}", theta=None) for n in range(45)))
    ((_heading, names),) = say_cohort(report, language("ko")).gaps
    assert names.startswith("s00, s01")
    assert names.endswith("s29 외 15명")


def test_a_topic_is_shown_where_enough_questions_were_graded() -> None:
    def row(topic: str, week: date, graded: int) -> dict[str, Any]:
        counts = {"graded_count": graded, "correct_count": graded // 2}
        return {"topic_id": topic, "week_start": week, **counts}

    topics = (row("확률", WEEK, 6), row("확률", WEEK - timedelta(weeks=1), 4), row("수열", WEEK, 4))
    report = _report(_student("s"), topics=topics)
    assert report.topics == (("확률", (None, None, None, None, None, 0.5)),)


def test_the_command_writes_a_page_and_a_pdf_per_class(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.engine.begin() as connection:
        fill(connection)
    execute(
        database,
        "update analytics.dim_students set classroom_name = '<b>1반</b> {{7*7}}', "
        "display_name = '#panic() <i>'",
    )
    execute(
        database,
        "insert into analytics.fct_inactivity_daily select student_id, '2026-06-14', "
        "case when student_id = 'rich' then 'inactive' else 'active' end "
        "from analytics.dim_students",
    )
    execute(
        database,
        "insert into analytics.fct_inactivity_transitions "
        "values ('rich', '2026-06-12', 'inactive', 7, true)",
    )
    monkeypatch.setenv("DATABASE_URL", database.url)
    assert main(["cohort", "--out", str(tmp_path)]) == 0
    folder = tmp_path / f"cohorts/classroom/class-1/{WEEK}"
    page = parse((folder / "report.html").read_bytes())
    assert page.find("h1")[0].text == "<b>1반</b> {{7*7}}"
    assert [cell.text for cell in page.find("td")][:3] == [
        "1",
        "#panic() <i> (rich)",
        "7일째 공부를 쉬고 있습니다.",
    ]
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert main(["cohort", "--cohort", "nobody", "--out", str(tmp_path)]) == 1
