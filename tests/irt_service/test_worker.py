"""The online update on a real PostgreSQL: every delivery once, in any order of arrival."""

from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store.deliveries import Patience, claim, lock_students
from irt_service.worker import Worker
from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    build,
    deliver,
    effective,
    effective_topics,
    open_school,
    publish_parameters,
    scalar,
)

ITEMS = {
    "q_1": (1.0, 0.0, 0.0),
    "q_2": (1.5, 0.5, 0.0),
    "q_3": (0.8, -1.0, 0.2),
    "q_4": (1.2, 0.3, 0.0),
    "q_5": (0.9, -0.4, 0.0),
    "q_6": (1.1, 1.0, 0.1),
}
WORKED_ANSWERS = [("q_1", True), ("q_2", False), ("q_3", True)]
# The specification's worked value of an EAP: prior N(0, 1), three items, responses 1, 0, 1.
WORKED_THETA = 0.086935
WORKED_STANDARD_ERROR = 0.763518
SIX_DECIMALS = 5e-7


@pytest.fixture
def school(database: Database) -> Engine:
    """A database with the staging view and run_1 in force."""
    open_school(database.engine)
    publish_parameters(database.engine, "run_1", ITEMS)
    return database.engine


def drain(engine: Engine, **options: object) -> Worker:
    """Let a worker do what there is to do."""
    worker = Worker(engine, Scorer(Settings(**options)))  # type: ignore[arg-type]
    worker.drain()
    return worker


def rows_of(engine: Engine) -> int:
    """How many rows were ever appended."""
    return int(
        str(
            scalar(
                engine,
                "select (select count(*) from irt.mirt_ability)"
                " + (select count(*) from irt.mirt_topic_ability)"
                " + (select count(*) from irt.mirt_ability_retraction)",
            )
        )
    )


def test_a_finished_session_gets_the_worked_value(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    theta, standard_error, count = effective(school)["kim", "s_1", "run_1"]
    assert theta == pytest.approx(WORKED_THETA, abs=SIX_DECIMALS)
    assert standard_error == pytest.approx(WORKED_STANDARD_ERROR, abs=SIX_DECIMALS)
    assert count == len(WORKED_ANSWERS)
    assert effective_topics(school) == {}


def test_a_topic_with_five_responses_gets_an_ability_and_one_with_four_does_not(
    school: Engine,
) -> None:
    five = [(item, True) for item in list(ITEMS)[:5]]
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, five, topic="algebra")
        deliver(connection, "s_2", "lee", DAY_ONE, five[:4], topic="algebra")
    drain(school)
    topics = effective_topics(school)
    assert set(topics) == {("kim", "s_1", "run_1", "algebra")}
    assert topics["kim", "s_1", "run_1", "algebra"][2] == len(five)


def test_what_was_dealt_with_is_not_dealt_with_again(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    before = rows_of(school)
    assert drain(school).work.tally.sessions == 0
    assert rows_of(school) == before


def test_a_result_delivered_again_unchanged_appends_nothing(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    before = rows_of(school)
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    assert drain(school).work.tally.sessions == 1
    assert rows_of(school) == before


def test_a_row_loaded_with_an_old_updated_at_is_found(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    with school.begin() as connection:
        connection.execute(
            sa.text(
                "update exam.exam_results set result_json = jsonb_set(result_json,"
                " '{questions,0,is_correct}', 'false')"
            )
        )
    before = effective(school)["kim", "s_1", "run_1"]
    drain(school)
    assert effective(school)["kim", "s_1", "run_1"][0] < before[0]


def test_a_late_session_rescores_the_later_ones(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_2", True)])
    drain(school)
    alone = effective(school)["kim", "s_2", "run_1"]
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, [("q_1", True)])
    drain(school)
    counts = effective(school)
    assert alone[2] == 1
    assert counts["kim", "s_2", "run_1"][2] == 2
    assert counts["kim", "s_2", "run_1"][0] > alone[0]


def test_the_first_answer_to_an_item_counts_even_if_it_arrives_last(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_1", True)])
    drain(school)
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, [("q_1", False)])
    drain(school)
    counts = effective(school)
    assert counts["kim", "s_2", "run_1"] == counts["kim", "s_1", "run_1"]
    assert counts["kim", "s_2", "run_1"][0] < 0


@pytest.mark.parametrize(("days", "expected"), [(89, 2), (90, 1)])
def test_responses_count_for_less_than_ninety_days(
    school: Engine, days: int, expected: int
) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, [("q_1", True)])
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=days), [("q_2", True)])
    drain(school)
    assert effective(school)["kim", "s_2", "run_1"][2] == expected


def test_a_moved_session_counts_for_its_new_student_only(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_4", True)])
    drain(school)
    with school.begin() as connection:
        deliver(connection, "s_1", "lee", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    counts = effective(school)
    assert set(counts) == {("lee", "s_1", "run_1"), ("kim", "s_2", "run_1")}
    assert counts["kim", "s_2", "run_1"][2] == 1


@pytest.mark.parametrize("how", ["failed", "deleted", "without a student"])
def test_a_session_that_is_no_longer_ready_is_retracted(school: Engine, how: str) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_4", True)])
    drain(school)
    with school.begin() as connection:
        if how == "failed":
            deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS, status="failed")
        elif how == "deleted":
            connection.execute(sa.text("delete from exam.exam_results where session_id = 's_1'"))
        else:
            deliver(connection, "s_1", None, DAY_ONE, WORKED_ANSWERS)
    drain(school)
    counts = effective(school)
    assert set(counts) == {("kim", "s_2", "run_1")}
    assert counts["kim", "s_2", "run_1"][2] == 1
    assert scalar(school, "select count(*) from irt.mirt_ability where session_id = 's_1'") == 1


def test_a_session_without_a_response_to_use_gets_no_row(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, [("unknown", True), ("q_1", None)])
    drain(school)
    assert effective(school) == {}
    assert scalar(school, "select status from irt.deliveries") == "nothing_to_score"


def test_a_worker_that_takes_turns_shows_it(school: Engine, tmp_path: Path) -> None:
    beat = tmp_path / "heartbeat"
    worker = Worker(school, Scorer(Settings()), heartbeat=beat)
    turns = Thread(target=worker.run, args=(0.01,))
    turns.start()
    for _ in range(2):
        while not beat.exists():
            turns.join(timeout=0.01)
        beat.unlink(missing_ok=True)
    worker.stop.set()
    turns.join()
    beat.unlink(missing_ok=True)
    assert not turns.is_alive()


def test_without_a_run_in_force_the_worker_waits(database: Database) -> None:
    open_school(database.engine)
    with database.engine.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    worker = drain(database.engine)
    assert worker.work.waits_for_run
    assert scalar(database.engine, "select count(*) from irt.deliveries") == 0


def test_a_session_that_cannot_be_scored_is_parked_and_the_others_are_not(
    school: Engine,
) -> None:
    with school.begin() as connection:
        for number in range(5):
            deliver(connection, f"s_{number}", f"student_{number}", DAY_ONE, WORKED_ANSWERS)
        connection.execute(
            sa.text(
                "update exam.exam_results set result_json = jsonb_set(result_json,"
                " '{questions,0,answered_at}', '\"yesterday or so\"') where session_id = 's_3'"
            )
        )
    worker = drain(school, max_tries=3)
    assert set(worker.work.parked) == {"s_3"}
    assert scalar(school, "select tries from irt.deliveries where status = 'parked'") == 3
    assert len(effective(school)) == 4
    with school.begin() as connection:
        deliver(connection, "s_3", "student_3", DAY_ONE, WORKED_ANSWERS)
    assert drain(school).work.parked == {}
    assert len(effective(school)) == 5


def test_two_workers_share_two_hundred_sessions_and_deal_with_each_once(school: Engine) -> None:
    with school.begin() as connection:
        for number in range(200):
            at = DAY_ONE + timedelta(hours=number)
            item = list(ITEMS)[number // 40]
            deliver(connection, f"s_{number}", f"student_{number % 40}", at, [(item, True)])
    workers = [Worker(school, Scorer(Settings())) for _ in range(2)]
    threads = [Thread(target=worker.drain) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(worker.work.tally.sessions for worker in workers) == 200
    assert len(effective(school)) == 200
    # A session that is overtaken by a later one has that one scored again, with more responses.
    assert (
        scalar(
            school,
            "select count(*) - count(distinct (user_id, session_id, run_id, n_responses))"
            " from irt.mirt_ability",
        )
        == 0
    )
    assert scalar(school, "select count(*) from irt.deliveries where status = 'scored'") == 200


def test_updates_of_one_student_follow_each_other(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_2", True)])
    worker = Worker(school, Scorer(Settings()))
    thread = Thread(target=worker.drain)
    with school.begin() as other:
        lock_students(other, ["kim"])
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert scalar(school, "select count(*) from irt.deliveries") == 0
    thread.join()
    assert set(effective(school)) == {("kim", "s_2", "run_1")}


def test_a_session_that_another_worker_has_claimed_is_left_to_it(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
    patience = Patience(max_tries=3, retry_after=0.0)
    with school.begin() as first, school.begin() as second:
        assert [one.session_id for one in claim(first, ["s_1"], patience)] == ["s_1"]
        assert claim(second, ["s_1"], patience) == []
    assert drain(school).work.tally.sessions == 1


def test_while_the_marts_are_built_anew_everything_is_read_from_staging(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
        deliver(connection, "s_2", "lee", DAY_ONE, WORKED_ANSWERS)
    drain(school)
    build(school)
    with school.begin() as connection:
        deliver(connection, "s_3", "kim", DAY_ONE + timedelta(days=1), [("q_4", True)])
    with school.begin() as builder:
        builder.execute(sa.text("lock table analytics.fct_sessions, analytics.fct_attempts"))
        drain(school)
    assert effective(school)["kim", "s_3", "run_1"][2] == len(WORKED_ANSWERS) + 1


def test_attempts_of_a_session_that_moved_between_two_models_are_not_used(school: Engine) -> None:
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE, WORKED_ANSWERS)
        deliver(connection, "s_2", "kim", DAY_ONE + timedelta(days=1), [("q_4", True)])
    drain(school)
    build(school)
    with school.begin() as connection:
        deliver(connection, "s_1", "lee", DAY_ONE, WORKED_ANSWERS)
        # What fct_sessions is when it is built after the move, and fct_attempts before it.
        connection.execute(
            sa.text(
                "update analytics.fct_sessions set student_id = 'lee', result_version = null"
                " where session_id = 's_1'"
            )
        )
    drain(school)
    with school.begin() as connection:
        deliver(connection, "s_3", "kim", DAY_ONE + timedelta(days=2), [("q_5", True)])
    drain(school)
    assert effective(school)["kim", "s_2", "run_1"][2] == 1
    assert effective(school)["kim", "s_3", "run_1"][2] == 2


def test_a_session_is_scored_under_every_run_whose_days_it_reaches(school: Engine) -> None:
    second = DAY_ONE.date() + timedelta(days=100)
    publish_parameters(school, "run_2", ITEMS, in_force_from=second)
    reaches = {10: {"run_1"}, 11: {"run_1", "run_2"}, 99: {"run_1", "run_2"}, 100: {"run_2"}}
    with school.begin() as connection:
        for day in reaches:
            deliver(connection, f"s_{day}", f"student_{day}", DAY_ONE + timedelta(days=day),
                    [("q_1", True)])  # fmt: skip
    drain(school)
    found: dict[int, set[str]] = {day: set() for day in reaches}
    for _, session, run in effective(school):
        found[int(session.removeprefix("s_"))].add(run)
    assert found == reaches
