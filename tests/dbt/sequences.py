"""Random sequences of arrivals and builds, and what one full refresh makes of the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import psycopg

from tests.conftest import Database, DatabaseFactory
from tests.dbt.arrival_kinds import KINDS, RARE
from tests.dbt.arrivals import Arrivals
from tests.dbt.every_mart import mart_differences, read_marts
from tests.dbt.kpi_scenario import KpiSchool
from tests.dbt_runner import DbtFailedError, DbtRunner

# The school's first day is so long before the first build that arrivals can be 100 days late.
DAYS_BEFORE = 105
STUDENTS = 3
BUILD = ("build", "--exclude-resource-type", "test", "unit_test")
# The jobs of the schedule, and what somebody builds by hand.
SELECTIONS: dict[str, tuple[str, ...]] = {
    "compute-daily-kpis": ("+fct_student_daily_kpis", "+fct_goal_probability"),
    "aggregate-features-daily": ("+fct_topic_daily_features", "+fct_item_statistics"),
    "source:irt+": ("source:irt+",),
    "detect-inactivity": ("+fct_inactivity_daily", "+fct_inactivity_transitions"),
    "attempts": ("fct_attempts",),
    "sessions": ("fct_sessions",),
    "windows": ("int_activity__windowed",),
    "kpis": ("fct_student_daily_kpis",),
    "topics": ("fct_topic_daily_features",),
    "goals": ("goal_history", "int_goals__open", "int_goals__topic_abilities"),
    "item days": ("int_item_days__summarized",),
    "predictions": ("int_predictions__resolved", "fct_prediction_backtest"),
}
BUILD_SHARE = 0.15
ARRIVALS_PER_BUILD = 6
# A view holds no rows, and is there from the start.
TABLES = ("--exclude", "config.materialized:view")
BUILDS = ("build", "build a part", "build an earlier day", "build and be killed")


@dataclass(frozen=True)
class Step:
    """An arrival or a build, with the number that its choices are made with."""

    kind: str
    number: int


def sequence_of(seed: int, length: int) -> list[Step]:
    """The sequence of a seed: arrivals, with a build after every few."""
    rng = random.Random(seed)  # noqa: S311 - a test's arrivals
    steps = []
    for _ in range(length):
        kind = rng.choice(tuple(KINDS))
        if kind in RARE:
            kind = rng.choice(tuple(KINDS))
        if rng.random() < BUILD_SHARE:
            kind = rng.choice(BUILDS)
        steps.append(Step(kind, rng.randrange(1_000_000)))
    return steps


def sequence_of_every_kind(seed: int) -> list[Step]:
    """Every kind of arrival once, in the order of a seed, with a build after every few."""
    rng = random.Random(seed)  # noqa: S311 - a test's arrivals
    kinds = rng.sample(tuple(KINDS), len(KINDS))
    builds = iter(("build a part", "build an earlier day", "build a part"))
    for place in range(ARRIVALS_PER_BUILD, len(kinds), ARRIVALS_PER_BUILD + 1):
        kinds.insert(place, next(builds))
    return [Step(kind, rng.randrange(1_000_000)) for kind in kinds]


@dataclass
class Report:
    """What a sequence was, and how its rows compare with a full refresh."""

    lines: list[str] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The whole story, for somebody who has to find out why."""
        rows = [f"  {name:<28}{count:>8} rows" for name, count in self.row_counts.items()]
        verdict = (
            ["", f"{len(self.differences)} differences from a full refresh:", *self.differences]
            if self.differences
            else ["", "Every row is the one of a full refresh."]
        )
        return "\n".join([*self.lines, "compared:", *rows, *verdict])


class Life:
    """A database that lives through a sequence of steps."""

    def __init__(self, database: Database, run_dbt: DbtRunner, school_seed: int) -> None:
        """Take a warehouse, fill its sources with the school of a seed, and build."""
        self._database = database
        self._run_dbt = run_dbt
        world = KpiSchool.random(school_seed, students=STUDENTS)
        world.write(database.url)
        world.write_abilities(database.url)
        self.today = world.school.first_day + timedelta(days=DAYS_BEFORE)
        self._held: list[tuple[psycopg.Connection, int]] = []
        self._arrived = 0
        self.report = Report([f"a school of seed {school_seed}, built as of {self.today}"])
        self._build()

    def next_day(self) -> None:
        """Let a day pass: the next build is of another one."""
        self.today += timedelta(days=1)

    def take(self, step: Step) -> None:
        """Let one thing arrive, or build."""
        rng = random.Random(step.number)  # noqa: S311 - a test's arrivals
        if step.kind == "build":
            self.today += timedelta(days=rng.choice((0, 0, 1, 1, 2, 7)))
            self._note(step, f"everything as of {self.today}")
            self._build()
        elif step.kind == "build a part":
            name = rng.choice(tuple(SELECTIONS))
            self.today += timedelta(days=rng.choice((0, 0, 1)))
            self._note(step, f"{name} as of {self.today}")
            self._build("--select", *SELECTIONS[name])
        elif step.kind == "build an earlier day":
            day = self.today - timedelta(days=rng.choice((1, 3, 10)))
            self._note(step, f"everything as of {day}, as a backfill")
            self._build(as_of_date=day, backfill=True)
        elif step.kind == "build and be killed":
            seconds = rng.uniform(0.3, 4)
            self._note(step, f"everything as of {self.today}, for {seconds:.1f} seconds")
            self.build_and_be_killed(seconds)
        else:
            self._arrive(step, rng)

    def _arrive(self, step: Step, rng: random.Random) -> None:
        with psycopg.connect(self._database.url) as connection:
            arrivals = Arrivals(connection, rng, self.today, self._held, self._arrived)
            self._note(step, KINDS[step.kind](arrivals))
            self._arrived = arrivals.arrived

    def _note(self, step: Step, what: str) -> None:
        self.report.lines.append(f"{step.kind:<24} {what}")

    def _build(self, *options: str, as_of_date: date | None = None, backfill: bool = False) -> None:
        self._run_dbt(
            *BUILD,
            *options,
            *(() if "--full-refresh" in options else TABLES),
            database=self._database,
            vars={"as_of_date": as_of_date or self.today, "backfill": backfill},
        )
        for connection, builds in self._held:
            if builds <= 1:
                connection.commit()
                connection.close()
        self._held[:] = [(held, builds - 1) for held, builds in self._held if builds > 1]

    def build_and_be_killed(self, seconds: float, *options: str) -> None:
        """Build, while the server ends dbt's connections after some time."""
        killer = threading.Timer(seconds, terminate_dbt, [self._database])
        killer.start()
        try:
            self._build(*options)
        except DbtFailedError:
            self.report.lines.append(f"{'':<24} killed before its end")
        killer.cancel()
        killer.join()

    def finish(self, new_database: DatabaseFactory) -> Report:
        """Build everything a last time, and compare with a full refresh of a copy."""
        for connection, _ in self._held:
            connection.commit()
            connection.close()
        self._held.clear()
        self._build()
        found = read_marts(self._database.url)
        copy = copied(self._database, new_database)
        forget_builds(copy)
        self._run_dbt(*BUILD, "--full-refresh", database=copy, vars={"as_of_date": self.today})
        self.report.lines.append(f"{'build':<24} everything as of {self.today}")
        self.report.row_counts = {name: len(rows) for name, rows in found.items()}
        self.report.differences = mart_differences(found, read_marts(copy.url))
        return self.report


def terminate_dbt(database: Database) -> None:
    """End every process of the server that works for dbt."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'dbt'"
        )


def copied(database: Database, new_database: DatabaseFactory) -> Database:
    """A copy of a database, row versions and all."""
    copy = new_database(empty=True)
    database.engine.dispose()
    copy.engine.dispose()
    administration = copy.url.replace(f"/{copy.name}", "/postgres")
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            (database.name,),
        )
        connection.execute(f'drop database "{copy.name}" with (force)'.encode())
        connection.execute(f'create database "{copy.name}" template "{database.name}"'.encode())
    return copy


def forget_builds(database: Database) -> None:
    """Drop all that dbt built, but the history of goals, which has no other source."""
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "alter table analytics.goal_history set schema ops;"
            " drop schema analytics cascade; drop schema analytics_state cascade;"
            " create schema analytics; alter table ops.goal_history set schema analytics;"
            " delete from ops.model_builds"
        )


def verify(
    steps: Sequence[Step],
    school_seed: int,
    new_warehouse: Callable[[], Database],
    new_database: DatabaseFactory,
    run_dbt: DbtRunner,
) -> Report:
    """Live through a sequence, and compare every row with one full refresh."""
    life = Life(new_warehouse(), run_dbt, school_seed)
    for step in steps:
        life.take(step)
    return life.finish(new_database)
