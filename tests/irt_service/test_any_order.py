"""Any order of arrival, with builds in between or not, ends where one batch scoring ends."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.worker import Worker
from tests.conftest import DatabaseFactory
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

ITEMS = {f"q_{k}": (0.8 + 0.1 * k, -1.0 + 0.3 * k, 0.1 * (k % 2)) for k in range(7)}
SECOND_RUN_ON_DAY = 60

Step = tuple[str, str | None, int, list[tuple[str, bool | None]], str, str]

# Few sessions, students and days, so that sessions move, tie and overtake each other.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["s_1", "s_2", "s_3", "s_4"]),
        st.sampled_from(["kim", "kim", "lee", None]),
        st.sampled_from([0, 0, 1, 30, 59, 60, 89, 90, 120]),
        st.lists(
            st.tuples(st.sampled_from(sorted(ITEMS)), st.sampled_from([True, False, None])),
            max_size=7,
        ),
        st.sampled_from(["ready", "ready", "ready", "failed", "deleted"]),
        st.sampled_from(["", "drain", "drain and build", "build and drain"]),
    ),
    min_size=1,
    max_size=8,
)
SIX = [(item, True) for item in list(ITEMS)[:6]]


@pytest.fixture(scope="module")
def two_schools(new_database: DatabaseFactory) -> list[Engine]:
    """Two schools with two runs, of which the second comes into force on the 60th day."""
    engines = []
    for _ in range(2):
        engine = new_database().engine
        open_school(engine)
        publish_parameters(engine, "run_1", ITEMS, prior=(0.2, 1.1))
        publish_parameters(
            engine, "run_2", dict(list(ITEMS.items())[1:]),
            in_force_from=DAY_ONE.date() + timedelta(days=SECOND_RUN_ON_DAY),
        )  # fmt: skip
        engines.append(engine)
    return engines


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
# A built session moves while a new one of its old student arrives.
@example(
    steps=[
        ("s_1", "kim", 0, SIX, "ready", "drain and build"),
        ("s_1", "lee", 0, SIX, "ready", ""),
        ("s_2", "kim", 1, [("q_0", False), ("q_6", True)], "ready", "drain"),
    ]
)
# The same question at the same instant in two sessions: the order of their ids decides.
@example(
    steps=[
        ("s_2", "kim", 0, [("q_0", True)], "ready", "drain and build"),
        ("s_1", "kim", 0, [("q_0", False)], "ready", "drain"),
    ]
)
def test_online_in_any_order_equals_batch(steps: list[Step], two_schools: list[Engine]) -> None:
    batch, online = two_schools
    for engine in two_schools:
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "truncate exam.exam_results, irt.deliveries, irt.mirt_topic_ability,"
                    " irt.mirt_ability, irt.mirt_ability_retraction"
                )
            )
        build(engine)
    for step in steps:
        for engine in two_schools:
            _apply(engine, step)
        for action in step[-1].split(" and "):
            if action == "drain":
                _drain(online)
            elif action == "build":
                build(online)
    build(batch)
    replay(batch, Scorer(Settings()))
    _drain(online)
    assert _drain(online) == 0
    _assert_equal(effective(online), effective(batch))
    _assert_equal(effective_topics(online), effective_topics(batch))
    assert _written_twice(online) == 0
    # What the worker wrote is what a batch scoring of the same marts would write.
    build(online)
    assert replay(online, Scorer(Settings())).abilities == 0


def _drain(engine: Engine) -> int:
    worker = Worker(engine, Scorer(Settings()))
    worker.drain()
    return worker.work.tally.sessions


def _apply(engine: Engine, step: Step) -> None:
    session, student, day, answers, status, _ = step
    with engine.begin() as connection:
        if status == "deleted":
            connection.execute(
                sa.text("delete from exam.exam_results where session_id = :id"), {"id": session}
            )
            return
        at = DAY_ONE + timedelta(days=day)
        deliver(connection, session, student, at, answers, status=status)


def _written_twice(engine: Engine) -> object:
    """Scorings that say what the one before them said, with no retraction in between."""
    return scalar(
        engine,
        """
        with scorings as (
            select user_id, session_id, run_id, fitted_at, id, theta
            from irt.mirt_ability
            union all
            select user_id, session_id, run_id, fitted_at, id, 'NaN'
            from irt.mirt_ability_retraction
        ),
        numbered as (
            select
                scorings.*,
                (
                    select jsonb_object_agg(topic_id, topics.theta)
                    from irt.mirt_topic_ability as topics
                    where topics.ability_id = scorings.id
                ) as topics,
                ability.effective_at,
                ability.n_responses
            from scorings left join irt.mirt_ability as ability on scorings.id = ability.id
        )
        select count(*)
        from (
            select
                (theta, topics, effective_at, n_responses) is not distinct from
                lag((theta, topics, effective_at, n_responses)) over (
                    partition by user_id, session_id, run_id order by fitted_at, id
                ) as is_same
            from numbered
        ) as compared
        where is_same
        """,
    )


def _assert_equal(
    one: dict[tuple[str, ...], tuple[float, float, int]],
    other: dict[tuple[str, ...], tuple[float, float, int]],
) -> None:
    assert one.keys() == other.keys()
    for key, (theta, standard_error, count) in one.items():
        assert other[key] == (
            pytest.approx(theta, abs=1e-9),
            pytest.approx(standard_error, abs=1e-9),
            count,
        )
