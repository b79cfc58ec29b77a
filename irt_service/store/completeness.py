"""Proves that no session lacks an ability that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.days import AFTER_ALL, BEFORE_ALL, to_datetime
from irt_service.in_force import Demand
from irt_service.settings import Settings


class Missing(NamedTuple):
    """A session that has no ability under a run that it needs."""

    student_id: str
    session_id: str
    run_id: str


def read_missing(
    connection: Connection, wanted: Sequence[Demand], settings: Settings
) -> list[Missing]:
    """Ready sessions of the marts that have no ability, though there is something to score.

    Nothing to score is proved, not believed: no first graded response of the look-back is to
    an item with parameters. Left to the online update are results that were delivered again
    after the marts were built, and those parked with their reason. Erased students have none.
    """
    rows = connection.execute(
        sa.text(
            """
            with demands as (
                select *
                from unnest(
                    cast(:run_ids as text[]), cast(:starts as timestamptz[]),
                    cast(:ends as timestamptz[])
                ) as demands (run_id, starts, ends)
            ),

            unscored as (
                select distinct
                    sessions.student_id,
                    sessions.session_id,
                    sessions.last_answered_at,
                    demands.run_id collate "C" as run_id
                from analytics.fct_sessions as sessions
                inner join demands
                    on
                        sessions.last_answered_at >= demands.starts
                        and sessions.last_answered_at < demands.ends
                left join irt.deliveries as deliveries
                    on sessions.session_id = deliveries.session_id
                where
                    sessions.is_result_ready
                    and sessions.student_id not in (
                        select erased.student_id from ops.erased_students as erased
                    )
                    and (
                        deliveries.session_id is null
                        or (
                            deliveries.result_version = sessions.result_version
                            and deliveries.status <> 'parked'
                        )
                    )
                    and not exists (
                        select 1
                        from irt.effective_ability as ability
                        where
                            ability.user_id = sessions.student_id
                            and ability.session_id = sessions.session_id
                            and ability.run_id = demands.run_id collate "C"
                    )
            )

            select unscored.student_id, unscored.session_id, unscored.run_id
            from unscored
            where exists (
                select 1
                from analytics.fct_item_responses as responses
                inner join irt.mirt_item_params as params
                    on responses.item_id = params.item_id
                where
                    responses.student_id = unscored.student_id
                    and responses.answered_at <= unscored.last_answered_at
                    and responses.answered_at
                    > unscored.last_answered_at - make_interval(hours => 24 * :lookback)
                    and params.run_id = unscored.run_id
            )
            order by 1, 2, 3
            """
        ),
        {
            "run_ids": [demand.run_id for demand in wanted],
            "starts": [_moment(demand.start) for demand in wanted],
            "ends": [_moment(demand.end) for demand in wanted],
            "lookback": settings.ability_lookback_days,
        },
    )
    return [Missing._make(row) for row in rows]


def _moment(microseconds: int) -> str:
    if microseconds == BEFORE_ALL:
        return "-infinity"
    if microseconds == AFTER_ALL:
        return "infinity"
    return to_datetime(microseconds).isoformat()
