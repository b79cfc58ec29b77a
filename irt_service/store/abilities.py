"""Ability rows: those that count, and new ones. Append-only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.days import to_microseconds
from irt_service.store.copying import copy_csv_in, to_csv, unpack_int8

TopicAbility = tuple[float, float, int]


@dataclass
class Winner:
    """The scoring that counts for a student, session and run.

    Attributes:
        effective_at: microseconds since 1970.
        topics: theta, standard error and number of responses by topic.
    """

    ability_id: int
    theta: float
    standard_error: float
    n_responses: int
    effective_at: int
    topics: dict[str, TopicAbility] = field(default_factory=dict)


WinnerKey = tuple[str, str, str]  # student, session, run


@dataclass(frozen=True)
class Scope:
    """Which scorings are looked at: all of some students, and some sessions of others.

    Attributes:
        students: everybody concerned.
        whole: those of them with all of their sessions.
        sessions: of the others, these.
    """

    students: Sequence[str]
    whole: Sequence[str]
    sessions: Sequence[str] = ()


def read_winners(connection: Connection, scope: Scope) -> dict[WinnerKey, Winner]:
    """What counts in a scope under any run; call it under the students' locks."""
    rows = connection.execute(
        sa.text(
            """
            select id, user_id, session_id, run_id, theta, se, n_responses, effective_at
            from irt.effective_ability
            where user_id = any(:whole)
            union all
            select id, user_id, session_id, run_id, theta, se, n_responses, effective_at
            from irt.effective_ability
            where
                user_id = any(:students)
                and session_id = any(:sessions)
                and user_id <> all(:whole)
            """
        ),
        {
            "students": list(scope.students),
            "whole": list(scope.whole),
            "sessions": list(scope.sessions),
        },
    )
    winners: dict[WinnerKey, Winner] = {}
    by_id: dict[int, Winner] = {}
    for row in rows:
        winner = Winner(
            row.id,
            row.theta,
            row.se,
            row.n_responses,
            to_microseconds(row.effective_at),
        )
        winners[row.user_id, row.session_id, row.run_id] = winner
        by_id[row.id] = winner
    if by_id:
        topics = connection.execute(
            sa.text(
                """
                select ability_id, topic_id, theta, se, n_responses
                from irt.mirt_topic_ability
                where ability_id = any(:ids)
                """
            ),
            {"ids": list(by_id)},
        )
        for row in topics:
            by_id[row.ability_id].topics[row.topic_id] = (row.theta, row.se, row.n_responses)
    return winners


def next_ids(connection: Connection, count: int) -> npt.NDArray[np.int64]:
    """Reserve ids, rising, of the sequence that abilities and retractions share."""
    packed: bytes = connection.execute(
        sa.text(
            """
            select array_send(array(
                select nextval('irt.mirt_ability_id_seq') from generate_series(1, :count)
            ))
            """
        ),
        {"count": count},
    ).scalar_one()
    return unpack_int8([packed])[1]


def clock(connection: Connection) -> int:
    """The time to write on new rows, microseconds since 1970.

    The server's clock, or the latest row's where that clock was set back: what is written
    later has to win.
    """
    moment: datetime = connection.execute(
        sa.text(
            """
            select greatest(
                clock_timestamp(),
                (select max(fitted_at) from irt.mirt_ability),
                (select max(fitted_at) from irt.mirt_ability_retraction)
            )
            """
        )
    ).scalar_one()
    return to_microseconds(moment)


def append(
    connection: Connection, abilities: pa.Table, topics: pa.Table, retractions: pa.Table
) -> None:
    """Append rows of overall and topic abilities and of retractions; columns as in the tables."""
    tables = {
        "irt.mirt_ability": abilities,
        "irt.mirt_topic_ability": topics,
        "irt.mirt_ability_retraction": retractions,
    }
    # While the server takes one table in, the next is written out.
    with ThreadPoolExecutor(1, thread_name_prefix="irt-csv") as ahead:
        texts = [ahead.submit(to_csv, rows) for rows in tables.values()]
        for (name, rows), csv in zip(tables.items(), texts, strict=True):
            copy_csv_in(connection, name, rows.column_names, csv.result())
