"""Which scoring counts: the winner per student, session and run, unless it was taken back."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tests.conftest import Database


def _run(connection: Connection, run_id: str) -> None:
    connection.execute(
        sa.text(
            "insert into irt.mirt_fit_meta (run_id, model, engine, status) "
            "values (:run_id, '2PL', 'native', 'accepted')"
        ),
        {"run_id": run_id},
    )


def _score(connection: Connection, theta: float, session: str, effective: str, fitted: str) -> int:
    number: int = connection.execute(
        sa.text(
            "insert into irt.mirt_ability (user_id, theta, se, model, run_id, session_id, "
            "effective_at, n_responses, fitted_at) values "
            "('u', :theta, 0.3, '2PL', 'r1', :session, :effective, 5, :fitted) returning id"
        ),
        {"theta": theta, "session": session, "effective": effective, "fitted": fitted},
    ).scalar_one()
    return number


def _retract(connection: Connection, session: str, fitted: str) -> None:
    connection.execute(
        sa.text(
            "insert into irt.mirt_ability_retraction "
            "(user_id, run_id, session_id, reason, fitted_at) "
            "values ('u', 'r1', :session, 'moved', :fitted)"
        ),
        {"session": session, "fitted": fitted},
    )


def _thetas(connection: Connection, view: str) -> list[float]:
    rows = connection.execute(sa.text(f"select theta from irt.{view} order by effective_at"))  # noqa: S608
    return list(rows.scalars())


def test_the_latest_scoring_wins_and_ties_go_to_the_later_row(database: Database) -> None:
    with database.engine.begin() as connection:
        _run(connection, "r1")
        _score(connection, 0.1, "a", "2026-03-01", "2026-03-02")
        _score(connection, 0.2, "a", "2026-03-01", "2026-03-02")
        _score(connection, 0.9, "a", "2026-03-01", "2026-03-01")
        _score(connection, 0.5, "b", "2026-03-05", "2026-03-05")
        assert _thetas(connection, "effective_ability") == [0.2, 0.5]


def test_a_retraction_supersedes_until_the_session_is_scored_again(database: Database) -> None:
    with database.engine.begin() as connection:
        _run(connection, "r1")
        _score(connection, 0.1, "a", "2026-03-01", "2026-03-02")
        # At the same moment: the sequence that both share decides.
        _retract(connection, "a", "2026-03-02")
        assert _thetas(connection, "effective_ability") == []
        _score(connection, 0.3, "a", "2026-03-01", "2026-03-02")
        assert _thetas(connection, "effective_ability") == [0.3]


def test_current_ability_is_the_latest_under_the_run_in_force(database: Database) -> None:
    publish = "insert into irt.publications (run_id, in_force_from) values (:run, '0001-01-01')"
    with database.engine.begin() as connection:
        _run(connection, "r1")
        _run(connection, "r2")
        _score(connection, 0.5, "b", "2026-03-05", "2026-03-05")
        _score(connection, 0.1, "a", "2026-03-01", "2026-03-06")
        assert _thetas(connection, "current_ability") == []
        connection.execute(sa.text(publish), {"run": "r1"})
        assert _thetas(connection, "current_ability") == [0.5]
        connection.execute(sa.text(publish), {"run": "r2"})
        assert _thetas(connection, "current_ability") == []
        connection.execute(
            sa.text("update irt.publications set revoked_at = now() where run_id = 'r2'")
        )
        assert _thetas(connection, "current_ability") == [0.5]
