"""Reads what a calibration takes from the marts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.engines.base import ItemParameters
from irt_service.errors import InsufficientDataError, InvalidInputError
from irt_service.options import NotAnswered
from irt_service.responses import ResponseMatrix
from irt_service.store.copying import driver, numbered, unpack_int4
from irt_service.store.erasures import WITHOUT_ERASED, are_erased_in_marts

_FETCH_ROWS = 2000
# The columns a bank may be cut out by; `all` is everything.
_BANKS = {"topic": "topic_id", "exam": "exam_id", "org": "org_id"}
_RESPONSES = {
    NotAnswered.MISSING: "analytics.fct_item_responses",
    # The first attempt that is graded, or was shown and left without an answer.
    NotAnswered.WRONG: """(
        select distinct on (student_id, item_id)
            student_id,
            item_id,
            topic_id,
            exam_id,
            org_id,
            answered_at,
            coalesce(is_correct, false) as is_correct
        from analytics.fct_attempts
        where is_correct is not null or not is_answered
        order by student_id, item_id, answered_at, session_id, position
    )""",
}


@dataclass(frozen=True)
class Bank:
    """The whole item bank, or the part of one topic, exam or organisation.

    Attributes:
        responses: SQL of what a calibration reads.
    """

    name: str
    column: str | None = None
    value: str | None = None
    responses: str = _RESPONSES[NotAnswered.MISSING]

    @staticmethod
    def parse(text: str, not_answered: NotAnswered = NotAnswered.MISSING) -> Bank:
        """Read `all`, `topic:X`, `exam:X` or `org:X`.

        Raises:
            InvalidInputError: anything else.
        """
        if text == "all":
            return Bank(text, responses=_RESPONSES[not_answered])
        kind, _, value = text.partition(":")
        if kind not in _BANKS or not value:
            raise InvalidInputError("no such bank", text, "use all, topic:ID, exam:ID or org:ID")
        return Bank(text, _BANKS[kind], value, _RESPONSES[not_answered])

    def without_erased(self, connection: Connection) -> Bank:
        """The same bank without students who were erased and are still in the marts."""
        if not are_erased_in_marts(connection):
            return self
        return replace(self, responses=WITHOUT_ERASED.format(responses=self.responses))

    @property
    def condition(self) -> str:
        """SQL that admits this bank's rows, with the parameter :bank."""
        return "" if self.column is None else f"and {self.column} = %(bank)s"


@dataclass(frozen=True)
class BankItems:
    """Items of a bank in the order of their ids' bytes.

    Attributes:
        answered: those with first graded responses in the look-back.
        others: the rest, unanswered questions included.
    """

    answered: list[str]
    others: list[str]


def read_bank_items(
    connection: Connection, bank: Bank, start: datetime, end: datetime
) -> BankItems:
    """Read the items of a bank, by whether anybody answered them in [start, end)."""
    with driver(connection).cursor() as cursor:
        cursor.execute(
            f"""
            select
                item_id,
                bool_or(answered_at >= %(start)s and answered_at < %(end)s)
            from {bank.responses} as responses
            where true {bank.condition}
            group by item_id
            """,  # noqa: S608 - constants
            {"bank": bank.value, "start": start, "end": end},
        )
        items: dict[str, bool] = dict(cursor.fetchall())
        if bank.column in {None, "topic_id"}:
            cursor.execute(
                "select item_id from analytics.dim_items"  # noqa: S608 - constants
                f" where true {bank.condition}",
                {"bank": bank.value},
            )
            items = dict.fromkeys((row[0] for row in cursor), False) | items
    return BankItems(
        sorted(item for item, is_answered in items.items() if is_answered),
        sorted(item for item, is_answered in items.items() if not is_answered),
    )


def read_responses(
    connection: Connection, bank: Bank, start: datetime, end: datetime, item_ids: list[str]
) -> ResponseMatrix:
    """First graded responses with start <= answered_at < end, in canonical order.

    The server sends one array of codes per student: ten million single rows would take
    longer to fetch than to calibrate.

    Args:
        item_ids: items that have such responses, in the order of their bytes.

    Raises:
        InsufficientDataError: there are none.
    """
    if not item_ids:
        raise InsufficientDataError(
            "there are no graded responses in the look-back",
            f"bank {bank.name}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
            "load results and run dbt build first, or set a longer --lookback-days",
        )
    students: list[str] = []
    packed: list[bytes] = []
    with driver(connection).cursor(name="calibration_responses", binary=True) as cursor:
        cursor.itersize = _FETCH_ROWS
        cursor.execute(
            f"""
            select
                responses.student_id,
                array_send(array_agg(
                    (2 * (items.code - 1) + cast(responses.is_correct as integer))::integer
                ))
            from {bank.responses} as responses
            inner join {numbered("items", "item_id")} as items
                on responses.item_id = items.item_id
            where
                responses.answered_at >= %(start)s
                and responses.answered_at < %(end)s
                {bank.condition}
            group by responses.student_id
            """,  # noqa: S608 - constants
            {"bank": bank.value, "start": start, "end": end, "items": item_ids},
        )
        for student, codes in cursor:
            students.append(student)
            packed.append(bytes(codes))
    return _to_matrix(students, packed, item_ids)


def _to_matrix(students: list[str], packed: list[bytes], item_ids: list[str]) -> ResponseMatrix:
    order = sorted(range(len(students)), key=students.__getitem__)
    sizes, codes = unpack_int4([packed[k] for k in order])
    # One sort of (student, item, grade) in one integer each.
    keys = np.repeat(np.arange(len(students), dtype=np.int64) << 32, sizes) | codes
    keys.sort()
    codes = keys.astype(np.int32)
    return ResponseMatrix(
        np.array([students[k] for k in order], dtype=object),
        np.array(item_ids, dtype=object),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        codes >> 1,
        (codes & 1).astype(np.int8),
    )


def read_anchors(connection: Connection) -> dict[str, ItemParameters | None]:
    """Questions tagged as anchors; None where their parameters are missing or incomplete."""
    rows = connection.execute(
        sa.text(
            """
            select item_id, anchor_a, anchor_b, anchor_c
            from analytics.dim_items
            where is_anchor
            """
        )
    )
    return {
        row.item_id: None
        if row.anchor_a is None or row.anchor_b is None
        else ItemParameters(float(row.anchor_a), float(row.anchor_b), float(row.anchor_c or 0.0))
        for row in rows
    }


def last_built_day(connection: Connection) -> date | None:
    """The day the marts were last built for, else the last one with a response."""
    day: date | None = connection.execute(
        sa.text(
            """
            select coalesce(
                (select max(as_of_date) from ops.model_builds),
                (select max(attempt_date) from analytics.fct_item_responses)
            )
            """
        )
    ).scalar_one()
    return day


def require_marts(connection: Connection) -> None:
    """Raise InsufficientDataError unless dbt has built what is read here."""
    missing: str | None = connection.execute(
        sa.text(
            """
            select string_agg(name, ', ')
            from unnest(cast(:names as text[])) as name
            where to_regclass('analytics.' || name) is null
            """
        ),
        {"names": ["fct_item_responses", "fct_sessions", "dim_items"]},
    ).scalar_one()
    if missing is not None:
        raise InsufficientDataError(
            "the warehouse has not been built", f"analytics lacks {missing}", "run dbt build"
        )
