"""From fct_item_responses to a published run with the abilities of every student.

    python -m benchmarks.publish [--students 100000] [--answers 100] [--folder DIR] [--repeat 1]

Starts a PostgreSQL of its own (fsync on) and makes marts in SQL in the shapes that the service
reads: every student answers each of `--answers` items once, in sessions of 20 questions over
170 days, 2PL, 2,000 items. Then calibrates and publishes in a process of its own, with the
abilities that a publication needs: of every session, overall and per topic. `--folder` keeps the
server for another call.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

from irt_service import calibrate as calibrating
from irt_service import publish as publishing
from irt_service import replay as replaying
from irt_service.engines.base import CalibrationSettings
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store import completeness, marts
from warehouse.database import create_engine
from warehouse.schema import migrate
from warehouse.server import LocalServer

ROOT = Path(__file__).resolve().parent.parent
ITEMS = 2000
TOPICS = 20
QUESTIONS = 20
MEBI = 1 << 20
TARGET = "60 s, 2 GB"

_MARTS = """
create table analytics.fct_sessions as
select
    ('s_' || session) collate "C" as session_id,
    ('student_' || session / %(per_student)s) collate "C" as student_id,
    true as is_result_ready,
    timestamptz '2026-06-01 09:00Z' + interval '1 minute' * (
        244800.0 * (session %% %(per_student)s) / %(per_student)s
        + (hashint8(session) & 8191)
    ) as last_answered_at,
    null::text as result_version,
    null::timestamptz as result_updated_at,
    session as revision
from generate_series(0, %(sessions)s::bigint - 1) as session;

insert into exam.exam_results (session_id, user_id, status, created_at, updated_at)
select session_id, student_id, 'ready', last_answered_at, last_answered_at
from analytics.fct_sessions order by revision;
update analytics.fct_sessions as sessions
set result_version = results.xmin::text, result_updated_at = results.updated_at
from exam.exam_results as results
where sessions.session_id = results.session_id;
create unique index on analytics.fct_sessions (session_id);
create index on analytics.fct_sessions (student_id);

create table analytics.fct_attempts as
select
    sessions.session_id,
    question as position,
    sessions.student_id,
    null::text as org_id,
    null::text as exam_id,
    ('q_' || answer.item) collate "C" as item_id,
    ('topic_' || answer.item %% %(topics)s) collate "C" as topic_id,
    1 / (1 + exp(-(0.6 + answer.item %% 17 * 0.08) * (
        2.2 * ((hashint8(answer.student * 7 + 3) & 65535) / 65536.0
        + (hashint8(answer.student * 7 + 4) & 65535) / 65536.0
        + (hashint8(answer.student * 7 + 5) & 65535) / 65536.0 - 1.5)
        - (answer.item * 37 %% %(items)s * 4.0 / %(items)s - 2)
    ))) > (hashint8(answer.student * 100003 + answer.item) & 65535) / 65536.0 as is_correct,
    sessions.last_answered_at - interval '1 minute' * (%(questions)s - question) as answered_at,
    (sessions.last_answered_at at time zone 'Asia/Seoul')::date as attempt_date,
    true as is_first_graded
from analytics.fct_sessions as sessions
cross join generate_series(1, %(questions)s) as question
cross join lateral (
    select
        sessions.revision / %(per_student)s as student,
        -- One item of each of as many equal groups as there are answers.
        (
            sessions.revision %% %(per_student)s * %(questions)s + question - 1
        ) * %(group)s + (hashint8(sessions.revision * 64 + question) & 1048575) %% %(group)s
            as item
) as answer;
create unique index on analytics.fct_attempts (session_id, position);
create index on analytics.fct_attempts (student_id, item_id);
create index on analytics.fct_attempts (student_id, attempt_date);
create index on analytics.fct_attempts (attempt_date);
create view analytics.fct_item_responses as
select * from analytics.fct_attempts where is_first_graded;
create table analytics.dim_items as
select
    'q_' || item as item_id, 'topic_' || item %% %(topics)s as topic_id, false as is_anchor,
    null::float8 as anchor_a, null::float8 as anchor_b, null::float8 as anchor_c
from generate_series(0, %(items)s - 1) as item;
insert into ops.model_builds (model, as_of_date, settings)
select 'fct_attempts', max(attempt_date), '{"reporting_timezone": "Asia/Seoul"}'
from analytics.fct_attempts
"""


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def build(server: LocalServer, students: int, answers: int) -> None:
    """Make the marts, unless they are there."""
    engine = create_engine(server.url)
    migrate(engine, with_exam=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.exec_driver_sql("select to_regclass('analytics.dim_items')").scalar_one():
            return
        say(f"making {students * answers:,} responses ...")
        values = {
            "per_student": answers // QUESTIONS, "sessions": students * answers // QUESTIONS,
            "topics": TOPICS, "items": ITEMS, "questions": QUESTIONS, "group": ITEMS // answers,
        }  # fmt: skip
        for statement in _MARTS.split(";"):
            connection.exec_driver_sql(statement, values)
        connection.exec_driver_sql("vacuum analyze")
        connection.exec_driver_sql("checkpoint")


def forget(server: LocalServer) -> None:
    """Leave the marts, drop runs and abilities."""
    engine = create_engine(server.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            "truncate irt.mirt_fit_meta, irt.deliveries, irt.mirt_topic_ability cascade"
        )
        connection.exec_driver_sql("checkpoint")


def run_once(url: str) -> dict[str, float]:
    """Calibrate and publish; seconds of each stage, peak memory of this process."""
    stages: dict[str, float] = {}

    def timed(module: Any, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                stages[stage] = stages.get(stage, 0.0) + time.perf_counter() - begun

        setattr(module, name, call)

    timed(calibrating, "read_input", "read responses")
    timed(calibrating, "estimate", "fit")
    timed(publishing, "replay", "replay")
    timed(completeness, "read_missing", "completeness")
    timed(marts, "read_histories", "  of it read")
    timed(replaying, "_write_block", "  of it write")
    timed(Scorer, "score", "  of it score")
    engine, settings = create_engine(url), Settings()
    request = calibrating.Request(CalibrationSettings(), has_diagnostics=False)
    begun = time.perf_counter()
    result = calibrating.calibrate(engine, request, settings)
    if not result.is_accepted:
        raise SystemExit(f"the run was rejected: {result.reasons}")
    stages["calibrate, in all"] = time.perf_counter() - begun
    outcome = publishing.publish(engine, Scorer(settings), result.run.run_id)
    stages["in all"] = time.perf_counter() - begun
    stages["sessions"] = outcome.tally.sessions
    stages["abilities"] = outcome.tally.abilities
    stages["topic abilities"] = outcome.tally.topic_abilities
    stages["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBI
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / MEBI
    stages["peak MB of a child"] = children
    return stages


def server_memory(data: Path) -> float:
    """Memory of the server's processes in MB, shared pages counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() != data:
                continue
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue  # it has ended meanwhile
    return total / MEBI


def in_own_process(server: LocalServer) -> dict[str, float]:
    """Run once, watching the server's memory meanwhile."""
    peak, is_over = [0.0], Event()

    def watch() -> None:
        while not is_over.wait(0.5):
            peak[0] = max(peak[0], server_memory(server.data.resolve()))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        url = server.url.render_as_string()
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-m", "benchmarks.publish", "--one", url],
            cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
    finally:
        is_over.set()
        watcher.join()
    stages: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**stages, "peak MB of the server": peak[0]}


def main() -> None:
    """Measure and print the stages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only-build", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        say(json.dumps(run_once(options.one)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-publish-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        server = LocalServer(folder / "server")
        server.start()
        try:
            build(server, options.students, options.answers)
            if options.only_build:
                return
            say(
                f"{platform.machine()}, {os.cpu_count()} cores; {options.students:,} students x "
                f"{options.answers} answers, {ITEMS:,} items, sessions of {QUESTIONS}"
            )
            for _ in range(options.repeat):
                forget(server)
                for name, value in in_own_process(server).items():
                    say(f"{name:<24} {value:12,.1f}")
                say(f"target: {TARGET}")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
