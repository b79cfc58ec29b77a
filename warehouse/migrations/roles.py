"""Group roles and their grants: reader of `exam`, one writer per schema, analyst, application.

Roles belong to the whole server, grants to a database. The roles cannot log in; a login is
made a member of what it needs (`grant seedtest_irt_writer to irt_service`). Everything here
may be repeated, and nothing here may break a migration: without the right to create roles
the schemas stand without them, and a warning says which statement was refused.
"""

import logging
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

logger = logging.getLogger(__name__)

EXAM_READER = "seedtest_exam_reader"
IRT_WRITER = "seedtest_irt_writer"
REPORTS_WRITER = "seedtest_reports_writer"
OPS_WRITER = "seedtest_ops_writer"
ANALYTICS_WRITER = "seedtest_analytics_writer"
ANALYST = "seedtest_analyst"
APPLICATION = "seedtest_application"
ROLES = (
    EXAM_READER,
    IRT_WRITER,
    REPORTS_WRITER,
    OPS_WRITER,
    ANALYTICS_WRITER,
    ANALYST,
    APPLICATION,
)

# insufficient_privilege, a role that is not known, a column that an application's table lacks.
_REFUSED = ("42501", "42704", "42703")


@dataclass(frozen=True)
class _Access:
    """What a role may do in a schema; `future` is what it may do with tables made later."""

    role: str
    schema: str
    on_schema: str
    on_tables: str


_READS = "select"
_ACCESS = (
    _Access(IRT_WRITER, "irt", "usage", "select, insert"),
    _Access(REPORTS_WRITER, "reports", "usage", "select, insert, update, delete"),
    _Access(OPS_WRITER, "ops", "usage", "select, insert, update, delete"),
    _Access(ANALYTICS_WRITER, "analytics", "usage, create", "select, insert, update, delete"),
    _Access(ANALYTICS_WRITER, "analytics_state", "usage, create", "select, insert, update, delete"),
    _Access(ANALYTICS_WRITER, "irt", "usage", _READS),
    _Access(ANALYTICS_WRITER, "ops", "usage", _READS),
    _Access(IRT_WRITER, "analytics", "usage", _READS),
    _Access(IRT_WRITER, "ops", "usage", _READS),
    # The service hands out links to reports.
    _Access(IRT_WRITER, "reports", "usage", _READS),
    _Access(REPORTS_WRITER, "analytics", "usage", _READS),
    _Access(REPORTS_WRITER, "irt", "usage", _READS),
    _Access(REPORTS_WRITER, "ops", "usage", _READS),
    _Access(ANALYST, "analytics", "usage", _READS),
    _Access(ANALYST, "irt", "usage", _READS),
    _Access(ANALYST, "reports", "usage", _READS),
    _Access(ANALYST, "ops", "usage", _READS),
    _Access(APPLICATION, "irt", "usage", _READS),
    _Access(APPLICATION, "analytics", "usage", _READS),
)

# Abilities and publications are history: nobody but the owner deletes them, and only what
# has a life of its own (a run's status, a delivery's, a publication's end) is updated.
_SPECIAL = (
    f"grant update on irt.mirt_fit_meta, irt.publishing, irt.deliveries to {IRT_WRITER}",
    f"grant update (revoked_at) on irt.publications to {IRT_WRITER}",
    f"grant usage on all sequences in schema irt to {IRT_WRITER}",
    # Hashes of tokens are for the service alone.
    f"revoke all on irt.api_tokens from {ANALYST}, {APPLICATION}, {ANALYTICS_WRITER}, "
    f"{REPORTS_WRITER}",
    f"grant update (revoked_at) on irt.api_tokens to {IRT_WRITER}",
    # Answers to clients name their students.
    f"revoke all on irt.requested_runs from {ANALYST}, {APPLICATION}, {ANALYTICS_WRITER}, "
    f"{REPORTS_WRITER}",
    f"grant update, delete on irt.requested_runs to {IRT_WRITER}",
    # Every step keeps its row of the ledger.
    f"grant select, insert, update on ops.pipeline_runs "
    f"to {IRT_WRITER}, {REPORTS_WRITER}, {ANALYTICS_WRITER}",
    f"grant select, insert, update, delete on ops.model_builds to {ANALYTICS_WRITER}",
    f"grant select, insert on ops.dbt_results to {ANALYTICS_WRITER}",
    # The suppression list names students: not for analysts.
    f"revoke all on ops.erased_students from {ANALYST}",
    # Which minors answer improbably is for the psychometrician, who acts as the IRT service.
    f"revoke all on irt.person_fit from {ANALYST}, {APPLICATION}, {ANALYTICS_WRITER}, "
    f"{REPORTS_WRITER}",
)

_EXAM = (
    f"grant usage on schema exam to {EXAM_READER}, {ANALYTICS_WRITER}, {IRT_WRITER}, {ANALYST}",
    f"grant select on all tables in schema exam to {EXAM_READER}, {ANALYTICS_WRITER}",
    f"alter default privileges in schema exam grant select on tables "
    f"to {EXAM_READER}, {ANALYTICS_WRITER}",
    # Enough to see which results changed; what they say is read through staging.
    # Analysts count what waits.
    f"grant select (session_id, updated_at, xmin) on exam.exam_results to {IRT_WRITER}, {ANALYST}",
)


def apply(connection: Connection) -> None:
    """Create the roles that are missing and grant them their schemas, as far as allowed."""
    refused = [name for name in ROLES if not _create(connection, name)]
    if refused:
        logger.warning(
            "the roles %s are missing and this user may not create roles; the schemas work "
            "without them. As a user with CREATEROLE run: %s; then `python -m warehouse migrate` "
            "again",
            ", ".join(refused),
            "; ".join(f"create role {name} nologin" for name in refused),
        )
        return
    _join(connection)
    for access in _ACCESS:
        _grant(connection, access)
    for statement in _SPECIAL:
        _try(connection, statement)
    database: str = connection.execute(
        sa.text("select quote_ident(current_database())")
    ).scalar_one()
    _try(
        connection,
        f"alter role {APPLICATION} in database {database} "
        'set search_path = "$user", public, irt, analytics',
    )


def apply_exam(connection: Connection) -> None:
    """Grant the readers of schema `exam` what they need, where it exists and may be granted."""
    exists = connection.execute(sa.text("select to_regclass('exam.exam_results') is not null"))
    if exists.scalar_one() and not _missing(connection):
        for statement in _EXAM:
            _try(connection, statement)


def _missing(connection: Connection) -> set[str]:
    found = connection.execute(
        sa.text("select rolname from pg_catalog.pg_roles where rolname = any(:names)"),
        {"names": list(ROLES)},
    )
    return set(ROLES) - set(found.scalars())


def _create(connection: Connection, name: str) -> bool:
    if name not in _missing(connection):
        return True
    # Another database of this server may be migrated at this moment.
    return _try(
        connection,
        f"do $$ begin create role {name} nologin; "
        "exception when duplicate_object or unique_violation then null; end $$",
        quiet=True,
    )


def _join(connection: Connection) -> None:
    """Make who migrates a member of every role, as far as allowed.

    The owner of our schemas needs that to say who may read what dbt makes as its role, and to
    erase students from it. A superuser needs nothing.
    """
    missing = connection.execute(
        sa.text(
            """
            select rolname
            from pg_catalog.pg_roles
            where
                rolname = any(:names)
                and not pg_has_role(current_user, oid, 'usage')
            """
        ),
        {"names": list(ROLES)},
    )
    for row in missing.all():
        _try(connection, f"grant {row.rolname} to current_user", quiet=True)


def _grant(connection: Connection, access: _Access) -> None:
    schema, role = access.schema, access.role
    _try(connection, f"grant {access.on_schema} on schema {schema} to {role}")
    _try(connection, f"grant {access.on_tables} on all tables in schema {schema} to {role}")
    _try(
        connection,
        f"alter default privileges in schema {schema} grant {access.on_tables} on tables to {role}",
    )
    if schema == "analytics" and role != ANALYTICS_WRITER:
        # What dbt makes while acting as the writer role belongs to that role.
        _try(
            connection,
            f"alter default privileges for role {ANALYTICS_WRITER} in schema {schema} "
            f"grant {access.on_tables} on tables to {role}",
            quiet=True,
        )


def _try(connection: Connection, statement: str, *, quiet: bool = False) -> bool:
    """Run one statement in a savepoint; what cannot be granted is logged, the rest raised."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _REFUSED:
            raise
        if not quiet:
            logger.warning("not granted: %s (%s)", statement, str(error.orig).strip())
        return False
    return True
