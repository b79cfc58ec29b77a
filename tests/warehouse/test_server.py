"""The local server starts, recovers and stops, whatever happened to it before."""

import os
import pwd
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.conftest import FAST
from tests.warehouse.conftest import as_user
from tests.warehouse.waiting import wait_until
from warehouse.binaries import embedded_folder, find_binaries
from warehouse.database import create_engine
from warehouse.errors import ServerError
from warehouse.processes import server_processes, wait_until_gone
from warehouse.server import LocalServer

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


def _execute(server: LocalServer, statement: str) -> None:
    with create_engine(server.url).begin() as connection:
        connection.execute(sa.text(statement))


def _read(server: LocalServer, statement: str) -> object:
    with create_engine(server.url).connect() as connection:
        return connection.execute(sa.text(statement)).scalar_one()


def _kill(server: LocalServer) -> int:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return pid


def test_start_is_idempotent_and_stop_leaves_no_process(local_server: LocalServer) -> None:
    assert local_server.start() is True
    first = local_server.pid()
    assert local_server.start() is False
    assert local_server.pid() == first
    assert len(server_processes(local_server.data)) > 3
    assert local_server.stop() is True
    assert server_processes(local_server.data) == []
    assert local_server.stop() is False


def test_it_sorts_by_code_point_in_utf8_and_listens_on_no_network(
    local_server: LocalServer,
) -> None:
    local_server.start()
    assert _read(local_server, "show listen_addresses") == ""
    assert _read(local_server, "show server_encoding") == "UTF8"
    assert _read(local_server, "select 'Z' < 'a' and 'z' < '가'") is True
    assert _read(local_server, "select current_setting('jit')") == "off"


def test_what_was_committed_survives_kill_minus_nine(local_server: LocalServer) -> None:
    local_server.settings = {}
    local_server.start()
    # A killed server cannot show what a power cut would have taken; its settings can.
    assert _read(local_server, "show fsync") == "on"
    assert _read(local_server, "show synchronous_commit") == "on"
    _execute(local_server, "create table kept as select 42 as answer")
    _kill(local_server)
    assert local_server.start() is True
    assert _read(local_server, "select answer from kept") == 42


def test_a_process_that_got_the_old_pid_is_not_taken_for_the_server(
    local_server: LocalServer,
) -> None:
    local_server.start()
    old = _kill(local_server)
    assert wait_until_gone(local_server.data, 30.0)
    # Of the server's own user: PostgreSQL itself would take that one for a server.
    stranger = subprocess.Popen(["sleep", "60"], user=local_server.data.stat().st_uid)
    try:
        claim = local_server.data / "postmaster.pid"
        claim.write_text(claim.read_text().replace(str(old), str(stranger.pid), 1))
        socket_claim = local_server.state / "socket" / ".s.PGSQL.5432.lock"
        socket_claim.write_text(claim.read_text())
        assert local_server.pid() is None
        assert local_server.start() is True
        assert local_server.stop() is True
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_orphans_of_a_killed_server_are_ended_before_the_next(local_server: LocalServer) -> None:
    local_server.start()
    busy = psycopg.connect(
        local_server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    # A backend that computes does not notice that its server is gone.
    busy.pgconn.send_query(b"select count(*) from generate_series(1, 1000000000)")
    backend = busy.info.backend_pid
    active = f"select count(*) from pg_stat_activity where pid = {backend} and state = 'active'"  # noqa: S608 - a number
    wait_until(lambda: _read(local_server, active) == 1)
    _kill(local_server)
    assert backend in server_processes(local_server.data)
    assert local_server.start() is True
    assert backend not in server_processes(local_server.data)
    busy.close()


def test_half_an_initialisation_is_begun_again(local_server: LocalServer) -> None:
    fresh = local_server.state / "data.new"
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    local_server.data.mkdir()
    assert local_server.start() is True
    assert not fresh.exists()


def test_data_of_another_major_version_is_refused(local_server: LocalServer) -> None:
    local_server.start()
    local_server.stop()
    (local_server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServerError, match="made by PostgreSQL 16, the programs found are"):
        local_server.start()


def test_a_server_that_cannot_start_says_why(local_server: LocalServer) -> None:
    local_server.settings = {**FAST, "shared_buffers": "many"}
    with pytest.raises(ServerError, match='invalid value for parameter "shared_buffers"'):
        local_server.start()


def test_a_postgresql_that_is_too_old_is_refused_by_name(open_folder: Path) -> None:
    folder = str(open_folder)
    for name, text in (("postgres", "echo 'postgres (PostgreSQL) 15.9'"), ("initdb", "true")):
        (open_folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (open_folder / name).chmod(0o755)
    with pytest.raises(ServerError, match=r"/postgres is PostgreSQL 15\.9"):
        find_binaries(None, folder)
    embedded = embedded_folder()
    assert embedded is not None
    # The second choice on PATH is taken once the first is too old.
    found = find_binaries(None, os.pathsep.join([folder, str(embedded)]))
    assert found.folder == embedded.resolve()
    with pytest.raises(ServerError, match="none was found"):
        find_binaries(None, "/nonexistent")


@as_root
def test_root_runs_it_as_an_unprivileged_user(local_server: LocalServer) -> None:
    local_server.start()
    owner = local_server.data.stat().st_uid
    assert owner != 0
    for pid in server_processes(local_server.data):
        status = _status(pid)
        assert status["Uid"].split() == [str(owner)] * 4
        # The path is open to it, so it keeps no capability at all.
        assert int(status["CapPrm"], 16) == 0


@as_root
def test_nobody_else_can_connect(local_server: LocalServer) -> None:
    local_server.start()
    other = next(
        entry.pw_name
        for entry in pwd.getpwall()
        if entry.pw_uid not in (0, local_server.data.stat().st_uid)
    )
    socket = local_server.state / "socket"
    assert socket.stat().st_mode & 0o777 == 0o700

    def attempt() -> object:
        with psycopg.connect(host=str(socket), user="seedtest", dbname="seedtest") as connection:
            return connection.info.user

    assert as_user("root", attempt) == "seedtest"
    assert "Permission denied" in as_user(other, attempt)
    # And where the folder stands open, the server still asks who is there.
    socket.chmod(0o755)
    assert "Peer authentication failed" in as_user(other, attempt)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
