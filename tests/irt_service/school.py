"""A small school in a test's database: results, and marts that are rebuilt by hand.

The marts follow the definitions of dbt's models in one statement each, so that these tests
ask what the IRT service does with them and need no dbt; that dbt builds the same is asked
end to end.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from irt_service.calibrate import Request
from irt_service.engines.base import CalibrationSettings

DAY_ONE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
Answer = tuple[str, bool | None]

_STAGING = """
create schema if not exists analytics;
create view analytics.stg_exam__session_questions as
select
    results.session_id,
    results.user_id as student_id,
    results.org_id,
    results.exam_id,
    element.value ->> 'question_id' as item_id,
    coalesce(element.value ->> 'topic', question.topic_id) as topic_id,
    case when element.value ->> 'question_id' is null then 'missing_item' end as rejection_reason,
    cast(element.ordinality as integer) as position,
    case
        when element.value ->> 'is_correct' in ('true', 'false')
            then cast(element.value ->> 'is_correct' as boolean)
    end as is_correct,
    not (element.value ? 'user_answer' and coalesce(element.value ->> 'user_answer', '') = '')
        as is_answered,
    cast(element.value ->> 'answered_at' as timestamptz) as answered_at
from exam.exam_results as results
cross join lateral jsonb_array_elements(results.result_json -> 'questions')
    with ordinality as element
left join exam.question as question on element.value ->> 'question_id' = question.id
where results.status = 'ready' and results.user_id is not null
"""

_MARTS = """
drop view if exists analytics.fct_item_responses;
drop table if exists analytics.fct_attempts, analytics.fct_sessions, analytics.dim_items;
create table analytics.fct_attempts as
select
    questions.*,
    (questions.answered_at at time zone 'Asia/Seoul')::date as attempt_date,
    questions.is_correct is not null and row_number() over (
        partition by questions.student_id, questions.item_id, questions.is_correct is not null
        order by questions.answered_at, questions.session_id collate "C", questions.position
    ) = 1 as is_first_graded
from analytics.stg_exam__session_questions as questions
where questions.rejection_reason is null;
create view analytics.fct_item_responses as
select * from analytics.fct_attempts where is_first_graded;
create table analytics.fct_sessions as
select
    results.session_id collate "C" as session_id,
    results.user_id collate "C" as student_id,
    results.status = 'ready' as is_result_ready,
    max(attempts.answered_at) as last_answered_at,
    results.xmin::text as result_version,
    results.updated_at as result_updated_at,
    hashtextextended(
        coalesce(string_agg(attempts::text, '|' order by attempts.position), ''), 0
    ) as revision
from exam.exam_results as results
left join analytics.fct_attempts as attempts on results.session_id = attempts.session_id
where results.status = 'ready' and results.user_id is not null
group by results.session_id, results.user_id, results.status, results.xmin::text,
    results.updated_at;
create table analytics.dim_items as
select
    coalesce(question.id, answered.item_id) as item_id,
    coalesce(question.topic_id, answered.topic_id) as topic_id,
    coalesce(question.meta -> 'tags' ? 'anchor', false) as is_anchor,
    (question.meta -> 'irt' ->> 'a')::float8 as anchor_a,
    (question.meta -> 'irt' ->> 'b')::float8 as anchor_b,
    (question.meta -> 'irt' ->> 'c')::float8 as anchor_c
from exam.question as question
full join (
    select item_id, min(topic_id) as topic_id from analytics.fct_attempts group by item_id
) as answered on question.id = answered.item_id
"""


def open_school(engine: Engine) -> None:
    """Create the staging view and empty marts."""
    with engine.begin() as connection:
        _run(connection, _STAGING)
        _run(connection, _MARTS)


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.exec_driver_sql(statement)


def build(engine: Engine, as_of: date | None = None) -> None:
    """Rebuild the marts as of one moment, and say as of which day."""
    # Else a result delivered between two statements would be in one mart and not in another.
    of_one_moment = engine.execution_options(isolation_level="REPEATABLE READ")
    with of_one_moment.begin() as connection:
        _run(connection, _MARTS)
        connection.execute(
            sa.text(
                """
                insert into ops.model_builds (model, as_of_date, settings)
                select
                    'fct_student_daily_kpis',
                    coalesce(cast(:day as date), max(attempt_date)),
                    '{"reporting_timezone": "Asia/Seoul"}'
                from analytics.fct_attempts
                on conflict (model) do update set as_of_date = excluded.as_of_date
                """
            ),
            {"day": as_of},
        )


def deliver(
    connection: Connection,
    session_id: str,
    student: str | None,
    at: datetime,
    answers: Sequence[Answer],
    *,
    topic: str | None = "algebra",
    status: str = "ready",
) -> None:
    """Deliver a result, or deliver it again; questions are answered a minute apart."""
    connection.execute(
        sa.text(_UPSERT), _result(session_id, student, at, answers, topic=topic, status=status)
    )


_UPSERT = """
insert into exam.exam_results
    (session_id, user_id, status, result_json, created_at, updated_at)
values
    (:session_id, :student, :status,
    jsonb_build_object('questions', cast(:questions as jsonb)), :at, :at)
on conflict (session_id) do update set
    user_id = excluded.user_id,
    status = excluded.status,
    result_json = excluded.result_json,
    updated_at = exam_results.updated_at + interval '1 second'
"""


def _result(
    session_id: str,
    student: str | None,
    at: datetime,
    answers: Sequence[Answer],
    *,
    topic: str | None,
    status: str,
) -> dict[str, Any]:
    questions = [
        {
            "question_id": item,
            "is_correct": is_correct,
            "answered_at": (at + timedelta(minutes=position)).isoformat(),
            **({} if topic is None else {"topic": topic}),
            **({"user_answer": None} if is_correct is None else {}),
        }
        for position, (item, is_correct) in enumerate(answers)
    ]
    return {
        "session_id": session_id,
        "student": student,
        "status": status,
        "questions": json.dumps(questions),
        "at": at,
    }


def deliver_school(
    engine: Engine,
    n_students: int = 150,
    n_items: int = 12,
    seed: int = 7,
    *,
    cohort: str = "",
    start: datetime = DAY_ONE,
    harder: dict[int, float] | None = None,
    harder_from: int = 0,
) -> None:
    """Deliver three sessions of each student, drawn from a 2PL with known parameters.

    Args:
        engine: of the database.
        n_students: in this cohort.
        n_items: that every one of them answers.
        seed: of students and answers.
        cohort: what the ids of students and sessions begin with, apart from other cohorts'.
        start: of the first session.
        harder: what the difficulty of an item is more than that of the seed's school.
        harder_from: number of the first student for whom that holds.
    """
    discrimination = np.random.default_rng(7).uniform(0.8, 1.8, n_items)
    generator = np.random.default_rng(seed)
    generator.uniform(0.8, 1.8, n_items)
    usual = np.linspace(-1.5, 1.5, n_items)
    moved = usual.copy()
    for item, more in (harder or {}).items():
        moved[item] += more
    results = []
    for number in range(n_students):
        theta = generator.normal()
        difficulty = moved if number >= harder_from else usual
        chance = 1 / (1 + np.exp(-discrimination * (theta - difficulty)))
        correct = generator.random(n_items) < chance
        items = generator.permutation(n_items)
        for part in range(3):
            results.append(
                _result(
                    f"{cohort}s_{number}_{part}",
                    f"{cohort}student_{number}",
                    start + timedelta(days=20 * part, minutes=number),
                    [(f"q_{j}", bool(correct[j])) for j in items[part::3]],
                    topic="algebra",
                    status="ready",
                )
            )
    with engine.begin() as connection:
        connection.execute(sa.text(_UPSERT), results)


def regrade(engine: Engine, item: str, grade: str) -> None:
    """Grade every answer to an item anew; `grade` is SQL over the grade so far, `was`."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"""
            update exam.exam_results
            set result_json = jsonb_build_object('questions', (
                select jsonb_agg(
                    case
                        when element.value ->> 'question_id' = '{item}'
                            then jsonb_set(element.value, '{{is_correct}}', to_jsonb({grade}))
                        else element.value
                    end
                    order by element.ordinality
                )
                from jsonb_array_elements(result_json -> 'questions') with ordinality as element
                cross join lateral (
                    select (element.value ->> 'is_correct')::boolean as was
                ) as grades
            ))
            """  # noqa: S608 - constants of the tests
        )


def label_students(engine: Engine, labels: dict[str, dict[str, object]]) -> None:
    """Give students their group labels, as dim_students holds them."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table if not exists analytics.dim_students"
            ' (student_id text collate "C" primary key, group_labels jsonb)'
        )
        connection.execute(
            sa.text("insert into analytics.dim_students values (:student, cast(:labels as jsonb))"),
            [{"student": name, "labels": json.dumps(one)} for name, one in labels.items()],
        )


def publish_parameters(
    engine: Engine,
    run_id: str,
    items: dict[str, tuple[float, float, float]],
    *,
    in_force_from: date | None = date(1, 1, 1),
    prior: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Record an accepted run with given parameters; in force unless the day is None."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                """
                insert into irt.mirt_fit_meta
                    (run_id, model, engine, status, prior_mean, prior_sd, fitted_at)
                values (:run_id, '2PL', 'given', 'accepted', :mean, :sd, clock_timestamp())
                """
            ),
            {"run_id": run_id, "mean": prior[0], "sd": prior[1]},
        )
        for item, (a, b, c) in items.items():
            connection.execute(
                sa.text(
                    """
                    insert into irt.mirt_item_params
                        (run_id, item_id, model, params, discrimination, difficulty, guessing)
                    values (:run_id, :item, '2PL', '{}', :a, :b, :c)
                    """
                ),
                {"run_id": run_id, "item": item, "a": a, "b": b, "c": c},
            )
        if in_force_from is not None:
            connection.execute(
                sa.text("insert into irt.publications (run_id, in_force_from) values (:run, :day)"),
                {"run": run_id, "day": in_force_from},
            )


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Command(Protocol):
    """Runs a command of the service, in this process, against the test's database."""

    def __call__(self, *arguments: str) -> Done:
        """Run `python -m irt_service` with these arguments."""


Effective = dict[tuple[str, str, str], tuple[float, float, int]]


def effective(engine: Engine) -> Effective:
    """What counts: theta, standard error, responses by student, session and run."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "select user_id, session_id, run_id, theta, se, n_responses"
                " from irt.effective_ability"
            )
        )
        return {tuple(row[:3]): tuple(row[3:]) for row in rows}


def effective_topics(engine: Engine) -> dict[tuple[str, str, str, str], tuple[float, float, int]]:
    """Topic abilities that count, by student, session, run and topic."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "select user_id, session_id, run_id, topic_id, theta, se, n_responses"
                " from irt.effective_topic_ability"
            )
        )
        return {tuple(row[:4]): tuple(row[4:]) for row in rows}


def scalar(engine: Engine, statement: str) -> object:
    """The one value of a query."""
    with engine.connect() as connection:
        return connection.execute(sa.text(statement)).scalar_one()


def count(engine: Engine, table: str) -> object:
    """Rows of a table."""
    return scalar(engine, f"select count(*) from irt.{table}")  # noqa: S608 - constants


def request() -> Request:
    """The default calibration."""
    return Request(CalibrationSettings())
