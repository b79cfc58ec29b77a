"""Which students were erased: they are left out wherever something else may still name them.

Staging leaves them out by itself. These reads are for what goes by the marts, which may hold a
student until the erasure has come to them, and for what was read before it began.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

WITHOUT_ERASED = """(
    select responses.*
    from {responses} as responses
    where responses.student_id not in (
        select erased.student_id from ops.erased_students as erased
    )
)"""


def read_erased(connection: Connection, students: Sequence[str]) -> set[str]:
    """Those of some students who were erased."""
    rows = connection.execute(
        sa.text("select student_id from ops.erased_students where student_id = any(:students)"),
        {"students": list(students)},
    )
    return set(rows.scalars())


def are_erased_in_marts(connection: Connection) -> bool:
    """Whether the marts still hold a student who was erased."""
    found: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from ops.erased_students as erased
                inner join analytics.fct_sessions as sessions
                    on erased.student_id = sessions.student_id
            )
            """
        )
    ).scalar_one()
    return found
