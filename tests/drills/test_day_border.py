"""Builds on both sides of midnight, on days that summer time makes shorter and longer."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.deliveries import answer, deliver
from tests.dbt.every_mart import mart_differences, read_marts
from tests.dbt.sequences import BUILD
from tests.dbt_runner import DbtRunner
from warehouse.overview import last_complete_day

SECOND = timedelta(seconds=1)


@pytest.mark.drill
def test_a_build_before_and_one_after_midnight_put_each_answer_into_its_day(
    database: Database, run_dbt: DbtRunner
) -> None:
    zone, day = "America/New_York", date(2026, 3, 8)
    begin = datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
    end = datetime(2026, 3, 9, 4, 0, tzinfo=UTC)
    moments = {
        "last of the day before": begin - SECOND,
        "first of the day": begin,
        "last of the day": end - SECOND,
        "first of the day after": end,
    }
    with psycopg.connect(database.url) as connection:
        for number, moment in enumerate(moments.values()):
            deliver(
                connection,
                f"s_{number}",
                {"questions": [answer("q_1", answered_at=moment.isoformat())]},
                created_at=moment.isoformat(),
            )

    def build(now: datetime, *options: str) -> date:
        as_of = last_complete_day(zone, now)
        variables = {"as_of_date": str(as_of), "reporting_timezone": zone}
        run_dbt(*BUILD, *options, database=database, vars=variables)
        return as_of

    assert build(end - SECOND) == day - timedelta(days=1)
    assert build(end) == day
    with psycopg.connect(database.url) as connection:
        attempts = connection.execute(
            "select attempt_date, count(*)::integer from analytics.fct_attempts"
            " group by 1 order by 1"
        ).fetchall()
        last = connection.execute(
            "select kpi_date, attempt_count_recent from analytics.fct_student_daily_kpis"
            " order by kpi_date"
        ).fetchall()
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    assert attempts == [(before, 1), (day, 2), (after, 1)]
    assert last == [(before, 1), (day, 3)]
    by_nights = read_marts(database.url)
    build(end, "--full-refresh")
    assert mart_differences(by_nights, read_marts(database.url)) == []
