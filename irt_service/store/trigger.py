"""The optional trigger on the exam application's results, and listening to it.

It only makes the online update faster: what it says is looked up and compared like everything
else, and what it does not say is found by comparison. It fires once per statement, and speaks of
single sessions only while these are few: a load of a million rows sends one message.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.store.copying import driver

CHANNEL = "seedtest_results"
_NAMED_AT_MOST = 200  # sessions of one statement that are told by name
_NAME_MAX_BYTES = 1000  # a message holds 8000 bytes
_EVENTS = {"insert": "new", "update": "new", "delete": "old"}

_FUNCTION = f"""
create or replace function irt.tell_of_results() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- One message beyond the limit is enough to know that it is passed.
    if (select count(*) from (select from changed limit {_NAMED_AT_MOST + 1}) as few)
        > {_NAMED_AT_MOST}
    then
        perform pg_notify('{CHANNEL}', '');
    else
        perform pg_notify(
            '{CHANNEL}',
            case
                when octet_length(changed.session_id) <= {_NAME_MAX_BYTES}
                    then changed.session_id
                else ''
            end
        )
        from changed;
    end if;
    return null;
end
$$
"""  # noqa: S608 - constants


def install(connection: Connection) -> None:
    """Create the trigger, or bring it up to date; waits for transactions that write results.

    Needs the right to create triggers on exam.exam_results, which its owner has.
    """
    remove(connection)
    connection.execute(sa.text(_FUNCTION))
    for event, side in _EVENTS.items():
        connection.execute(
            sa.text(
                f"""
                create trigger seedtest_tell_of_{event}
                after {event} on exam.exam_results
                referencing {side} table as changed
                for each statement execute function irt.tell_of_results()
                """
            )
        )


def remove(connection: Connection) -> None:
    """Drop the trigger; nothing happens when it is not there."""
    for event in _EVENTS:
        connection.execute(
            sa.text(f"drop trigger if exists seedtest_tell_of_{event} on exam.exam_results")
        )
    connection.execute(sa.text("drop function if exists irt.tell_of_results()"))


def listen(connection: Connection) -> None:
    """Hear of results on a connection in autocommit."""
    connection.execute(sa.text(f"listen {CHANNEL}"))


def hear(connection: Connection, seconds: float) -> list[str]:
    """What was told meanwhile, waiting for it at most so long; an empty text means many."""
    raw = driver(connection)
    told = [one.payload for one in raw.notifies(timeout=seconds, stop_after=1)]
    if told:
        told += [one.payload for one in raw.notifies(timeout=0)]
    return told
