"""What `summary` and `as-of` read: the marts, the days covered, the run in force."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Connection, Engine

from warehouse.errors import WarehouseError

DEFAULT_TIME_ZONE = "Asia/Seoul"
COUNTED = (
    "exam.exam_results",
    "analytics.fct_attempts",
    "analytics.fct_rejected_questions",
    "analytics.fct_item_responses",
    "analytics.fct_student_daily_kpis",
    "analytics.fct_student_weekly_kpis",
    "analytics.fct_topic_daily_features",
    "analytics.fct_inactivity_daily",
    "irt.current_item_params",
    "irt.mirt_ability",
    "reports.report_artifacts",
)


def reporting_timezone(root: Path) -> str:
    """Return the project's reporting time zone, as dbt_project.yml sets it."""
    try:
        project = yaml.safe_load((root / "dbt_project.yml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return DEFAULT_TIME_ZONE
    except (OSError, yaml.YAMLError) as error:
        raise WarehouseError(f"cannot read {root / 'dbt_project.yml'}: {error}") from error
    return str((project.get("vars") or {}).get("reporting_timezone", DEFAULT_TIME_ZONE))


def last_complete_day(timezone: str, now: datetime | None = None) -> date:
    """Return yesterday, in the reporting time zone."""
    return (now or datetime.now(UTC)).astimezone(ZoneInfo(timezone)).date() - timedelta(days=1)


def as_of_date(engine: Engine, timezone: str, now: datetime | None = None) -> date:
    """Return the day that `make run` builds: the later of the data's last and the last build's.

    The data's last day is at most yesterday, in the reporting time zone; without data it is
    yesterday.
    """
    yesterday = last_complete_day(timezone, now)
    with engine.connect() as connection:
        last: date | None = None
        if _exists(connection, "exam.exam_results"):
            last = connection.execute(
                sa.text(
                    "select (max(created_at) at time zone :timezone)::date from exam.exam_results"
                ),
                {"timezone": timezone},
            ).scalar_one()
        built: date | None = connection.execute(
            sa.text("select max(as_of_date) from ops.model_builds")
        ).scalar_one()
    return max(min(last or yesterday, yesterday), built or date.min)


def row_counts(engine: Engine) -> dict[str, int | None]:
    """Return the rows of the main relations; None where one is not built."""
    with engine.connect() as connection:
        return {
            name: connection.execute(sa.text(f"select count(*) from {name}")).scalar_one()  # noqa: S608 - of COUNTED
            if _exists(connection, name)
            else None
            for name in COUNTED
        }


@dataclass(frozen=True)
class Calibration:
    """The run in force."""

    run_id: str
    model: str
    log_likelihood: float | None
    n_items: int | None
    n_persons: int | None


def run_in_force(engine: Engine) -> Calibration | None:
    """Return the calibration that counts today, None before the first."""
    statement = sa.text(
        "select meta.run_id, meta.model, meta.log_likelihood, meta.n_items, meta.n_persons "
        "from irt.in_force_run inner join irt.mirt_fit_meta as meta using (run_id)"
    )
    with engine.connect() as connection:
        row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else Calibration(**row)


def report_to_open(engine: Engine) -> str | None:
    """Return the object key of one report of the last week reported on."""
    statement = sa.text(
        "select object_key from reports.report_artifacts "
        "order by week_start desc, format = 'html' desc, size_bytes desc, student_id limit 1"
    )
    with engine.connect() as connection:
        key: str | None = connection.execute(statement).scalar_one_or_none()
    return key


def has_results(engine: Engine) -> bool:
    """Say whether there is any exam result."""
    with engine.connect() as connection:
        if not _exists(connection, "exam.exam_results"):
            return False
        found = connection.execute(sa.text("select exists (select 1 from exam.exam_results)"))
        return bool(found.scalar_one())


def _exists(connection: Connection, name: str) -> bool:
    return bool(
        connection.execute(
            sa.text("select to_regclass(:name) is not null"), {"name": name}
        ).scalar_one()
    )
