"""A disk that fills up in mid-run: said, nothing half-written, gone on with when there is room."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from report_runner.cli import main
from tests.conftest import Database
from tests.report_runner.marts import STUDENTS, clone_student, fill
from tests.report_runner.running import execute

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root mounts a small disk"
)
CLONES = 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte, which holds the reports of a third of the students."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_ends_the_run_with_whole_reports_and_the_next_run_writes_the_rest(
    database: Database,
    small_disk: Path,
    processes: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with database.engine.begin() as connection:
        fill(connection)
        clone_student(connection, "rich", CLONES)
    total = len(STUDENTS) + CLONES
    monkeypatch.setenv("DATABASE_URL", database.url)
    command = ["weekly", "--format", "html", "--out", str(small_disk), "--processes", processes]
    assert main(command) == 1
    assert "error: cannot store" in (errors := capsys.readouterr().err)
    assert "No space left on device" in errors
    rows = execute(database, "select * from reports.report_artifacts")
    assert 0 < len(rows) < total
    for row in rows:
        content = (small_disk / row["object_key"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
    files = [path for path in small_disk.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"report.html"}
    assert len(files) == len(rows)

    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert main(command) == 0
    expected = f"{total - len(rows):,} written, {len(rows):,} unchanged, 0 failed"
    assert expected in capsys.readouterr().out
    runs = execute(database, "select status, error from ops.pipeline_runs order by id")
    assert [run["status"] for run in runs] == ["failed", "succeeded"]
    assert "No space left on device" in runs[0]["error"]
