"""Rows of the exam application's tables, written as the application would write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from tests.dbt.mart_rows import differences, read

CREATED_AT = "2026-05-04T12:00:00+00:00"

# What belongs to one machine or one build, not to the data.
BUILD_COLUMNS = {"result_version"}
FACTS = {
    "fct_attempts": ("session_id", "position"),
    "fct_rejected_questions": ("session_id", "position"),
    "fct_sessions": ("session_id",),
}
SELECT_FACTS = ("--select", "+fct_sessions", "+fct_rejected_questions", "int_inputs__sessions")


def deliver(
    connection: psycopg.Connection,
    session_id: str,
    document: object,
    *,
    student_id: str | None = "s1",
    status: str = "ready",
    created_at: str = CREATED_AT,
    updated_at: str | None = None,
) -> None:
    """Deliver a result, or deliver it again."""
    connection.execute(
        """
        insert into exam.exam_results
            (session_id, user_id, status, result_json, created_at, updated_at)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (session_id) do update set
            user_id = excluded.user_id,
            status = excluded.status,
            result_json = excluded.result_json,
            updated_at = excluded.updated_at
        """,
        (
            session_id,
            student_id,
            status,
            None if document is None else json.dumps(document),
            created_at,
            updated_at or created_at,
        ),
    )


def visit(
    connection: psycopg.Connection,
    session_id: str,
    started_at: str | None,
    ended_at: str | None,
    student_id: str | None = "s1",
) -> None:
    """Write a row of `session`."""
    connection.execute(
        """
        insert into exam.session (id, user_id, started_at, ended_at) values (%s, %s, %s, %s)
        on conflict (id) do update set
            user_id = excluded.user_id,
            started_at = excluded.started_at,
            ended_at = excluded.ended_at
        """,
        (session_id, student_id, started_at, ended_at),
    )


def answer(item_id: object, *, is_correct: object = True, **fields: object) -> dict[str, Any]:
    """An element of questions."""
    return {"question_id": item_id, "is_correct": is_correct, **fields}


def facts(url: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of attempts, rejects and sessions."""
    return {
        relation: [
            {name: value for name, value in row.items() if name not in BUILD_COLUMNS}
            for row in read(url, relation, ", ".join(key))
        ]
        for relation, key in FACTS.items()
    }


def fact_differences(
    actual: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]
) -> Sequence[str]:
    """What differs between two builds, in either direction."""
    return [
        f"{relation}: {difference}"
        for relation, key in FACTS.items()
        for difference in differences(actual[relation], expected[relation], key)
    ]
