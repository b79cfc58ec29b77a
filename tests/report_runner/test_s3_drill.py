"""A bucket that goes away, and a run that is killed: in the end one object and one row each."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Database
from tests.report_runner.marts import STUDENTS, clone_student, fill
from tests.report_runner.running import execute
from tests.report_runner.seaweed import BUCKET, Seaweed

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

CLONES = 500
COMMAND = (sys.executable, "-m", "report_runner", "weekly", "--format", "html", "--processes", "2")


def _begin(marts: Database, seaweed: Seaweed) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**marts.env, **seaweed.env},
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


def test_a_killed_run_and_a_lost_server_end_in_one_object_and_one_row_each(
    database: Database, tmp_path: Path
) -> None:
    with database.engine.begin() as connection:
        fill(connection)
        clone_student(connection, "rich", CLONES)
    total = len(STUDENTS) + CLONES
    seaweed = Seaweed(tmp_path)
    seaweed.start()
    try:
        killed = _begin(database, seaweed)
        _wait_for_rows(database, 1)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        # Workers leave with their parent, and their uploads with them.
        time.sleep(2)
        first = _rows(database)
        assert 0 < first < total

        bereft = _begin(database, seaweed)
        time.sleep(3)
        seaweed.stop()
        _out, errors = bereft.communicate(timeout=300)
        assert bereft.returncode == 1 or _rows(database) == total
        if bereft.returncode == 1:
            assert b"error: cannot store" in errors

        seaweed.start()
        resumed = _begin(database, seaweed)
        resumed.communicate(timeout=300)
        assert resumed.returncode == 0
        client = seaweed.client()
        rows = execute(database, "select * from reports.report_artifacts")
        assert len(rows) == total
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        objects = {item["Key"]: item for page in pages for item in page.get("Contents", [])}
        assert set(objects) == {f"school/{row['object_key']}" for row in rows}
        for row in rows[:: max(1, total // 50)]:
            body = client.get_object(Bucket=BUCKET, Key=f"school/{row['object_key']}")["Body"]
            assert hashlib.sha256(body.read()).hexdigest() == row["sha256"]
        before = {key: item["LastModified"] for key, item in objects.items()}
        again = _begin(database, seaweed)
        again.communicate(timeout=300)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        after = {i["Key"]: i["LastModified"] for page in pages for i in page.get("Contents", [])}
        assert after == before
    finally:
        seaweed.stop()
