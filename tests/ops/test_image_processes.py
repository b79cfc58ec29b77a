"""The images' command lines run as an unprivileged user on a read-only root, pod by pod."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import Database, DatabaseFactory
from tests.ops.certificates import new_authority
from tests.ops.dockerfiles import ROLES
from tests.ops.manifests import of_kind, pods
from tests.ops.sandbox import Image, is_possible
from tests.ops.tls_proxy import TlsProxy
from tests.ports import free_port
from warehouse.database import parse_database_url

ADDRESS = "127.0.0.1"
TOKEN = "of-this-test"  # noqa: S105 - it opens nothing else
SCHOOL = ("--students", "150", "--items", "30", "--days", "40", "--seed", "5")
PATIENCE_SECONDS = 240

pytestmark = [
    pytest.mark.drill,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not is_possible(), reason="needs root, for mount namespaces"),
]


@dataclass(frozen=True)
class Cluster:
    """The images, installed, and the database that their pods are given."""

    images: dict[str, Image]
    database: Database
    url: str
    folder: Path

    def start(self, container: dict[str, Any], **environment: str) -> "subprocess.Popen[bytes]":
        """Start a container of the manifests."""
        role = container["image"].rpartition(":")[0].rpartition("/")[2]
        log = self.log_of(container)
        settings = {"DATABASE_URL": self.url, "REPORTS_DIR": "/scratch/reports", **environment}
        for source in container.get("envFrom", []):
            data = of_kind("local", "ConfigMap")[source["configMapRef"]["name"]]["data"]
            settings = {**data, **settings}
        return self.images[role].start(container["args"], settings, log)

    def log_of(self, container: dict[str, Any]) -> Path:
        """Where a container's output goes."""
        return self.folder / f"{container['name']}.log"


@pytest.fixture(scope="module")
def cluster(
    new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Three images, and a school in a database behind TLS."""
    folder = tmp_path_factory.mktemp("images")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    database = new_database()
    _load_a_school(database, folder / "sample")
    authority = new_authority("the database's authority")
    authority.sign(ADDRESS, folder / "server.crt", folder / "server.key")
    proxy = TlsProxy(database.engine.url, folder / "server.crt", folder / "server.key", ADDRESS)
    images = {role: Image(role, folder / role).install() for role in ROLES}
    for image in images.values():
        authority.write(image.folder / "ca" / "ca.crt")
    given = parse_database_url(database.url)
    login = f"{given.username}:{given.password or 'none'}"
    query = f"sslmode=verify-full&sslrootcert={quote('/ca/ca.crt', safe='')}"
    yield Cluster(
        images,
        database,
        f"postgresql://{login}@{ADDRESS}:{proxy.port}/{database.name}?{query}",
        folder,
    )
    proxy.close()


def _load_a_school(database: Database, out: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warehouse", "sample", "--load-if-new", *SCHOOL, f"--out={out}"],
        env=database.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _run_pod(cluster: Cluster, owner: str) -> None:
    """Run the containers of a pod one after the other, as its init containers do."""
    pod = next(pod for pod in pods("local") if pod.owner == owner)
    for container in pod.steps:
        process = cluster.start(container)
        code = process.wait(PATIENCE_SECONDS)
        assert code == 0, f"{owner} {container['name']}: {cluster.log_of(container).read_text()}"


def _until(condition: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def _answers(url: str) -> int:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return 0


@pytest.fixture(scope="module")
def week(cluster: Cluster) -> Cluster:
    """After the migration, the calibration's pod and the reports' pod."""
    _run_pod(cluster, "migrate")
    _run_pod(cluster, "calibrate-irt-weekly")
    _run_pod(cluster, "generate-weekly-report")
    return cluster


def test_pods_of_the_schedule_run_to_their_end(week: Cluster) -> None:
    reports = week.images["report"].folder / "scratch" / "reports"
    pages, prints = (len(list(reports.rglob(f"report.{kind}"))) for kind in ("html", "pdf"))
    # Some students want no paper.
    assert pages > prints > 50
    assert (week.images["dbt"].folder / "scratch" / "target" / "run_results.json").is_file()
    assert list((week.images["irt"].folder / "scratch" / "numba").rglob("*.nbc"))


def _main_container(deployment: str) -> dict[str, Any]:
    template = of_kind("local", "Deployment")[deployment]["spec"]["template"]
    found: dict[str, Any] = template["spec"]["containers"][0]
    return found


def _end(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, log.read_text()


def test_the_service_is_ready_and_ends_when_told(week: Cluster) -> None:
    container = _main_container("r-irt-plumber")
    port = free_port()
    container = {**container, "args": [*container["args"][:-1], str(port)]}
    process = week.start(container, R_IRT_INTERNAL_TOKEN=TOKEN, IRT_SERVICE_LINK_KEY=TOKEN)
    for probe in ("livenessProbe", "readinessProbe"):
        url = f"http://{ADDRESS}:{port}{container[probe]['httpGet']['path']}"
        _until(lambda url=url: _answers(url) == 200, process, week.log_of(container))
    _end(process, week.log_of(container))


def test_the_worker_scores_what_arrives_and_ends_when_told(week: Cluster) -> None:
    container = _main_container("irt-worker")
    process = week.start(container)
    with week.database.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        connection.exec_driver_sql(
            "insert into exam.exam_results (session_id, user_id, status, result_json)"
            " select 'arrives-now', user_id, status, result_json from exam.exam_results"
            " where status = 'ready' and user_id is not null limit 1"
        )
        dealt_with = "select 1 from irt.deliveries where session_id = 'arrives-now'"
        _until(
            lambda: connection.exec_driver_sql(dealt_with).fetchall() != [],
            process,
            week.log_of(container),
        )
    # What its probes look at.
    assert (week.images["irt"].folder / "scratch" / "heartbeat").is_file()
    _end(process, week.log_of(container))


@pytest.mark.parametrize("role", ROLES)
def test_nothing_but_scratch_can_be_written(week: Cluster, role: str) -> None:
    image = week.images[role]
    script = (
        "import os, tempfile\n"
        "open('/scratch/mine', 'w').close(); tempfile.TemporaryFile()\n"
        "for path in ('/app/x', '/opt/venv/x', '/usr/x', '/etc/x', '/tmp/x', '/x'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError: continue\n"
        "    raise SystemExit(path)\n"
        f"assert os.getuid() == {65532}\n"
    )
    (image.folder / "scratch" / "probe.py").write_text(script)
    log = week.folder / f"{role}-probe.log"
    environment = {"PYTHONPATH": "/scratch"}
    assert image.start(["probe"], environment, log).wait(60) == 0, log.read_text()
