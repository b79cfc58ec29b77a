"""`make run`, killed in every one of its steps and called again, ends like one never killed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.pipeline.checkout import SAMPLE, Checkout, kill

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(1500)]

STEPS = [
    "load",
    "dbt-build",
    "irt-calibrate",
    "irt-publish",
    "dbt-build-abilities",
    "generate-weekly-report",
]
PATIENCE_SECONDS = 300.0

# What two runs must agree on; run ids, row numbers and clock times are each run's own.
CONTENTS = {
    "attempts": "select * from analytics.fct_attempts order by session_id, position",
    "rejects": "select * from analytics.fct_rejected_questions order by session_id, position",
    "sessions": """
        select session_id, student_id, session_date, attempt_count, graded_count, correct_count
        from analytics.fct_sessions order by session_id
    """,
    "kpis": """
        select student_id, kpi_date, round(improvement_index::numeric, 9),
            round(time_efficiency::numeric, 9), round(recovery_rate::numeric, 9),
            round(engagement::numeric, 9), round(goal_probability::numeric, 9),
            round(churn_risk::numeric, 9), round(theta::numeric, 9)
        from analytics.fct_student_daily_kpis order by kpi_date, student_id
    """,
    "topics": """
        select student_id, topic_id, feature_date, attempt_count, correct_count,
            round(theta_estimate::numeric, 9), round(improvement::numeric, 9), strength
        from analytics.fct_topic_daily_features
        order by feature_date, student_id, topic_id
    """,
    "item parameters": """
        select item_id, round(discrimination::numeric, 9), round(difficulty::numeric, 9)
        from irt.current_item_params order by item_id
    """,
    "abilities": """
        select user_id, session_id, round(theta::numeric, 9), round(se::numeric, 9), n_responses
        from irt.effective_ability order by user_id, session_id
    """,
    "reports": """
        select student_id, week_start, format, sha256 from reports.report_artifacts
        order by student_id, week_start, format
    """,
    "publications": "select count(*) from irt.publications where revoked_at is null",
}


def _contents(checkout: Checkout) -> dict[str, list[tuple[object, ...]]]:
    with checkout.connect() as connection:
        return {
            name: connection.execute(query.encode()).fetchall() for name, query in CONTENTS.items()
        }


def _is_running(checkout: Checkout, step: str) -> bool:
    try:
        with checkout.connect() as connection:
            row = connection.execute(
                "select exists (select from ops.pipeline_runs "
                "where step = %s and status = 'running')",
                [step],
            ).fetchone()
    except psycopg.Error:  # the server or its schemas are not there yet
        return False
    return row is not None and bool(row[0])


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not seen in {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def checkouts(tmp_path: Path) -> Iterator[tuple[Checkout, Checkout]]:
    """Two copies of the checkout, whose servers are stopped at the end."""
    tmp_path.chmod(0o711)
    both = Checkout.copy_to(tmp_path / "killed"), Checkout.copy_to(tmp_path / "undisturbed")
    yield both
    for checkout in both:
        checkout.down()


def test_a_run_killed_in_each_step_ends_like_an_undisturbed_one(
    checkouts: tuple[Checkout, Checkout],
) -> None:
    killed, undisturbed = checkouts
    undisturbed.make("run", f"SAMPLE={SAMPLE}")

    for step in STEPS:
        process = killed.start("run", f"SAMPLE={SAMPLE}")
        _wait_until(
            lambda step=step, process=process: (
                _is_running(killed, step) or process.poll() is not None
            ),
            step,
        )
        assert process.poll() is None, f"make run ended with {process.returncode} before {step}"
        time.sleep(0.4)
        kill(process)
    killed.make("run", f"SAMPLE={SAMPLE}")

    expected, actual = _contents(undisturbed), _contents(killed)
    assert all(rows for name, rows in expected.items() if name != "rejects")
    assert actual == expected
    with killed.connect() as connection:
        left = connection.execute(
            "select step, status from ops.pipeline_runs where status = 'running'"
        ).fetchall()
    assert left == []
