"""Nights on which something breaks: afterwards nothing is lost and nothing is there twice.

Each drill spoils a step in a state that it waits for, lets the Job try again, and then asks for
the exit codes and for the story that the ledger tells. After the last one the fixture `nights` asks
for the rows of one full refresh: what a night loses or doubles, no later one mends.
"""

from datetime import timedelta

import psycopg
import pytest

from tests.drills.nights import MART, STEP, Night, end_of
from tests.warehouse.waiting import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

_CLIENTS = "select count(*)::integer from pg_stat_activity where backend_type = 'client backend'"


def _days(night: Night) -> tuple[str, str]:
    with psycopg.connect(night.database.url) as connection:
        row = connection.execute(
            f"select max(kpi_date)::text, max(as_of_date)::text from analytics.{MART},"  # noqa: S608
            " ops.model_builds".encode()
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_postgresql_is_restarted_in_mid_build(night: Night) -> None:
    with night.held_in_mid_build() as held:
        night.crash()
        ended = end_of(held.process)
    assert ended.code == 1
    assert night.run().code == 0
    failed, succeeded = night.ledger()
    assert (failed["status"], succeeded["status"]) == ("failed", "succeeded")
    assert failed["details"]["lock_lost"] is True
    assert "server closed the connection" in failed["error"] or "went away" in failed["error"]
    assert failed["invocation_id"] == succeeded["invocation_id"] == night.job
    assert succeeded["row_count"] > 0


def test_connections_run_out(night: Night) -> None:
    taken: list[psycopg.Connection] = []
    with psycopg.connect(night.database.url, autocommit=True) as holder:
        lock = "hashtextextended('seedtest:dbt', 0)"
        holder.execute(f"select pg_advisory_lock({lock})".encode())
        process = night.start()
        night.wait_for_status("waiting")

        def is_full() -> bool:
            try:
                taken.append(psycopg.connect(night.database.url))
            except psycopg.OperationalError as error:
                assert "too many clients" in str(error)
                # Nobody is about to leave: there are these, the holder and the step.
                there = holder.execute(_CLIENTS.encode()).fetchone()
                return there == (len(taken) + 2,)
            return False

        wait_until(is_full)
        # Before it has begun, a step can only say so; dbt in its midst is told by its nodes.
        refused = night.run("detect-inactivity")
        holder.execute(f"select pg_advisory_unlock({lock})".encode())
        ended = end_of(process)
        for connection in taken:
            connection.close()
    assert refused.code == 1
    assert "too many clients already" in refused.said
    assert ended.code == 1
    assert night.run().code == 0
    failed, succeeded = night.ledger()
    assert "too many clients already" in failed["error"]
    assert (failed["status"], succeeded["status"]) == ("failed", "succeeded")
    assert night.ledger("detect-inactivity") == []


def test_a_step_is_killed_and_its_job_tries_again(night: Night) -> None:
    with night.held_in_mid_build() as held:
        held.process.kill()
        held.process.communicate()
    assert night.run().code == 0
    killed, succeeded = night.ledger()
    assert (killed["status"], killed["error"][:7]) == ("failed", "killed:")
    assert succeeded["status"] == "succeeded"
    assert [status.tries for status in night.statuses() if status.step == STEP] == [2]


def test_two_schedulers_start_the_same_job(night: Night) -> None:
    with night.held_in_mid_build() as held:
        second = night.run(job="another-scheduler")
        held.let_go()
        first = end_of(held.process)
    assert (first.code, second.code) == (0, 1)
    [run] = night.ledger()
    assert f"held by run {run['id']} of {STEP} (process {held.process.pid}" in second.said
    assert (run["status"], len(run["details"]["refused"])) == ("succeeded", 1)


def test_a_night_is_missed_and_two_jobs_run_late_together(night: Night) -> None:
    missed = night.today
    night.falls()
    night.falls()
    kpis = night.start(STEP)
    features = night.start("aggregate-features-daily", job="features")
    assert (end_of(kpis).code, end_of(features).code) == (0, 0)
    one, other = sorted(night.ledger(STEP, "aggregate-features-daily"), key=lambda run: run["id"])
    # One lock: they ran one after the other, in whichever order they came.
    begun, ended = sorted([one, other], key=lambda run: run["started_at"])
    assert ended["started_at"] >= begun["ended_at"]
    assert {run["as_of_date"] for run in (one, other)} == {night.today}
    # The missed one comes even later: it is refused, and nothing goes back.
    late = end_of(night.call("warehouse", "dbt", STEP, "--as-of", str(missed)))
    assert late.code == 1
    refusal = night.ledger()[-1]
    assert refusal["as_of_date"] == missed == night.today - timedelta(days=2)
    assert f"a date not before {night.today}" in refusal["error"]
    assert _days(night) == (str(night.today), str(night.today))
