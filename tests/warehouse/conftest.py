"""Servers and checkouts of a test's own, stopped however the test ends."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import FAST, ROOT
from warehouse.processes import server_processes
from warehouse.server import LocalServer

COPIED = ("warehouse", "dbt_project.yml", "profiles.yml")
LEFT_OUT = ("DATABASE_URL", "PGHOST", "PGUSER", "PGDATABASE", "PYTHONPATH", "PWD")


@dataclass(frozen=True)
class Checkout:
    """A copy of what a checkout needs to run the warehouse's commands."""

    root: Path

    @property
    def server(self) -> LocalServer:
        """Its server, without the care for power cuts that takes time."""
        return LocalServer(self.root / ".warehouse", settings=FAST)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin `python -m warehouse ARGUMENT...` in the checkout."""
        environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
        return subprocess.Popen(
            [sys.executable, "-m", "warehouse", *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run a command of the warehouse; return what it printed, fail if it failed."""
        process = self.popen(*arguments)
        printed, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints
        return printed.strip()

    def run_plain(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run any command in the checkout with nothing exported."""
        return subprocess.run(
            list(command),
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="seedtest-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def local_server(open_folder: Path) -> Iterator[LocalServer]:
    """A server that is not running yet."""
    server = LocalServer(open_folder / ".warehouse", settings=FAST)
    yield server
    server.stop()
    assert server_processes(server.data) == []


@pytest.fixture
def make_checkout(open_folder: Path) -> Iterator[Callable[..., Checkout]]:
    """A function that makes a checkout at a path below an open folder."""
    made: list[Checkout] = []

    def make(path: str) -> Checkout:
        root = open_folder / path
        root.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name)
            else:
                shutil.copy(source, root / name)
        made.append(Checkout(root))
        return made[-1]

    yield make
    for checkout in made:
        checkout.server.stop()
        assert server_processes(checkout.server.data) == []


def as_user(name: str, work: Callable[[], object]) -> str:
    """Do something as another user of the machine; return what it returned or raised, as text.

    In a copy of this very process: the other user need not be able to read this Python.
    """
    entry = pwd.getpwnam(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            said = str(work())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
