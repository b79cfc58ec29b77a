"""TLS to the database is verified: the right authority is accepted, another one refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
from dbt.cli.main import dbtRunner

from irt_service.api.database import Database as ServiceDatabase
from tests.conftest import ROOT, Database, DatabaseFactory
from tests.irt_service.api.site import ServiceProcess
from tests.ops.certificates import new_authority
from tests.ops.tls_proxy import TlsProxy
from warehouse.cli import main
from warehouse.database import create_engine, parse_database_url

ADDRESS = "127.0.0.1"
PASSWORD = "never-to-be-printed"  # noqa: S105 - an example


@dataclass(frozen=True)
class TlsServer:
    """A database behind TLS, and the authorities that clients are told to trust."""

    database: Database
    port: int
    right: Path
    wrong: Path

    def url(self, authority: Path, mode: str = "verify-full", host: str = ADDRESS) -> str:
        """Return the address, as DATABASE_URL names it."""
        given = parse_database_url(self.database.url)
        user = given.username or "seedtest"
        query = f"sslmode={mode}&sslrootcert={quote(str(authority), safe='')}"
        password = given.password or PASSWORD
        return f"postgresql://{user}:{password}@{host}:{self.port}/{self.database.name}?{query}"


@pytest.fixture(scope="module")
def server(
    new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    """A migrated database behind TLS, with a certificate for its IP address."""
    folder = tmp_path_factory.mktemp("tls")
    authority = new_authority("the database's authority")
    authority.sign(ADDRESS, folder / "server.crt", folder / "server.key")
    database = new_database()
    proxy = TlsProxy(database.engine.url, folder / "server.crt", folder / "server.key", ADDRESS)
    yield TlsServer(
        database,
        proxy.port,
        authority.write(folder / "right.crt"),
        new_authority("somebody else").write(folder / "wrong.crt"),
    )
    proxy.close()


def test_the_server_is_verified_before_anything_is_said(server: TlsServer) -> None:
    with create_engine(server.url(server.right)).connect() as connection:
        assert connection.execute(sa.text("select 1")).scalar_one() == 1
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.pgconn.ssl_in_use
    with pytest.raises(sa.exc.OperationalError, match="certificate verify failed"):
        create_engine(server.url(server.wrong)).connect()
    with pytest.raises(sa.exc.OperationalError):
        create_engine(server.url(server.right, "disable")).connect()


def test_a_certificate_of_another_name_is_refused(server: TlsServer) -> None:
    with pytest.raises(sa.exc.OperationalError, match='does not match host name "localhost"'):
        create_engine(server.url(server.right, host="localhost")).connect()


def test_warehouse_commands_verify_the_server(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url(server.right))
    assert main(["migrate"]) == 0
    monkeypatch.setenv("DATABASE_URL", server.url(server.wrong))
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert "certificate verify failed" in said
    assert PASSWORD not in said


def test_dbt_verifies_the_server(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    messages: list[str] = []
    dbt = dbtRunner(callbacks=[lambda event: messages.append(event.info.msg)])
    command = ["debug", "--connection", f"--project-dir={ROOT}", f"--profiles-dir={ROOT}"]
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path))

    def is_accepted(authority: Path) -> bool:
        messages.clear()
        monkeypatch.setenv("DATABASE_URL", server.url(authority))
        return dbt.invoke(command).success

    assert is_accepted(server.right), messages
    assert not is_accepted(server.wrong)
    said = "\n".join(messages)
    assert "certificate verify failed" in said
    assert PASSWORD not in said


def test_the_connections_of_the_service_verify_the_server(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(authority: Path) -> None:
        monkeypatch.setenv("DATABASE_URL", server.url(authority))
        service = ServiceDatabase(1)
        service.engine.connect().close()
        service.engine.dispose()

    connect(server.right)
    with pytest.raises(sa.exc.OperationalError, match="certificate verify failed"):
        connect(server.wrong)


@pytest.mark.drill
def test_the_service_verifies_the_server(server: TlsServer, tmp_path: Path) -> None:
    answers = {}
    for authority in (server.right, server.wrong):
        database = Database(server.url(authority), create_engine(server.url(authority)))
        service = ServiceProcess(database, tmp_path).ready()
        try:
            answer = httpx.get(f"{service.url}/readyz", timeout=30)
            answers[authority] = (answer.status_code, answer.json()["error"])
        finally:
            service.stop()
        assert PASSWORD not in service.log_file.read_text()
    assert answers == {
        server.right: (503, "no_run_in_force"),
        server.wrong: (503, "database_unavailable"),
    }
