"""What a worker, a calibration and a release cannot digest, on real processes."""

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, Database
from tests.drills.nights import Ended, end_of
from tests.irt_service.school import (
    DAY_ONE,
    build,
    deliver,
    deliver_school,
    open_school,
    publish_parameters,
)
from tests.ports import free_port
from tests.report_runner.marts import fill
from tests.report_runner.seaweed import ACCESS_KEY, SECRET_KEY
from tests.warehouse.waiting import wait_until
from warehouse.ledger import step
from warehouse.revisions import WAREHOUSE, head
from warehouse.schema import require_current

ITEMS = {f"q_{j}": (1.0, -1.0 + 0.2 * j, 0.0) for j in range(8)}
ANSWERS = [(item, place % 3 != 0) for place, item in enumerate(ITEMS)]
NEWER = '''"""Remember who looked at a calibration."""

from alembic import op

revision = "newer"
down_revision = "{head}"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    op.execute("alter table irt.mirt_ability add column reviewed_by text not null default ''")
    op.execute("alter table ops.pipeline_runs add column reviewed_by text")


def downgrade() -> None:
    """Take back."""
    op.execute("alter table irt.mirt_ability drop column reviewed_by")
    op.execute("alter table ops.pipeline_runs drop column reviewed_by")
'''


@pytest.fixture
def school(database: Database) -> Database:
    """A school with a run in force and nothing delivered."""
    open_school(database.engine)
    publish_parameters(database.engine, "run_1", ITEMS)
    return database


def _call(database: Database, *arguments: str) -> Ended:
    return end_of(_start(database, *arguments))


def _start(
    database: Database,
    *arguments: str,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**database.env, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _rows(database: Database, statement: str) -> Sequence[tuple[object, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def _ledger(database: Database, name: str) -> Sequence[tuple[object, ...]]:
    return _rows(
        database,
        "select status, coalesce(error, '') from ops.pipeline_runs "  # noqa: S608 - constants
        f"where step = '{name}' order by id",
    )


def _metrics(database: Database) -> dict[str, float]:
    text = _call(database, "warehouse", "metrics").said
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.drill
def test_a_poison_delivery_is_parked_told_and_scored_once_it_is_cured(school: Database) -> None:
    with school.engine.begin() as connection:
        for number in range(4):
            deliver(connection, f"s_{number}", f"student_{number}", DAY_ONE, ANSWERS)
        # Staging would take it for not delivered; here it breaks whoever reads the session.
        connection.execute(
            sa.text(
                "update exam.exam_results set result_json = jsonb_set(result_json,"
                " '{questions,0,answered_at}', '\"yesterday or so\"') where session_id = 's_2'"
            )
        )
    worked = _call(school, "irt_service", "worker", "--once")
    assert worked.code == 1
    assert "1 deliveries could not be scored and are parked" in worked.said
    [(status, error)] = _ledger(school, "irt-worker")
    assert status == "failed"
    assert "parked" in str(error)
    found = _metrics(school)
    assert (found["seedtest_deliveries_parked"], found["seedtest_deliveries_waiting"]) == (1, 0)
    assert _call(school, "warehouse", "status").code == 1
    with school.engine.begin() as connection:
        deliver(connection, "s_2", "student_2", DAY_ONE, ANSWERS)
    assert _call(school, "irt_service", "worker", "--once").code == 0
    assert _rows(
        school, "select session_id, count(*) from irt.mirt_ability group by 1 order by 1"
    ) == [(f"s_{number}", 1) for number in range(4)]
    assert _metrics(school)["seedtest_deliveries_parked"] == 0
    assert [status for status, _ in _ledger(school, "irt-worker")] == ["failed", "succeeded"]


@pytest.mark.drill
def test_a_calibration_that_fails_its_gates_changes_nothing_and_says_so(school: Database) -> None:
    deliver_school(school.engine, n_students=30)
    build(school.engine)
    before = _rows(school, "select * from irt.publications")
    for _ in range(2):
        ended = _call(school, "irt_service", "calibrate")
        assert ended.code == 1
        assert "was rejected and does not come into force" in ended.said
    assert _rows(school, "select * from irt.publications") == before
    assert _rows(school, "select run_id from irt.in_force_run") == [("run_1",)]
    (status, error), (again, _) = _ledger(school, "irt-calibrate")
    assert (status, again) == ("failed", "failed")
    assert "rejected" in str(error)
    assert _metrics(school)["seedtest_calibration_last_rejected all"] == 1


def test_reports_fail_while_the_bucket_is_away_and_are_written_once_it_is_not(
    database: Database, tmp_path: Path
) -> None:
    with database.engine.begin() as connection:
        fill(connection)
    away = {
        "S3_BUCKET": "reports",
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    command = ("report_runner", "weekly", "--format", "html", "--student", "rich")
    ended = end_of(_start(database, *command, environment=away))
    assert ended.code == 1
    [(status, error)] = _ledger(database, "generate-weekly-report")
    assert (status, str(error).partition(":")[0]) == ("failed", "StoreError")
    assert _rows(database, "select count(*) from reports.report_artifacts") == [(0,)]
    assert _call(database, "warehouse", "status").code == 1
    back = {"REPORTS_DIR": str(tmp_path)}
    assert end_of(_start(database, *command, environment=back)).code == 0
    assert [row[0] for row in _ledger(database, "generate-weekly-report")] == [
        "failed",
        "succeeded",
    ]
    assert len(list(tmp_path.rglob("report.html"))) == 1
    [(templates,)] = _rows(
        database,
        "select versions -> 'template' from ops.pipeline_runs order by id desc limit 1",
    )
    assert isinstance(templates, dict)
    assert set(templates) == {"ko.html", "en.html"}
    assert _call(database, "warehouse", "status").code == 0


class Traffic:
    """Exams that finish one after the other, and a client that asks for each student's theta."""

    def __init__(self, database: Database, address: str) -> None:
        """Take a database and the address of a service."""
        self._database, self._address = database, address
        self._is_over = Event()
        self._thread = Thread(target=self._flow)
        self.finished = 0
        self.faults: list[str] = []

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more exams were answered for."""
        goal = self.finished + more
        wait_until(lambda: self.finished >= goal or bool(self.faults))

    def _flow(self) -> None:
        while not self._is_over.is_set() and not self.faults:
            session = f"s_{self.finished}"
            with self._database.engine.begin() as connection:
                at = DAY_ONE + timedelta(minutes=self.finished)
                deliver(connection, session, f"student_{self.finished % 5}", at, ANSWERS)
            request = urllib.request.Request(  # noqa: S310 - our own process
                f"{self._address}/v1/sessions/{session}/finish", method="POST", data=b""
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    if answer.status not in (200, 202):
                        self.faults.append(f"{session}: {answer.status}")
            except OSError as error:
                self.faults.append(f"{session}: {error}")
            self.finished += 1


@pytest.fixture
def service(school: Database) -> Iterator[str]:
    """The address of a service with a worker."""
    port = str(free_port())
    process = _start(school, "irt_service", "serve", "--local", "--with-worker", "--port", port)
    address = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until(lambda: is_ready() or process.poll() is not None)
    yield address
    process.terminate()
    ended = end_of(process)
    assert ended.code == 0, ended.said


def _newer_code(folder: Path) -> Path:
    """A copy of the package whose migrations have one step more."""
    shutil.copytree(ROOT / "warehouse", folder / "warehouse")
    text = NEWER.format(head=head(WAREHOUSE))
    (folder / "warehouse" / "migrations" / "versions" / "newer.py").write_text(text)
    return folder


@pytest.mark.drill
def test_a_migration_is_applied_while_the_service_of_the_code_before_runs(
    school: Database, service: str, tmp_path: Path
) -> None:
    newer = _newer_code(tmp_path / "newer")
    with Traffic(school, service) as traffic, psycopg.connect(school.url) as reader:
        traffic.wait_for(5)
        # A long report reads what the migration changes: it has to wait, the service has not.
        reader.execute("select count(*) from irt.mirt_ability")
        migrating = _start(school, "warehouse", "migrate", cwd=newer)
        with psycopg.connect(school.url, autocommit=True) as connection:
            wait_until(
                lambda: (
                    connection.execute(
                        "select count(*) from pg_locks where not granted and "
                        "mode = 'AccessExclusiveLock' and relation = 'irt.mirt_ability'::regclass"
                    ).fetchone()
                    == (1,)
                )
            )
        traffic.wait_for(2)
        reader.rollback()
        migrated = end_of(migrating)
        assert migrated.code == 0, migrated.said
        assert "applied: newer" in migrated.said
        traffic.wait_for(5)
    assert traffic.faults == []
    # Every exam that finished before, meanwhile and after is scored, and once.
    total = traffic.finished
    wait_until(
        lambda: (
            _rows(school, "select count(*) from irt.deliveries where status = 'scored'")
            == [(total,)]
        )
    )
    assert _rows(school, "select count(*), count(distinct session_id) from irt.mirt_ability") == [
        (total, total)
    ]
    # The code before also goes on to start, to keep its ledger and to show it.
    require_current(school.engine)
    with step(school.engine, "night"):
        pass
    assert _ledger(school, "night") == [("succeeded", "")]
    assert _call(school, "warehouse", "status").code == 0
