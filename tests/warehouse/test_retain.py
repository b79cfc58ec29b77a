"""`python -m warehouse retain` removes what is old, and nothing that a mart is built from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import ROOT, Database
from warehouse.errors import UsageError
from warehouse.retention import RULES, read_days

ROWS = """
insert into irt.mirt_fit_meta (run_id, model, engine, status, fitted_at) values
    ('old', '2PL', 'native', 'accepted', now() - interval '200 days'),
    ('new', '2PL', 'native', 'accepted', now());
insert into irt.person_fit (run_id, user_id, lz_star, n_responses)
select run_id, 'student', -3, 20 from irt.mirt_fit_meta;
-- Of each session the first scoring is superseded: by a scoring, or by a retraction.
insert into irt.mirt_ability
    (user_id, theta, se, model, run_id, session_id, effective_at, n_responses, fitted_at)
select 'student', 0, 1, '2PL', 'new', session_id, now(), 5, now() - days * interval '1 day'
from (values ('scored twice', 200), ('scored twice', 199), ('retracted', 200), ('late', 10),
    ('late', 9)) as scorings (session_id, days);
insert into irt.mirt_ability_retraction (user_id, run_id, session_id, reason, fitted_at)
values ('student', 'new', 'retracted', 'moved', now() - interval '150 days'),
    ('student', 'new', 'late', 'moved', now());
insert into irt.mirt_topic_ability (ability_id, user_id, topic_id, theta, se, run_id, session_id,
    effective_at, n_responses, fitted_at)
select id, user_id, 'algebra', theta, se, run_id, session_id, effective_at, 5, fitted_at
from irt.mirt_ability;
insert into irt.deliveries (session_id, result_version, status, processed_at) values
    ('deleted', '', 'nothing_to_score', now() - interval '100 days'),
    ('deleted lately', '', 'nothing_to_score', now()),
    ('there', '7', 'scored', now() - interval '900 days');
insert into ops.pipeline_runs (step, status, started_at) values
    ('a', 'succeeded', now() - interval '900 days'),
    ('a', 'succeeded', now() - interval '800 days'),
    ('a', 'failed', now() - interval '700 days'), ('a', 'failed', now() - interval '600 days'),
    ('b', 'succeeded', now() - interval '900 days')
"""
LEFT = {
    "irt.person_fit": 1,
    "irt.mirt_ability": 3,
    "irt.mirt_topic_ability": 3,
    "irt.mirt_ability_retraction": 1,
    "irt.deliveries": 2,
    # The last success and the last run of a, the only run of b, and retain itself.
    "ops.pipeline_runs": 4,
}


def _retain(
    database: Database, folder: Path, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "warehouse", "retain", *arguments],
        cwd=ROOT,
        env={**database.env, "REPORTS_DIR": str(folder), **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> Database:
    """A database and a folder with old and new of everything."""
    with psycopg.connect(database.url) as connection:
        connection.execute(ROWS.encode())
        for week in ("2020-01-06", "2026-01-05"):
            connection.execute(
                "insert into reports.report_artifacts (student_id, week_start, format, object_key,"
                " size_bytes, sha256, content_hash, template_version, language)"
                " values ('student', %s, 'html', %s, 1, '', '', '', 'ko')",
                (week, f"reports/student/{week}/report.html"),
            )
            for key in (f"reports/student/{week}", f"cohorts/classroom/a/{week}"):
                (tmp_path / key).mkdir(parents=True)
                (tmp_path / key / "report.html").write_text("x")
    return database


def _counts(database: Database) -> dict[str, int]:
    with psycopg.connect(database.url) as connection:
        rows = {
            table: connection.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier(*table.split(".")))
            ).fetchone()
            for table in LEFT
        }
    return {table: row[0] for table, row in rows.items() if row is not None}


def _effective(database: Database) -> list[object]:
    with psycopg.connect(database.url) as connection:
        return list(
            connection.execute("select * from irt.effective_ability order by id").fetchall()
        )


def test_what_is_old_goes_and_what_counts_stays(kept: Database, tmp_path: Path) -> None:
    before, effective = _counts(kept), _effective(kept)
    tried = _retain(kept, tmp_path, "--dry-run", RETAIN_REPORTS_DAYS="1000")
    assert tried.stdout.endswith("nothing was removed\n")
    assert _counts(kept) == before
    done = _retain(kept, tmp_path, RETAIN_REPORTS_DAYS="1000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\n", " ").startswith("        2  reports")
    assert _counts(kept) == LEFT
    assert _effective(kept) == effective
    weeks = {path.parent.name for path in tmp_path.rglob("report.html")}
    assert weeks == {"2026-01-05"}


def test_a_bad_setting_is_refused_before_anything_is_removed(
    kept: Database, tmp_path: Path
) -> None:
    before = _counts(kept)
    done = _retain(kept, tmp_path, RETAIN_LEDGER_DAYS="a year")
    assert done.returncode == 2
    assert "RETAIN_LEDGER_DAYS is 'a year'; it is a number of days from 1" in done.stderr
    assert _counts(kept) == before


def test_days_are_a_number_or_forever() -> None:
    rule = RULES[0]
    assert read_days(rule, {}) == rule.days
    assert read_days(rule, {rule.setting: "forever"}) is None
    assert read_days(rule, {rule.setting: " 30 "}) == 30
    for text in ("0", "-1", "1.5", "36501"):
        with pytest.raises(UsageError, match=rule.setting):
            read_days(rule, {rule.setting: text})
