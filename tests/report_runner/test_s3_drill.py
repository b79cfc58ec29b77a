"""A bucket that goes away, is slow or full, a run that is killed: one object and row each."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Database
from tests.report_runner.bad_line import BadLine
from tests.report_runner.marts import STUDENTS, clone_student, fill
from tests.report_runner.running import execute
from tests.report_runner.seaweed import BUCKET, Seaweed

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

CLONES = 300
# For a third of the reports.
ROOM = 1_500_000
COMMAND = (sys.executable, "-m", "report_runner", "weekly", "--format", "html", "--processes", "2")


def _begin(marts: Database, seaweed: Seaweed, **settings: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**marts.env, **seaweed.env, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _rows(marts: Database) -> int:
    (row,) = execute(marts, "select count(*) as rows from reports.report_artifacts")
    return int(row["rows"])


def _wait_for_rows(marts: Database, least: int) -> None:
    deadline = time.monotonic() + 120
    while _rows(marts) < least:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _fill(database: Database) -> int:
    with database.engine.begin() as connection:
        fill(connection)
        clone_student(connection, "rich", CLONES)
    return len(STUDENTS) + CLONES


def _objects(seaweed: Seaweed) -> dict[str, object]:
    pages = seaweed.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {
        item["Key"]: item["LastModified"] for page in pages for item in page.get("Contents", [])
    }


def _require_one_object_and_one_row_each(marts: Database, seaweed: Seaweed, total: int) -> None:
    rows = execute(marts, "select * from reports.report_artifacts")
    assert len(rows) == total
    before = _objects(seaweed)
    assert set(before) == {f"school/{row['object_key']}" for row in rows}
    client = seaweed.client()
    for row in rows[:: max(1, total // 50)]:
        body = client.get_object(Bucket=BUCKET, Key=f"school/{row['object_key']}")["Body"]
        assert hashlib.sha256(body.read()).hexdigest() == row["sha256"]
    # Nothing changed, nothing is sent.
    again = _begin(marts, seaweed)
    again.communicate(timeout=300)
    assert again.returncode == 0
    assert _objects(seaweed) == before


def test_a_killed_run_and_a_lost_server_end_in_one_object_and_one_row_each(
    database: Database, tmp_path: Path
) -> None:
    total = _fill(database)
    seaweed = Seaweed(tmp_path)
    seaweed.start()
    try:
        killed = _begin(database, seaweed)
        _wait_for_rows(database, 1)
        os.kill(killed.pid, signal.SIGKILL)
        # Workers leave with their parent, their uploads with them; the last one closes the pipe.
        killed.communicate(timeout=60)
        first = _rows(database)
        assert 0 < first < total

        bereft = _begin(database, seaweed)
        _wait_for_rows(database, first + 1)
        seaweed.stop()
        _out, errors = bereft.communicate(timeout=300)
        assert bereft.returncode == 1 or _rows(database) == total
        if bereft.returncode == 1:
            assert b"error: cannot store" in errors

        seaweed.start()
        resumed = _begin(database, seaweed)
        resumed.communicate(timeout=300)
        assert resumed.returncode == 0
        _require_one_object_and_one_row_each(database, seaweed, total)
    finally:
        seaweed.stop()


@pytest.mark.long
def test_a_slow_line_that_breaks_ends_in_one_object_and_one_row_each(
    database: Database, tmp_path: Path
) -> None:
    total = _fill(database)
    seaweed = Seaweed(tmp_path)
    seaweed.start()
    try:
        with BadLine(seaweed.ports[3], seconds=0.05, breaks_every=40) as line:
            run = _begin(database, seaweed, S3_ENDPOINT_URL=f"http://127.0.0.1:{line.port}")
            _out, errors = run.communicate(timeout=300)
            assert run.returncode == 0, errors
            # Objects had arrived of which nobody was told.
            assert line.broken > 0
        _require_one_object_and_one_row_each(database, seaweed, total)
    finally:
        seaweed.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.long
def test_a_full_server_is_named_and_the_run_goes_on_when_it_has_room(
    database: Database, tmp_path: Path
) -> None:
    total = _fill(database)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    seaweed = Seaweed(tmp_path)
    try:
        seaweed.start()
        disk = os.statvfs(tmp_path)
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - ROOM))
        run = _begin(database, seaweed)
        _out, errors = run.communicate(timeout=300)
        assert (run.returncode, b"error: cannot store" in errors) == (1, True), errors
        assert 0 < _rows(database) < total
        seaweed.stop()
        ballast.unlink()
        seaweed.start()
        resumed = _begin(database, seaweed)
        resumed.communicate(timeout=300)
        assert resumed.returncode == 0
        _require_one_object_and_one_row_each(database, seaweed, total)
    finally:
        seaweed.stop()
        subprocess.run(["umount", tmp_path], check=True)
