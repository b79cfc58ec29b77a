"""Values reach PostgreSQL as they are."""

from datetime import UTC, datetime

import sqlalchemy as sa

from irt_service.store.copying import array_literal
from tests.conftest import Database


def test_an_array_literal_holds_what_was_put_in(database: Database) -> None:
    texts = ["plain", "", "null", None, 'a "quoted" one', "back\\slash", "{a,b}", " 가 ", "\n"]
    moments = [datetime(2026, 6, 1, 9, 0, 0, 250, tzinfo=UTC), None]
    with database.engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "select cast(:texts as text[]), cast(:numbers as bigint[]),"
                " cast(:moments as timestamptz[]), cast(:nothing as text[])"
            ),
            {
                "texts": array_literal(texts),
                "numbers": array_literal([1, None, -(2**63)]),
                "moments": array_literal(moments),
                "nothing": array_literal([]),
            },
        ).one()
    assert tuple(found) == (texts, [1, None, -(2**63)], moments, [])
