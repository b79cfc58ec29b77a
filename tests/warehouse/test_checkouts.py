"""Checkouts on one machine: their own servers, wherever they lie and whoever starts them."""

import os
import pwd
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import FAST
from tests.warehouse.conftest import Checkout, as_user
from warehouse.processes import server_processes
from warehouse.server import LocalServer

MakeCheckout = Callable[..., Checkout]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
SOCKET_PATH_MAX_BYTES = 107


def _answer(server: LocalServer, statement: str) -> object:
    url = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def test_two_checkouts_have_two_servers(make_checkout: MakeCheckout) -> None:
    one, two = make_checkout("one").server, make_checkout("two").server
    one.start()
    two.start()
    for server in (one, two):
        assert _answer(server, "show data_directory") == str(server.data)
    one.stop()
    assert server_processes(one.data) == []
    assert _answer(two, "select 1") == 1


def test_two_starts_at_once_make_one_server(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("c")
    both = [checkout.popen("start"), checkout.popen("start")]
    printed = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert printed == ["local PostgreSQL is running already", "local PostgreSQL started"]


def test_a_start_killed_at_any_moment_can_be_repeated(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("c")
    for trace in ("data.new", "data/postmaster.pid"):
        process = checkout.popen("start")
        deadline = time.monotonic() + 60
        while not (checkout.server.state / trace).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    checkout.server.start()
    assert _answer(checkout.server, "select 1") == 1


def test_a_path_too_long_for_a_socket_is_no_obstacle(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("/".join(["a-rather-long-folder-name"] * 8))
    assert len(str(checkout.server.state / "socket")) > SOCKET_PATH_MAX_BYTES
    checkout.server.start()
    assert _answer(checkout.server, "select 1") == 1
    # What another process is told works there too.
    url = checkout.run("url").replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        assert connection.info.dbname == "seedtest"


def test_plain_dbt_finds_the_server_with_nothing_exported(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("/".join(["a-rather-long-folder-name"] * 8))
    checkout.server.start()
    dbt = Path(sys.executable).parent / "dbt"
    done = checkout.run_plain([str(dbt), "debug"])
    assert "connection ok" in done.stdout, done.stdout
    checkout.server.stop()
    done = checkout.run_plain([str(dbt), "debug"])
    assert done.returncode == 1
    assert "connection ok" not in done.stdout


def test_psql_reaches_it_with_the_printed_variables(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("c")
    checkout.server.start()
    script = f'eval "$({sys.executable} -m warehouse env)" && psql -XAtc "select 6 * 7"'
    if shutil.which("psql") is None:
        pytest.skip("psql is not on PATH")
    done = checkout.run_plain(["bash", "-c", script])
    assert done.stdout.strip() == "42", done.stderr


@as_root
def test_root_below_a_closed_folder_changes_nothing_outside(open_folder: Path) -> None:
    root = open_folder / "closed" / "checkout"
    root.mkdir(parents=True)
    root.parent.chmod(0o700)
    server = LocalServer(root / ".warehouse", settings=FAST)
    before = [path.stat() for path in (open_folder, root.parent, root)]
    try:
        server.start()
        assert _answer(server, "select 1") == 1
        pid = server.pid()
        assert pid is not None
        uid = server.data.stat().st_uid
        assert uid != 0
        assert f"Uid:\t{uid}\t{uid}" in Path(f"/proc/{pid}/status").read_text()
        after = [path.stat() for path in (open_folder, root.parent, root)]
        assert [(stat.st_mode, stat.st_uid) for stat in after] == [
            (stat.st_mode, stat.st_uid) for stat in before
        ]
        # Recovery is the unprivileged server's own work, and passes the closed folder too.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert server.start() is True
    finally:
        server.stop()
    assert server_processes(server.data) == []


@as_root
def test_an_ordinary_user_runs_it_as_that_user(open_folder: Path) -> None:
    entry = pwd.getpwnam("nobody")
    shutil.chown(open_folder, entry.pw_uid)
    server = LocalServer(open_folder / ".warehouse", settings=FAST)
    try:
        assert as_user("nobody", server.start) == "True"
        assert server.data.stat().st_uid == entry.pw_uid
        pid = server.pid()
        assert pid is not None
        assert f"Uid:\t{entry.pw_uid}\t" in Path(f"/proc/{pid}/status").read_text()
        assert as_user("nobody", server.stop) == "True"
        # Root starts it as the user whose data it is.
        assert server.start() is True
        assert server.data.stat().st_uid == entry.pw_uid
        assert _answer(server, "select 1") == 1
    finally:
        server.stop()
    assert server_processes(server.data) == []
