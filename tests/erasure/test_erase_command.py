"""`python -m warehouse erase`: what it says, how it is resumed, and what it does to a bucket."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from report_runner.erasure import delete_cohorts, delete_students
from report_runner.places import Place
from report_runner.s3 import S3Store
from report_runner.store import report_key
from tests.conftest import ROOT, Database
from tests.erasure.traces import files_with, tables_with
from tests.report_runner.seaweed import BUCKET, Seaweed
from warehouse.cli import main
from warehouse.erasure.removal import redacted

GONE, STAYS = "st-00012", "st-000123"
# Marts as dbt would make them, as far as an erasure looks at them.
MARTS = """
create table analytics.fct_attempts (session_id text, student_id text);
create table analytics.fct_rejected_questions (session_id text, student_id text, raw_element jsonb);
create table analytics.goal_history (student_id text, goal_key text);
create table analytics.int_item_days__summarized (item_id text);
create table analytics.dim_students (student_id text, classroom_id text, org_id text);
create table analytics.fct_sessions (
    session_id text, student_id text, classroom_id text, org_id text
);
create table analytics_state.fct_attempts (
    input text, input_key text, version text, student_id text, from_date date
);
create table analytics_state.int_item_days__summarized (
    input text, input_key text, version text, student_id text, from_date date
);
create table analytics_state.fct_attempts__revisions (key text, revision bigint);
create table analytics_state.fct_attempts__replaced (session_id text, student_id text);
create table analytics_state.fct_attempts__superseded (revision bigint, session_id text)
"""
ROWS = """
insert into analytics.fct_attempts values (%(session)s, %(id)s);
insert into analytics.fct_rejected_questions values
    (%(session)s, null, jsonb_build_object('user', %(id)s));
insert into analytics.goal_history values (%(id)s, 'overall');
insert into analytics.dim_students values (%(id)s, 'class-' || %(id)s, 'north');
insert into analytics_state.fct_attempts values
    ('int_inputs__deliveries', %(session)s, '1', %(id)s, null);
insert into analytics_state.int_item_days__summarized values
    ('int_inputs__attempts', %(session)s, '1', null, null);
insert into analytics_state.fct_attempts__revisions values (%(session)s, 7);
insert into analytics_state.fct_attempts__replaced values (%(session)s, %(id)s);
insert into analytics_state.fct_attempts__superseded values (7, %(session)s);
insert into irt.mirt_fit_meta (run_id, model, engine, status)
    values ('r', '2PL', 'native', 'accepted') on conflict do nothing;
insert into irt.mirt_ability
    (user_id, theta, se, model, run_id, session_id, effective_at, n_responses)
    values (%(id)s, 0, 1, '2PL', 'r', %(session)s, now(), 5);
insert into irt.mirt_ability_retraction (user_id, run_id, session_id, reason)
    values (%(id)s, 'r', %(session)s, 'moved');
insert into irt.deliveries (session_id, result_version, user_id, status)
    values (%(session)s, '1', %(id)s, 'scored');
insert into irt.requested_runs (run_id, status, result) values (md5(%(session)s),
    'succeeded', jsonb_build_object('abilities', jsonb_build_array(
        jsonb_build_object('user_id', %(id)s), jsonb_build_object('theta', 1))));
insert into reports.report_artifacts (student_id, week_start, format, object_key, size_bytes,
    sha256, content_hash, template_version, language)
    values (%(id)s, '2026-05-04', 'html', 'k', 1, '', '', '', 'ko');
insert into ops.pipeline_runs (step, status, details, error) values ('x', 'failed',
    jsonb_build_object('command', array['--student', %(id)s]), 'of ''' || %(id)s || '''')
"""


def _execute(database: Database, statements: str, **parameters: object) -> None:
    # Parameters become literals, whose types the server makes out by itself.
    with psycopg.connect(database.url, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in statements.split(";\n"):
            connection.execute(statement.encode(), parameters or None)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Erase(Protocol):
    """Runs `python -m warehouse erase` in this process: another would mostly import."""

    def __call__(self, database: Database, folder: Path, *arguments: str, given: str = "") -> Done:
        """Run it on a database and a folder of reports, with this on its standard input."""


@pytest.fixture
def erase(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Erase:
    """The command."""

    def run(database: Database, folder: Path, *arguments: str, given: str = "") -> Done:
        monkeypatch.setenv("DATABASE_URL", database.url)
        monkeypatch.setenv("REPORTS_DIR", str(folder))
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        capsys.readouterr()
        code = main(["erase", *arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def school(database: Database, tmp_path: Path) -> Database:
    """Two students whose ids begin alike, in every kind of table, with reports."""
    _execute(database, MARTS)
    for student, session in ((GONE, "session-1"), (STAYS, "session-2")):
        _execute(database, ROWS, id=student, session=session)
        for key in (
            f"reports/{student}/2026-05-04/report.html",
            f"reports/{student}/2026-05-04/.report.pdf.unfinished",
            f"cohorts/classroom/class-{student}/2026-05-04/report.html",
        ):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_text(f"a page on {student}")
    return database


def _rows(database: Database) -> list[str]:
    return [found for found in tables_with(database.url, STAYS) if found.endswith("rows")]


def test_one_student_goes_and_the_other_stays_whole(
    erase: Erase, school: Database, tmp_path: Path
) -> None:
    before = _rows(school)
    done = erase(school, tmp_path, GONE, "--reason", "asked for by the parents")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 students erased: 16 rows, 2 reports, 1 cohort reports")
    assert tables_with(school.url, GONE) == []
    assert tables_with(school.url, "session-1") == []
    assert files_with(tmp_path, GONE) == []
    assert _rows(school) == before
    assert len(files_with(tmp_path, STAYS)) == 3
    with psycopg.connect(school.url) as connection:
        consumed = connection.execute(
            "select input_key like 'erased %', version"
            " from analytics_state.int_item_days__summarized order by 1"
        ).fetchall()
        ledger = connection.execute(
            "select status, details ->> 'students', details ->> 'objects'"
            " from ops.pipeline_runs where step = 'erase'"
        ).fetchall()
    # It is still known that somebody was added up, and no longer who.
    assert consumed == [(False, "1"), (True, "")]
    assert ledger == [("succeeded", "1", "2")]


def test_erasing_again_changes_nothing_and_the_list_says_who(
    erase: Erase, school: Database, tmp_path: Path
) -> None:
    assert erase(school, tmp_path, "--from", "-", given=f"{GONE}\n").returncode == 0
    # As a secret is mounted: a folder of files, and others that are not meant.
    request = tmp_path / "request"
    request.mkdir()
    assert erase(school, tmp_path, "--from", str(request)).stdout == "nobody to erase\n"
    (request / "students").write_text(f"{GONE}\n")
    (request / "..data").mkdir()
    again = erase(school, tmp_path, "--from", str(request))
    assert again.stdout.startswith("1 students erased: 0 rows, 0 reports, 0 cohort reports")
    listed = erase(school, tmp_path, "--list")
    assert (listed.returncode, listed.stdout.split("\t")[:2]) == (0, [GONE, "erased"])
    assert erase(school, tmp_path).stdout == "nobody to erase\n"
    restored = erase(school, tmp_path, "--restore", GONE)
    assert restored.stdout.startswith("1 taken off the list")
    assert erase(school, tmp_path, "--list").stdout == ""


def test_a_killed_erasure_is_finished_by_the_next_one(
    erase: Erase, school: Database, tmp_path: Path
) -> None:
    # It gets as far as the marts, which somebody builds.
    with psycopg.connect(school.url) as builder:
        builder.execute("lock table analytics_state.fct_attempts in share row exclusive mode")
        killed = subprocess.Popen(
            [sys.executable, "-m", "warehouse", "erase", GONE],
            cwd=ROOT,
            env={**school.env, "REPORTS_DIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
        )
        with psycopg.connect(school.url, autocommit=True) as watcher:
            while not watcher.execute(
                "select from pg_stat_activity where datname = current_database()"
                " and application_name = 'seedtest-erase' and wait_event_type = 'Lock'"
            ).fetchall():
                time.sleep(0.02)
        killed.kill()
        killed.wait()
    assert "analytics.fct_attempts: 1 rows" in tables_with(school.url, GONE)
    listed = erase(school, tmp_path, "--list")
    assert (listed.returncode, listed.stdout.split("\t")[1]) == (1, "unfinished")
    assert erase(school, tmp_path).returncode == 0
    assert tables_with(school.url, GONE) == []
    assert files_with(tmp_path, GONE) == []


def test_a_place_that_refuses_fails_the_command_and_keeps_the_student_out(
    erase: Erase, school: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "S3_BUCKET": "nowhere",
        "S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    done = erase(school, tmp_path, GONE)
    assert done.returncode == 1
    assert "run `python -m warehouse erase` again" in done.stderr
    assert GONE not in done.stderr
    with psycopg.connect(school.url) as connection:
        told = connection.execute(
            "select error from ops.pipeline_runs where step = 'erase'"
        ).fetchall()
    assert "EndpointConnectionError" in told[0][0]
    assert GONE not in told[0][0]
    assert tables_with(school.url, GONE) != []
    assert erase(school, tmp_path, "--list").returncode == 1


@pytest.mark.parametrize("arguments", [("",), ("--restore",), ("--from", "no-such-file")])
def test_wrong_usage_is_refused(
    erase: Erase, database: Database, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert erase(database, tmp_path, *arguments).returncode == 2


def test_ids_are_redacted_where_they_stand_for_themselves() -> None:
    given = {"command": ["--student", "7"], "rows": 7, "failures": {"7": "student '7': 17 of 70"}}
    assert redacted(given, frozenset({"7"})) == {
        "command": ["--student", "[erased]"],
        "rows": 7,
        "failures": {"[erased]": "student '[erased]': 17 of 70"},
    }


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.stop()


def test_a_bucket_keeps_no_version_of_a_report(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweed.env.items():
        monkeypatch.setenv(name, value)
    client = seaweed.client()
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    store = S3Store(
        Place(bucket=BUCKET, prefix="school/", endpoint=seaweed.endpoint, region="us-east-1")
    )
    keys = [report_key(student, date(2026, 5, 4), "html") for student in (GONE, STAYS)]
    for key in (*keys, "cohorts/classroom/a/2026-05-04/report.html"):
        store.put(key, b"first")
        store.put(key, b"second")
    store.delete(keys[0])
    assert delete_students(store, [GONE]) == 1
    assert delete_cohorts(store, [("classroom", "a")]) == 1
    left = client.list_object_versions(Bucket=BUCKET, Prefix="school/")
    entries = (*left.get("Versions", ()), *left.get("DeleteMarkers", ()))
    assert {entry["Key"] for entry in entries} == {f"school/{keys[1]}"}
    assert delete_students(store, [GONE]) == 0
