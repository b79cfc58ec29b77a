"""What the HTTP service shows: the state of a session, abilities, runs, reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from irt_service.store.trigger import CHANNEL

_RUN_COLUMNS = """
    run.run_id, run.bank, run.model, run.engine, run.engine_version, run.status, run.reasons,
    run.n_persons, run.n_items, run.n_responses, run.log_likelihood, run.is_converged,
    run.iterations, run.prior_mean, run.prior_sd, run.window_start, run.window_end,
    run.started_at, run.fitted_at, run.duration_seconds,
    (
        select max(publication.in_force_from)
        from irt.publications as publication
        where publication.run_id = run.run_id and publication.revoked_at is null
    ) as in_force_from,
    coalesce(run.run_id = (select in_force.run_id from irt.in_force_run as in_force), false)
        as is_in_force,
    exists (
        select 1
        from irt.publishing
        where publishing.run_id = run.run_id and publishing.ended_at is null
    ) as is_being_published
"""


def read_session(connection: Connection, session_id: str) -> Row[Any] | None:
    """Whether a session's result, as it is now, was dealt with; None when there is no result.

    `status` is null while the delivery is waiting.
    """
    return connection.execute(
        sa.text(
            """
            select
                deliveries.user_id,
                deliveries.reason,
                deliveries.tries,
                case
                    when
                        deliveries.result_version = cast(results.xmin as text)
                        and deliveries.result_updated_at is not distinct from results.updated_at
                        then deliveries.status
                end as status
            from exam.exam_results as results
            left join irt.deliveries as deliveries
                on results.session_id = deliveries.session_id collate "default"
            where results.session_id = :session_id
            """
        ),
        {"session_id": session_id},
    ).one_or_none()


def read_session_ability(
    connection: Connection, session_id: str, student_id: str
) -> Row[Any] | None:
    """The ability after a session: under the run in force, else under the latest that scored it."""
    return connection.execute(
        sa.text(
            """
            select ability.*
            from irt.effective_ability as ability
            where ability.user_id = :student_id and ability.session_id = :session_id
            order by
                (
                    ability.run_id = (select in_force.run_id from irt.in_force_run as in_force)
                ) desc nulls last,
                ability.fitted_at desc,
                ability.id desc
            limit 1
            """
        ),
        {"session_id": session_id, "student_id": student_id},
    ).one_or_none()


def is_session_of(connection: Connection, session_id: str, org_id: str) -> bool:
    """Whether a session with a ready result was sat for an organisation."""
    found: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from analytics.stg_exam__session_questions
                where session_id = :session_id and org_id = :org_id
            )
            """
        ),
        {"session_id": session_id, "org_id": org_id},
    ).scalar_one()
    return found


def is_student_of(connection: Connection, student_id: str, org_id: str) -> bool:
    """Whether a student has sat an exam for an organisation."""
    found: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from analytics.stg_exam__session_questions
                where student_id = :student_id and org_id = :org_id
            )
            """
        ),
        {"student_id": student_id, "org_id": org_id},
    ).scalar_one()
    return found


def read_ability(connection: Connection, student_id: str, since: datetime) -> Row[Any] | None:
    """The student's ability under the run in force, unless it is from before `since`."""
    return connection.execute(
        sa.text(
            """
            select *
            from irt.current_ability
            where user_id = :student_id and effective_at >= :since
            """
        ),
        {"student_id": student_id, "since": since},
    ).one_or_none()


def read_topic_abilities(
    connection: Connection, student_id: str, run_id: str, since: datetime
) -> Sequence[Row[Any]]:
    """The student's latest ability in each topic under a run, by topic."""
    return connection.execute(
        sa.text(
            """
            select distinct on (topic_id) topic_id, theta, se, n_responses, effective_at, session_id
            from irt.effective_topic_ability
            where user_id = :student_id and run_id = :run_id and effective_at >= :since
            order by topic_id asc, effective_at desc, id desc
            """
        ),
        {"student_id": student_id, "run_id": run_id, "since": since},
    ).all()


def read_history(
    connection: Connection,
    student_id: str,
    run_id: str | None,
    before: datetime | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """The student's abilities under a run (that in force, unless named), the latest first."""
    return connection.execute(
        sa.text(
            """
            select *
            from irt.effective_ability
            where
                user_id = :student_id
                and run_id
                = coalesce(:run_id, (select in_force.run_id from irt.in_force_run as in_force))
                and (cast(:before as timestamptz) is null or effective_at < :before)
            order by effective_at desc, fitted_at desc, id desc
            limit :limit
            """
        ),
        {"student_id": student_id, "run_id": run_id, "before": before, "limit": limit},
    ).all()


def list_runs(
    connection: Connection,
    bank: str | None,
    status: str | None,
    before: datetime | None,
    limit: int,
    org_id: str | None,
) -> Sequence[Row[Any]]:
    """Runs, the latest first; of another organisation's bank only for who may see all."""
    return connection.execute(
        sa.text(
            f"""
            select {_RUN_COLUMNS}
            from irt.mirt_fit_meta as run
            where
                (cast(:bank as text) is null or run.bank = :bank)
                and (cast(:status as text) is null or run.status = :status)
                and (cast(:before as timestamptz) is null or run.started_at < :before)
                and (
                    cast(:org_id as text) is null
                    or not starts_with(run.bank, 'org:')
                    or run.bank = 'org:' || :org_id
                )
            order by run.started_at desc, run.run_id desc
            limit :limit
            """  # noqa: S608 - constants of this module
        ),
        {"bank": bank, "status": status, "before": before, "limit": limit, "org_id": org_id},
    ).all()


def read_run(connection: Connection, run_id: str) -> Row[Any] | None:
    """A run with what was measured of it."""
    return connection.execute(
        sa.text(
            f"""
            select {_RUN_COLUMNS}, run.model_spec, run.linking, run.metrics, run.versions
            from irt.mirt_fit_meta as run
            where run.run_id = :run_id
            """  # noqa: S608 - constants of this module
        ),
        {"run_id": run_id},
    ).one_or_none()


def read_items(
    connection: Connection, run_id: str, after: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Item parameters of a run in the order of the items' ids."""
    return connection.execute(
        sa.text(
            """
            select
                item_id, discrimination, difficulty, guessing, se_discrimination, se_difficulty,
                se_guessing, n_responses, flags
            from irt.mirt_item_params
            where run_id = :run_id and (cast(:after as text) is null or item_id > :after)
            order by item_id
            limit :limit
            """
        ),
        {"run_id": run_id, "after": after, "limit": limit},
    ).all()


def read_reports(
    connection: Connection, student_id: str, week_start: date, file_format: str | None
) -> Sequence[Row[Any]]:
    """The reports stored of a student's week, by format."""
    return connection.execute(
        sa.text(
            """
            select format, language, object_key, size_bytes, sha256, run_id, created_at
            from reports.report_artifacts
            where
                student_id = :student_id
                and week_start = :week_start
                and (cast(:format as text) is null or format = :format)
            order by format
            """
        ),
        {"student_id": student_id, "week_start": week_start, "format": file_format},
    ).all()


def tell_of(connection: Connection, session_id: str) -> None:
    """Tell the workers that listen of a session, as the trigger on results would."""
    connection.execute(
        sa.text("select pg_notify(:channel, :session_id)"),
        {"channel": CHANNEL, "session_id": session_id},
    )
