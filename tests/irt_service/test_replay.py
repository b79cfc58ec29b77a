"""Batch scoring and publication on a real PostgreSQL."""

from datetime import date, timedelta
from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service import publish as publishing
from irt_service import replay as replaying
from irt_service.errors import InvalidInputError
from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store.marts import read_students_to_score
from irt_service.worker import Worker
from tests.conftest import Database, DatabaseFactory
from tests.irt_service.school import (
    DAY_ONE,
    build,
    deliver,
    deliver_school,
    effective,
    effective_topics,
    open_school,
    publish_parameters,
    scalar,
)

ITEMS = {f"q_{j}": (0.8 + 0.1 * j, -1.1 + 0.2 * j, 0.0) for j in range(12)}
OTHER_ITEMS = {f"q_{j}": (1.0, -1.0 + 0.2 * j, 0.1) for j in range(2, 12)}
N_STUDENTS = 40
N_SESSIONS = 3 * N_STUDENTS


@pytest.fixture
def school(database: Database) -> Engine:
    """Forty students with three sessions each, built; no run in force."""
    open_school(database.engine)
    deliver_school(database.engine, n_students=N_STUDENTS)
    build(database.engine)
    return database.engine


def scorer() -> Scorer:
    """A scorer with the default settings."""
    return Scorer(Settings())


def drain(engine: Engine) -> int:
    """Let a worker do what there is to do; returns the sessions it dealt with."""
    worker = Worker(engine, scorer())
    worker.drain()
    return worker.work.tally.sessions


def rows_of(engine: Engine) -> object:
    """How many abilities and retractions were ever appended."""
    return scalar(
        engine,
        "select (select count(*) from irt.mirt_ability)"
        " + (select count(*) from irt.mirt_ability_retraction)",
    )


def test_batch_and_online_give_the_same_numbers(
    school: Engine, new_database: DatabaseFactory
) -> None:
    online = new_database().engine
    open_school(online)
    deliver_school(online, n_students=N_STUDENTS)
    for engine in (school, online):
        publish_parameters(engine, "run_1", ITEMS, prior=(0.3, 1.2))
    replay(school, scorer())
    assert drain(online) == N_SESSIONS
    assert len(effective(school)) == N_SESSIONS
    assert effective(school) == effective(online)
    assert effective_topics(school) == effective_topics(online)
    assert len(effective_topics(school)) > N_STUDENTS


def test_the_worker_leaves_what_the_replay_has_dealt_with(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    replay(school, scorer())
    assert drain(school) == 0


def test_a_replay_of_what_has_not_changed_appends_nothing(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    replay(school, scorer())
    before = rows_of(school)
    tally = replay(school, scorer())
    assert tally.sessions == N_SESSIONS
    assert rows_of(school) == before


def test_the_parts_of_a_large_replay_add_up(
    school: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("irt_service.store.marts._RESPONSES_PER_PART", 60)
    monkeypatch.setattr(replaying, "_SESSIONS_PER_BLOCK", 7)
    monkeypatch.setattr("irt_service.sessions.RESPONSES_PER_CHUNK", 50)
    publish_parameters(school, "run_1", ITEMS)
    replay(school, scorer())
    assert len(effective(school)) == N_SESSIONS
    monkeypatch.undo()
    assert replay(school, scorer()).abilities == 0


def test_what_was_delivered_after_the_build_is_not_undone_by_a_replay(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    replay(school, scorer())
    late = DAY_ONE + timedelta(days=70)
    with school.begin() as connection:
        deliver(connection, "late", "student_1", late, [("q_1", True)])
        deliver(connection, "s_2_0", "student_3", DAY_ONE, [("q_1", True), ("q_2", True)])
        connection.execute(sa.text("delete from exam.exam_results where session_id = 's_4_2'"))
    drain(school)
    online = effective(school)
    assert ("student_1", "late", "run_1") in online
    assert ("student_2", "s_2_0", "run_1") not in online
    assert ("student_4", "s_4_2", "run_1") not in online
    replay(school, scorer())
    assert effective(school) == online


def test_a_replay_reads_what_the_worker_has_not_seen_yet(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    replay(school, scorer())
    with school.begin() as connection:
        deliver(connection, "s_2_0", "student_3", DAY_ONE, [("q_1", True), ("q_2", True)])
        connection.execute(sa.text("delete from exam.exam_results where user_id = 'student_4'"))
    build(school)
    replay(school, scorer())
    replayed = effective(school)
    assert ("student_3", "s_2_0", "run_1") in replayed
    assert ("student_2", "s_2_0", "run_1") not in replayed
    assert not [key for key in replayed if key[0] == "student_4"]
    drain(school)
    assert effective(school) == replayed


def test_a_changed_topic_rescores_the_topic_alone(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    with school.begin() as connection:
        deliver(connection, "own", "choi", DAY_ONE, [(item, True) for item in ITEMS], topic=None)
        for item in ITEMS:
            connection.execute(
                sa.text("insert into exam.question (id, topic_id) values (:id, 'geometry')"),
                {"id": item},
            )
    build(school)
    replay(school, scorer())
    before = effective(school)["choi", "own", "run_1"]
    with school.begin() as connection:
        connection.execute(
            sa.text("update exam.question set topic_id = 'number theory' where id <> 'q_0'")
        )
    build(school)
    with school.connect() as connection:
        students = read_students_to_score(connection)
    assert students == ["choi"]
    replay(school, scorer(), students)
    assert effective(school)["choi", "own", "run_1"] == pytest.approx(before, abs=1e-9)
    topics = {key[3]: value[2] for key, value in effective_topics(school).items()
              if key[0] == "choi"}  # fmt: skip
    assert topics == {"number theory": len(ITEMS) - 1}


def test_the_first_run_is_in_force_from_the_beginning_and_the_next_after_the_build(
    school: Engine,
) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    publish_parameters(school, "run_2", OTHER_ITEMS, in_force_from=None)
    last = scalar(school, "select max(as_of_date) from ops.model_builds")
    first = publishing.publish(school, scorer(), "run_1")
    second = publishing.publish(school, scorer(), "run_2")
    assert first.in_force_from == date(1, 1, 1)
    assert second.in_force_from == last + timedelta(days=1)  # type: ignore[operator]
    assert scalar(school, "select run_id from irt.in_force_run") == "run_2"
    by_run = [key[2] for key in effective(school)]
    assert by_run.count("run_1") == N_SESSIONS
    assert by_run.count("run_2") == N_SESSIONS
    assert scalar(school, "select count(*) from irt.publishing where ended_at is null") == 0


def test_a_run_in_force_is_not_published_twice(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    publishing.publish(school, scorer(), "run_1")
    assert not publishing.publish(school, scorer(), "run_1").has_changed
    assert scalar(school, "select count(*) from irt.publications") == 1


@pytest.mark.parametrize("change", ["status = 'rejected'", "bank = 'topic:algebra'"])
def test_a_run_that_was_rejected_or_of_a_part_of_the_bank_is_not_published(
    school: Engine, change: str
) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    with school.begin() as connection:
        connection.execute(sa.text(f"update irt.mirt_fit_meta set {change}"))  # noqa: S608
    with pytest.raises(InvalidInputError, match="come into force"):
        publishing.publish(school, scorer(), "run_1")
    assert scalar(school, "select count(*) from irt.publications") == 0


def test_a_roll_back_scores_what_the_returning_run_has_missed(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    publish_parameters(school, "run_2", OTHER_ITEMS, in_force_from=None)
    publishing.publish(school, scorer(), "run_1")
    publishing.publish(school, scorer(), "run_2")
    with school.begin() as connection:
        deliver(connection, "new", "choi", DAY_ONE + timedelta(days=200), [("q_0", True)])
        deliver(connection, "next", "choi", DAY_ONE + timedelta(days=201), [("q_5", True)])
    build(school)
    drain(school)
    assert ("choi", "next", "run_1") not in effective(school)
    outcome = publishing.roll_back(school, scorer())
    assert outcome.run_id == "run_1"
    assert scalar(school, "select run_id from irt.in_force_run") == "run_1"
    assert ("choi", "next", "run_1") in effective(school)


def test_a_roll_back_without_an_earlier_run_is_refused(school: Engine) -> None:
    publish_parameters(school, "run_1", ITEMS)
    with pytest.raises(InvalidInputError, match="no earlier run"):
        publishing.roll_back(school, scorer())


def test_sessions_that_arrive_while_a_run_is_published_are_scored_under_both(
    school: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    publish_parameters(school, "run_2", OTHER_ITEMS, in_force_from=None)
    publishing.publish(school, scorer(), "run_1")
    last_day = DAY_ONE + timedelta(days=40)

    def replay_and_deliver(*arguments: object) -> object:
        with school.begin() as connection:
            deliver(connection, "during", "student_1", last_day, [("q_3", True)])
        drain(school)
        return replay(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "replay", replay_and_deliver)
    publishing.publish(school, scorer(), "run_2")
    runs = {key[2] for key in effective(school) if key[1] == "during"}
    assert runs == {"run_1", "run_2"}


def test_a_publication_that_fails_leaves_the_run_in_force_and_no_announcement(
    school: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    publish_parameters(school, "run_2", OTHER_ITEMS, in_force_from=None)
    publishing.publish(school, scorer(), "run_1")

    def fail(*_: object) -> object:
        raise OSError("the disk is full")

    monkeypatch.setattr(publishing, "replay", fail)
    with pytest.raises(OSError, match="disk"):
        publishing.publish(school, scorer(), "run_2")
    assert scalar(school, "select run_id from irt.in_force_run") == "run_1"
    assert scalar(school, "select count(*) from irt.publishing where ended_at is null") == 0


def test_a_publication_without_all_abilities_is_refused(
    school: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_parameters(school, "run_1", ITEMS, in_force_from=None)
    monkeypatch.setattr(publishing, "replay", lambda *_: publishing.Tally())
    with pytest.raises(Exception, match=f"{N_SESSIONS} sessions have no ability"):
        publishing.publish(school, scorer(), "run_1")
    assert scalar(school, "select count(*) from irt.publications") == 0


def test_two_publications_at_once_follow_each_other(school: Engine) -> None:
    for run in ("run_1", "run_2"):
        publish_parameters(school, run, ITEMS, in_force_from=None)
    threads = [
        Thread(target=publishing.publish, args=(school, scorer(), run))
        for run in ("run_1", "run_2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scalar(school, "select count(*) from irt.publications where revoked_at is null") == 2
    by_run = [key[2] for key in effective(school)]
    assert by_run.count("run_1") == by_run.count("run_2") == N_SESSIONS
