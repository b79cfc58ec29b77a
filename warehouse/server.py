"""The checkout's own PostgreSQL: started, stopped and recovered, its data in `.warehouse`."""

import contextlib
import fcntl
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from warehouse import launcher
from warehouse.binaries import Binaries, embedded_folder, find_binaries
from warehouse.database import LOCAL_DATABASE, LOCAL_PORT, LOCAL_USER, local_url
from warehouse.errors import ServerError
from warehouse.processes import (
    end_processes,
    is_server_process,
    server_processes,
    wait_until_gone,
)
from warehouse.server_config import render_access, render_settings, server_settings

logger = logging.getLogger(__name__)

# Recovery after a crash reads the whole log; while the server lives it is waited for.
START_PATIENCE_SECONDS = 600.0
STOP_PATIENCE_SECONDS = 60.0
ORPHAN_PATIENCE_SECONDS = 5.0
REMARK_AFTER_SECONDS = 3.0
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_EXCERPT_LINES = 5
# Above any pid that a system hands out (Linux ends at 4194304).
_NO_SUCH_PID = 2147483647
_UNPRIVILEGED = ("postgres", "nobody")
_BUILTIN_LOCALE_MAJOR = 17


@dataclass
class LocalServer:
    """A PostgreSQL whose data, socket, log and lock lie in the folder `state`.

    `settings` are added to, and win over, those of `server_config`.
    """

    state: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.state / "data"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.state / "server.log"

    @property
    def url(self) -> URL:
        """The address of the local database."""
        return local_url(self.state)

    def pid(self) -> int | None:
        """Return the pid of the running server, None when it does not run."""
        pid = self._recorded_pid()
        return pid if pid is not None and is_server_process(pid, self.data) else None

    def start(self) -> bool:
        """Start the server and wait until it answers; False when it already did.

        Raises ServerError with the reason and the end of the server's log.
        """
        with self._locked() as lock:
            if self.pid() is not None:
                self._wait_until_ready(None)
                # Whoever started it may have been killed before this.
                self._create_database()
                return False
            binaries = find_binaries(embedded_folder(), os.environ.get("PATH", os.defpath))
            owner = self._owner()
            self._make_folders(owner)
            if not (self.data / "PG_VERSION").is_file():
                self._initialise(binaries, owner, lock)
            self._check_version(binaries)
            self._recover()
            self._configure(owner)
            process = self._launch(binaries, owner)
            self._wait_until_ready(process)
            self._create_database()
            logger.info("PostgreSQL %s runs in %s", binaries.version, self.data)
            return True

    def stop(self) -> bool:
        """Stop the server and wait until no process of it is left; False when none ran."""
        if not self.state.is_dir():
            return False
        with self._locked():
            pid = self.pid()
            if pid is None:
                orphans = server_processes(self.data)
                end_processes(self.data, ORPHAN_PATIENCE_SECONDS)
                return bool(orphans)
            with contextlib.suppress(ProcessLookupError):
                # "Fast": transactions are rolled back, clients are sent away.
                os.kill(pid, signal.SIGINT)
            _wait_for_child(pid)
            if not wait_until_gone(self.data, STOP_PATIENCE_SECONDS):
                logger.warning("PostgreSQL did not stop in time and is ended the hard way")
                end_processes(self.data, ORPHAN_PATIENCE_SECONDS)
            if server_processes(self.data):
                raise ServerError(f"processes of the server in {self.data} do not end")
            return True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.state.mkdir(mode=0o711, parents=True, exist_ok=True)
        with (self.state / "server.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("another process starts or stops the server; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle.fileno()

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _owner(self) -> pwd.struct_passwd:
        """Return the user that runs the server: the data's, ours, or for root an unprivileged."""
        me = os.geteuid()
        data_owner = self.data.stat().st_uid if self.data.is_dir() else None
        if me != 0:
            if data_owner not in (None, me):
                raise ServerError(
                    f"{self.data} belongs to user {data_owner}, you are {me}: start the server as "
                    "that user, or remove .warehouse (and with it the local data)"
                )
            return _user(me)
        if data_owner is not None and data_owner != 0:
            return _user(data_owner)
        for name in _UNPRIVILEGED:
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise ServerError(
            f"PostgreSQL does not run as root, and none of the users {', '.join(_UNPRIVILEGED)} "
            "exists: start as another user"
        )

    def _make_folders(self, owner: pwd.struct_passwd) -> None:
        # The server's user has to pass through; it cannot list, and what is inside is closed.
        self.state.chmod(0o711)
        socket = self.state / "socket"
        socket.mkdir(mode=0o700, exist_ok=True)
        socket.chmod(0o700)
        _give(socket, owner)
        if self.data.is_dir() and self.data.stat().st_uid != owner.pw_uid:
            # Copied by root, who thereby became the owner.
            _give_tree(self.data, owner)

    def _initialise(self, binaries: Binaries, owner: pwd.struct_passwd, lock: int) -> None:
        if self.data.is_dir():
            # initdb works beside it; what lies here without a version is no data folder.
            self.data.rmdir()
        logger.info("creating a PostgreSQL %s in %s (once)", binaries.version, self.data)
        # Made aside and renamed when whole: a kill in between leaves nothing half done.
        fresh = self.state / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give(fresh, owner)
        locale = ["--encoding=UTF8", "--locale=C"]
        if binaries.major >= _BUILTIN_LOCALE_MAJOR:
            # Sorts like C and knows letters beyond ASCII, the same on every system.
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [
            str(binaries.folder / "initdb"),
            f"--pgdata={fresh}",
            f"--username={LOCAL_USER}",
            "--auth=peer",
            "--no-instructions",
            *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
            *locale,
        ]
        done = subprocess.run(  # noqa: S603 - no shell, own arguments
            self._as_owner(command, owner, binaries),
            cwd=self.state,
            env=_environment(),
            # Should we be killed meanwhile, the lock is held until initdb has ended too.
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"initdb failed: {' '.join(done.stdout.split())[-600:]}")
        fresh.rename(self.data)

    def _check_version(self, binaries: Binaries) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != str(binaries.major):
            raise ServerError(
                f"{self.data} was made by PostgreSQL {made_by}, the programs found are "
                f"{binaries.version}: install PostgreSQL {made_by}, or remove .warehouse (and "
                "with it the local data)"
            )

    def _recover(self) -> None:
        """Clear away what a killed server left: its processes, and its claim on a pid."""
        end_processes(self.data, ORPHAN_PATIENCE_SECONDS)
        claim = self.data / "postmaster.pid"
        pid = self._recorded_pid()
        if claim.exists() and (pid is None or _is_alive(pid)):
            # Something else has that pid by now, and PostgreSQL would believe it is a server.
            # The rest of the file stays: by its shared memory key PostgreSQL makes sure.
            logger.info("clearing the claim of a server that was killed")
            if pid is None:
                claim.unlink()
            else:
                rest = claim.read_text().split("\n", 1)[1]
                claim.write_text(f"{_NO_SUCH_PID}\n{rest}")
        for leftover in (self.state / "socket").glob(f".s.PGSQL.{LOCAL_PORT}*"):
            leftover.unlink()

    def _configure(self, owner: pwd.struct_passwd) -> None:
        access, identities = render_access([_user(os.geteuid()).pw_name, owner.pw_name])
        files = {
            "postgresql.conf": render_settings({**server_settings(), **self.settings}),
            "pg_hba.conf": access,
            "pg_ident.conf": identities,
        }
        for name, text in files.items():
            file = self.data / name
            file.write_text(text, encoding="utf-8")
            file.chmod(0o600)
            _give(file, owner)

    def _launch(self, binaries: Binaries, owner: pwd.struct_passwd) -> subprocess.Popen[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        command = [str(binaries.folder / "postgres"), "-D", str(self.data)]
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            return subprocess.Popen(  # noqa: S603 - no shell, own arguments
                self._as_owner(command, owner, binaries),
                cwd=self.state,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for the command, not for the server.
                start_new_session=True,
            )

    def _as_owner(
        self, command: list[str], owner: pwd.struct_passwd, binaries: Binaries
    ) -> list[str]:
        if os.geteuid() == owner.pw_uid:
            return command
        reach = [str(self.state / "socket"), str(binaries.folder), command[0]]
        ids = [str(owner.pw_uid), str(owner.pw_gid)]
        return [sys.executable, "-I", launcher.__file__, *ids, *reach, "--", *command]

    def _wait_until_ready(self, process: subprocess.Popen[bytes] | None) -> None:
        begin = time.monotonic()
        remark_at = begin + REMARK_AFTER_SECONDS
        log_size = self.log.stat().st_size if self.log.exists() else 0
        while True:
            reason = self._refusal()
            if reason is None:
                return
            now = time.monotonic()
            ended = self.pid() is None if process is None else process.poll() is not None
            if ended or now - begin > START_PATIENCE_SECONDS:
                raise ServerError(f"PostgreSQL did not start: {self._log_end(log_size) or reason}")
            if now > remark_at:
                logger.info("waiting for PostgreSQL (%.0f s): %s", now - begin, reason)
                remark_at = now + REMARK_AFTER_SECONDS
            time.sleep(0.02)

    def _refusal(self) -> str | None:
        """Try to connect; return why it did not work, None when it did."""
        try:
            with self._connect():
                return None
        except psycopg.OperationalError as error:
            return str(error).strip().splitlines()[-1].strip()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.url.query["host"]),
            port=LOCAL_PORT,
            user=LOCAL_USER,
            # There from the start, unlike ours.
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        )

    def _create_database(self) -> None:
        with self._connect() as connection:
            found = connection.execute(
                "select 1 from pg_catalog.pg_database where datname = %s", (LOCAL_DATABASE,)
            ).fetchone()
            if found is None:
                connection.execute(f'create database "{LOCAL_DATABASE}"')

    def _log_end(self, since: int) -> str:
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-LOG_EXCERPT_LINES:])


def _user(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise ServerError(
            f"user {uid} has no name on this machine, and PostgreSQL needs one: add it to "
            "/etc/passwd, or set DATABASE_URL"
        ) from None


def _give(path: Path, owner: pwd.struct_passwd) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _give_tree(folder: Path, owner: pwd.struct_passwd) -> None:
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(parent) / name, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _environment() -> dict[str, str]:
    # Nothing of the caller's PG… variables reaches the server.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _wait_for_child(pid: int) -> None:
    """Collect the server if this very process started it, so that it leaves no zombie."""
    deadline = time.monotonic() + STOP_PATIENCE_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
