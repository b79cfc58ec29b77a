"""How many weekly reports a night holds: HTML, HTML and PDF, and a week without a change.

    DATABASE_URL=… python -m benchmarks.reports [--students 20000] [--runs 3]

DATABASE_URL names a database of its own: the schema `analytics` is made in it. Reads from the
database and writes to the store are part of every figure; CPU time is that of the reporting
processes, the database's is not in it. With S3_BUCKET set the reports go there.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks.machine import describe_machine
from tests.report_runner.marts import ARTIFACTS, RUN, SUNDAY, WEEK, create_marts
from warehouse.database import create_engine
from warehouse.schema import migrate

TARGETS = {"html,pdf": 60.0, "html": 600.0, "unchanged": 3000.0}
_MEBIBYTE_IN_KIBIBYTES = 1024

# Every student has a name of their own, a topic list of their own, and 180 attempts.
_DATA = """
create function pg_temp.name(seed bigint) returns text language sql as
$$ select string_agg(chr(44032 + cast(
    abs(hashint8extended(seed, part)) % 11172 as int)), '') from generate_series(1, 3) as part $$;
create function pg_temp.unit(seed bigint, salt int) returns float8 language sql as
$$ select (abs(hashint8extended(seed, salt)) % 1000000) / 1e6 $$;

insert into analytics.dim_students (student_id, display_name, locale, grade, classroom_name)
select 's' || n, pg_temp.name(n), case when n % 10 = 0 then 'en' else 'ko' end,
    '고' || 1 + n % 3, pg_temp.name(n % 500) || '반'
from generate_series(1, :students) as n;

insert into analytics.fct_student_weekly_kpis (
    student_id, week_start, as_of_date, is_complete, improvement_index, improvement_basis,
    time_efficiency, recovery_rate, engagement, goal_probability, churn_risk, theta,
    standard_error, run_id
)
select 's' || n, cast(:week as date) - 7 * (11 - w), cast(:week as date) - 7 * (11 - w) + 6, true,
    pg_temp.unit(n, w) - 0.4, 'theta', pg_temp.unit(n, w + 20) - 0.3, pg_temp.unit(n, w + 40),
    pg_temp.unit(n, w + 60), pg_temp.unit(n, w + 80), 0.5,
    4 * pg_temp.unit(n, 1) - 2 + w * (pg_temp.unit(n, 2) - 0.4) / 8, 0.2 + pg_temp.unit(n, 3) / 5,
    :run
from generate_series(1, :students) as n cross join generate_series(0, 11) as w;

insert into analytics.fct_student_daily_kpis
select 's' || n, :sunday, null, 0.5, cast(:sunday as date) + 30, 40000 * (1 + pg_temp.unit(n, 4)),
    50000 * (1 + pg_temp.unit(n, 5)), 8
from generate_series(1, :students) as n;

insert into analytics.fct_attempts
select 's' || n, 'i' || (n * 7 + a * 13) % 3000, 'x', cast(:sunday as date) - a % 84,
    pg_temp.unit(n, a) < 0.6
from generate_series(1, :students) as n cross join generate_series(1, 180) as a;

insert into analytics.fct_topic_daily_features
select 's' || n, '단원 ' || pg_temp.name((n + t * 17) % 120), cast(:sunday as date) - d, 6, 6,
    cast(6 * pg_temp.unit(n, t * 10 + d) as int), pg_temp.unit(n, t) - 0.5, 'topic',
    case when d = 0 and t = 1 then 'strong' when d = 0 and t = 2 then 'weak' end
from generate_series(1, :students) as n
cross join generate_series(1, 6) as t cross join unnest(array[0, 5, 12]) as d;

insert into analytics.fct_goal_probability
select 's' || n, case when g = 1 then '단원 ' || pg_temp.name(n % 120) end, :sunday,
    pg_temp.unit(n, g), cast(:sunday as date) + 40, 50 - g, 0.1, 0.2, 'overall',
    pg_temp.unit(n, g + 5), g = 0
from generate_series(1, :students) as n cross join generate_series(0, 1) as g;

insert into analytics.dim_items
select 'i' || n, '단원 ' || pg_temp.name(n % 120), pg_temp.name(n) || '의 값을 구하시오.'
from generate_series(0, 2999) as n;

insert into analytics.dim_item_parameters
select 'i' || n, :run, 0.6 + pg_temp.unit(n, 1), 4 * pg_temp.unit(n, 2) - 2, 0.0, '[]'
from generate_series(0, 2999) as n
"""


def main() -> int:
    """Make the data, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(("unchanged", "html", "html+pdf")))
    arguments = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        parser.error("set DATABASE_URL to a database of its own")
    engine = create_engine()
    migrate(engine)
    _prepare(engine, arguments.students)
    sys.stdout.write(f"{describe_machine()}\n{arguments.students:,} students\n")
    sys.stdout.write(f"{'':12}{'students/s':>12}{'target':>8}{'CPU ms':>9}{'MB':>6}\n")
    with tempfile.TemporaryDirectory(prefix="reports-bench-") as folder:
        for name in arguments.only.split(","):
            _measure(engine, name.replace("+", ","), arguments, Path(folder))
    return 0


def _prepare(engine: sa.Engine, students: int) -> None:
    with engine.connect() as connection:
        table = sa.inspect(connection).has_table("dim_students", schema="analytics")
        made = (
            connection.execute(sa.text("select count(*) from analytics.dim_students")).scalar_one()
            if table
            else 0
        )
    if made == students:
        return
    with engine.begin() as connection:
        connection.execute(sa.text(ARTIFACTS))
        create_marts(connection)
        values = {"students": students, "week": WEEK, "sunday": SUNDAY, "run": RUN}
        for statement in _DATA.split(";\n"):
            text = sa.text(statement)
            connection.execute(text, {name: values[name] for name in text._bindparams})
        # As dbt makes them.
        for index in (
            "fct_attempts (student_id, attempt_date)",
            "fct_topic_daily_features (student_id, feature_date)",
        ):
            connection.execute(sa.text(f"create index on analytics.{index}"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze"))


def _measure(engine: sa.Engine, name: str, arguments: argparse.Namespace, folder: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=folder))
    formats = "html" if name == "unchanged" else name
    if name == "unchanged":
        _run(formats, folder)
    rates, cpus, peaks = [], [], []
    for _ in range(arguments.runs):
        if name != "unchanged":
            with engine.begin() as connection:
                connection.execute(sa.text("truncate reports.report_artifacts"))
            shutil.rmtree(folder)
        seconds, cpu, peak = _run(formats, folder)
        rates.append(arguments.students / seconds)
        cpus.append(1000 * cpu / arguments.students)
        peaks.append(peak)
    sys.stdout.write(
        f"{name:12}{statistics.median(rates):12,.0f}{TARGETS[name]:8,.0f}"
        f"{statistics.median(cpus):9.2f}{max(peaks):6.0f}\n"
    )
    sys.stdout.flush()


def _run(formats: str, folder: Path) -> tuple[float, float, float]:
    command = [sys.executable, "-m", "report_runner", "weekly", "--format", formats]
    if "S3_BUCKET" not in os.environ:
        command += ["--out", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The largest process of all that have ended, the workers among them.
    return seconds, cpu, after.ru_maxrss / _MEBIBYTE_IN_KIBIBYTES


if __name__ == "__main__":
    sys.exit(main())
