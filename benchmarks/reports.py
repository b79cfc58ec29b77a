"""How many weekly reports a night holds: HTML, HTML and PDF, and a week without a change.

    DATABASE_URL=… python -m benchmarks.reports [--students 20000] [--runs 3]

DATABASE_URL names a database of its own: the schema `analytics` is made in it, tables of the names
and columns that reports read, filled and indexed as dbt does; some of the product's own are views.
Reads from the database and writes to the store are part of every figure; CPU time is per student,
of the reporting processes and, apart, of the S3 server; the database's is in neither. The server is
a SeaweedFS that has to share the cores here: cores divided by the reporting processes' time is
about what a bucket elsewhere allows. Rows with PDF are of fewer students, so that all takes under
twenty minutes: the rate is the same from some thousands on.
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
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from benchmarks.machine import children_of, cpu_seconds, describe_machine
from tests.report_runner.marts import ARTIFACTS, RUN, SUNDAY, WEEK, create_marts
from tests.report_runner.seaweed import Seaweed
from warehouse.database import create_engine
from warehouse.schema import migrate


@dataclass(frozen=True)
class Measure:
    """One row of the table: what is made, where to, and the rate that is asked for."""

    name: str
    formats: str
    asked: float
    to_s3: bool = False
    is_unchanged: bool = False


# To S3 a third less will do.
MEASURES = (
    Measure("html", "html", 600),
    Measure("unchanged", "html", 3000, is_unchanged=True),
    Measure("html+pdf", "html,pdf", 60),
    Measure("html-s3", "html", 0.65 * 600, to_s3=True),
    Measure("unchanged-s3", "html", 0.65 * 3000, to_s3=True, is_unchanged=True),
    Measure("html+pdf-s3", "html,pdf", 0.65 * 60, to_s3=True),
)
_MEBIBYTE_IN_KIBIBYTES = 1024
_WARM_UP = 300
_LOOK_SECONDS = 0.25

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
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=20_000)
    parser.add_argument("--pdf-students", type=int, default=4_000, help="of rows with PDF")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(names), metavar=",".join(names))
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(names):
        parser.error(f"no measure {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if "DATABASE_URL" not in os.environ:
        parser.error("set DATABASE_URL to a database of its own")
    engine = create_engine()
    migrate(engine)
    _prepare(engine, arguments.students)
    sys.stdout.write(f"{describe_machine()}\nmedians of {arguments.runs} runs after a warm-up\n")
    sys.stdout.write(
        f"{'':12}{'students':>10}{'asked/s':>9}{'found/s':>9}{'CPU ms':>9}{'S3 CPU ms':>11}"
        f"{'MB/process':>12}\n"
    )
    with tempfile.TemporaryDirectory(prefix="reports-bench-") as folder:
        for measure in MEASURES:
            if measure.name in chosen:
                _measure(engine, measure, arguments, Path(folder))
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


def _measure(
    engine: sa.Engine, measure: Measure, arguments: argparse.Namespace, parent: Path
) -> None:
    folder = Path(tempfile.mkdtemp(dir=parent))
    server = Seaweed(folder) if measure.to_s3 else None
    students = arguments.students
    if "pdf" in measure.formats:
        students = min(students, arguments.pdf_students)
    chosen = None if students == arguments.students else students
    try:
        if server is not None:
            # Room for what all runs together write.
            server.start("-volume.max=400")
        _forget(engine)
        _run(measure.formats, folder, server, None if measure.is_unchanged else _WARM_UP, "warm-up")
        rates, cpus, server_cpus, peaks = [], [], [], []
        for number in range(arguments.runs):
            if not measure.is_unchanged:
                _forget(engine)
                shutil.rmtree(folder / "reports", ignore_errors=True)
            # Unchanged is what lies where the warm-up wrote it.
            prefix = "warm-up" if measure.is_unchanged else f"run-{number}"
            before = _server_seconds(server)
            seconds, cpu, peak = _run(measure.formats, folder, server, chosen, prefix)
            server_cpus.append(1000 * (_server_seconds(server) - before) / students)
            rates.append(students / seconds)
            cpus.append(1000 * cpu / students)
            peaks.append(peak)
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)
    sys.stdout.write(
        f"{measure.name:12}{students:10,}{measure.asked:9,.0f}{statistics.median(rates):9,.0f}"
        f"{statistics.median(cpus):9.2f}{statistics.median(server_cpus):11.2f}{max(peaks):12.0f}\n"
    )
    sys.stdout.flush()


def _server_seconds(server: Seaweed | None) -> float:
    return cpu_seconds(server.process.pid) if server and server.process else 0.0


def _forget(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("truncate reports.report_artifacts"))


def _run(
    formats: str, folder: Path, server: Seaweed | None, students: int | None, prefix: str
) -> tuple[float, float, float]:
    """Write the reports of the first students, or of all; seconds, CPU seconds, MB."""
    command = [sys.executable, "-m", "report_runner", "weekly", "--format", formats]
    environment = dict(os.environ)
    if server is None:
        command += ["--out", str(folder)]
    else:
        # A prefix of its own: nothing that a run before left is there.
        environment |= {**server.env, "S3_PREFIX": prefix}
    for number in range(1, (students or 0) + 1):
        command += ["--student", f"s{number}"]
    peaks: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        try:
            code = process.wait(_LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            peaks.append(_largest(process.pid))
    seconds = time.perf_counter() - began
    if code != 0:
        raise SystemExit(f"the run ended with {code}: {' '.join(command[:6])}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, max(peaks, default=0.0)


def _largest(pid: int) -> float:
    """Return the most memory that a process of the run has taken so far, in MB."""
    found = 0.0
    for process in (pid, *children_of(pid)):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        peak = next((line for line in lines if line.startswith("VmHWM:")), "VmHWM: 0 kB")
        found = max(found, int(peak.split()[1]) / _MEBIBYTE_IN_KIBIBYTES)
    return found


if __name__ == "__main__":
    sys.exit(main())
