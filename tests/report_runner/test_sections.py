"""What a report says, from rows: numbers, thresholds, and what is left out."""

import math
from datetime import date, timedelta

import pytest

from report_runner.errors import ReportDataError
from report_runner.sections import build_report, to_display
from tests.report_runner.marts import WEEK
from tests.report_runner.records import THIS_WEEK, bank, goal_row, record, topic_row, week_row


def test_the_display_scale_is_500_plus_100_theta() -> None:
    assert [to_display(theta) for theta in (-1.0, 0.0, 0.482)] == [400.0, 500.0, 548.2]


def test_the_score_carries_a_range_of_one_standard_error() -> None:
    score = build_report(record(), THIS_WEEK, bank()).score
    assert score is not None
    assert (score.now.score, score.now.low, score.now.high) == pytest.approx((548.2, 524.2, 572.2))


@pytest.mark.parametrize(
    ("earlier", "trend"),
    [(0.24, "up"), (0.25, "same"), (0.482, "same"), (0.72, "same"), (0.73, "down")],
)
def test_a_change_counts_from_one_standard_error_on(earlier: float, trend: str) -> None:
    weeks = [week_row(WEEK - timedelta(weeks=4), theta=earlier), week_row()]
    score = build_report(record(weeks), THIS_WEEK, bank()).score
    assert score is not None
    assert (score.trend, score.change_weeks) == (trend, 4)
    assert score.change == pytest.approx(100 * (0.482 - earlier))


def test_weeks_older_than_four_are_drawn_but_not_compared_with() -> None:
    weeks = [week_row(WEEK - timedelta(weeks=5), theta=-1.0), week_row()]
    score = build_report(record(weeks), THIS_WEEK, bank()).score
    assert score is not None
    assert (len(score.points), score.change) == (2, None)


def test_a_week_without_an_estimate_shows_no_score_and_recommends_nothing() -> None:
    weeks = [week_row(WEEK - timedelta(weeks=1)), week_row(theta=None, standard_error=None)]
    report = build_report(record(weeks), THIS_WEEK, bank([("a", "t", -0.4)]))
    assert (report.score, report.practice) == (None, ())


@pytest.mark.parametrize(("graded", "is_short"), [(0, True), (9, True), (10, False)])
def test_below_ten_graded_questions_a_report_is_short(graded: int, is_short: bool) -> None:
    report = build_report(
        record(graded_count=graded, topics=[topic_row("t", 5, 3)], goals=[goal_row()]),
        THIS_WEEK,
        bank(),
    )
    assert report.is_short is is_short
    assert (report.headline == "first_steps") is is_short
    assert bool(report.kpis or report.score or report.topics or report.goals) is not is_short


def test_unknown_kpis_are_named_and_not_shown_as_zero() -> None:
    report = build_report(record([week_row(recovery_rate=None)]), THIS_WEEK, bank())
    assert [kpi.name for kpi in report.kpis] == [
        "improvement_index",
        "time_efficiency",
        "engagement",
    ]
    assert report.missing_kpis == ("recovery_rate",)


def test_the_week_before_counts_only_when_it_is_the_week_before() -> None:
    week_ago = week_row(WEEK - timedelta(weeks=1), engagement=0.3)
    two_weeks_ago = week_row(WEEK - timedelta(weeks=2), engagement=0.2)
    near = build_report(record([two_weeks_ago, week_ago, week_row()]), THIS_WEEK, bank())
    far = build_report(record([two_weeks_ago, week_row()]), THIS_WEEK, bank())
    assert [kpi.before for kpi in near.kpis if kpi.name == "engagement"] == [0.3]
    assert {kpi.before for kpi in far.kpis} == {None}


def test_topics_that_stand_out_are_never_crowded_out() -> None:
    topics = [topic_row(f"t{number}", 50, 40) for number in range(9)]
    topics.append(topic_row("weak", 5, 0, strength="weak"))
    topics.append(topic_row("barely met", 2, 2))
    shown = build_report(record(topics=topics), THIS_WEEK, bank()).topics
    assert len(shown) == 8
    assert shown[-1].topic_id == "weak"
    assert "barely met" not in {topic.topic_id for topic in shown}


@pytest.mark.parametrize(
    ("count", "strength", "headline"), [(4, None, "steady"), (5, "strong", "topic")]
)
def test_a_topic_stands_out_from_five_questions_on(
    count: int, strength: str | None, headline: str
) -> None:
    topics = [topic_row("t", count, count, strength="strong")]
    report = build_report(record(topics=topics), THIS_WEEK, bank())
    assert [topic.strength for topic in report.topics] == [strength]
    assert report.headline == headline


@pytest.mark.parametrize(("count", "is_weak"), [(4, False), (5, True)])
def test_practice_calls_a_topic_weak_only_where_the_page_does(count: int, is_weak: bool) -> None:
    topics = [topic_row("t", count, 1, strength="weak")]
    report = build_report(record(topics=topics), THIS_WEEK, bank([("item", "t", -0.4)]))
    assert [topic.strength == "weak" for topic in report.topics] == [is_weak]
    assert [practice.is_weak for practice in report.practice] == [is_weak]


@pytest.mark.parametrize(("count", "headline"), [(None, "steady"), (4, "steady"), (5, "recovery")])
def test_recovery_makes_the_headline_from_five_questions_on(
    count: int | None, headline: str
) -> None:
    detail = {"recovery_attempt_count": count}
    assert build_report(record(detail=detail), THIS_WEEK, bank()).headline == headline


def test_practice_is_near_seventy_percent_not_seen_lately_and_weak_topics_first() -> None:
    theta = 0.482
    exact = theta - math.log(0.7 / 0.3)
    items = bank(
        [
            ("seen", "weak", exact),
            ("near", "weak", exact + 0.1),
            ("far", "weak", exact + 2),
            ("other", "fine", exact),
            ("second", "fine", exact - 0.2),
            ("third", "fine", exact - 0.3),
            ("free", None, exact),
        ]
    )
    topics = [
        topic_row("fine", 10, 9, theta_basis="overall"),
        topic_row("weak", 10, 3, strength="weak", theta_basis="overall"),
    ]
    report = build_report(
        record(topics=topics, seen_items=frozenset({"seen", "not in the bank"})), THIS_WEEK, items
    )
    assert [
        (practice.topic_id, [item.item_id for item in practice.items])
        for practice in report.practice
    ] == [("weak", ["near"]), ("fine", ["other", "second"]), (None, ["free"])]
    chances = [item.probability for practice in report.practice for item in practice.items]
    assert chances == pytest.approx([0.678590, 0.7, 0.740256, 0.7], abs=1e-6)


def test_a_topic_ability_decides_what_is_right_to_practise_in_its_topic() -> None:
    exact = -0.4 - math.log(0.7 / 0.3)
    topics = [topic_row("weak", 10, 3, theta=-0.4)]
    report = build_report(record(topics=topics), THIS_WEEK, bank([("a", "weak", exact)]))
    assert report.practice[0].items[0].probability == pytest.approx(0.7)


def test_goals_that_are_over_are_left_out_and_own_goals_come_before_the_default() -> None:
    past = goal_row(topic_id="past", target_date=date(2026, 6, 13))
    today = goal_row(topic_id="today", target_date=date(2026, 6, 14))
    undated = goal_row(topic_id="undated", target_date=None)
    goals = build_report(record(goals=[past, today, undated]), THIS_WEEK, bank()).goals
    assert [(goal.topic_id, goal.days_left, goal.is_own) for goal in goals] == [
        ("today", 0, True),
        ("undated", None, True),
    ]
    assert goals[0].gap == pytest.approx(11.8)
    (default,) = build_report(record(goals=[past]), THIS_WEEK, bank()).goals
    assert (default.is_own, default.target, default.probability) == (False, 500.0, 0.4)


def test_a_value_that_is_no_number_is_an_error_that_names_it() -> None:
    with pytest.raises(ReportDataError, match="standard_error is nan"):
        build_report(record([week_row(standard_error=math.nan)]), THIS_WEEK, bank())


def test_a_student_without_this_week_is_an_error() -> None:
    with pytest.raises(ReportDataError, match="no row in fct_student_weekly_kpis"):
        build_report(record([week_row(WEEK - timedelta(weeks=1))]), THIS_WEEK, bank())
