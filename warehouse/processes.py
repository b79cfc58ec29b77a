"""Which processes belong to a data folder: pids are recycled, so a pid alone says nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def is_server_process(pid: int, data: Path) -> bool:
    """Say whether `pid` is a PostgreSQL process that runs in the data folder `data`."""
    if sys.platform != "linux":
        command = _ps("-ww", "-o", "command=", "-p", str(pid))
        return "postgres" in command and str(data) in command
    process = Path("/proc") / str(pid)
    try:
        name, _, rest = process.joinpath("stat").read_text().partition(" (")[2].rpartition(") ")
        if name != "postgres" or rest.startswith("Z"):
            return False
        # PostgreSQL works in its data folder. In a container even root may not look at that
        # of another user's process; the command line is open to all, but only the first
        # process of a server shows the folder there.
        with contextlib.suppress(PermissionError):
            return process.joinpath("cwd").samefile(data)
        return os.fsencode(data) in process.joinpath("cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def server_processes(data: Path) -> list[int]:
    """Return the pids of all PostgreSQL processes that run in the data folder."""
    return [pid for pid in _pids() if is_server_process(pid, data)]


def end_processes(data: Path, patience_seconds: float) -> None:
    """End what a killed server left behind: they are asked, then forced."""
    for way in (signal.SIGQUIT, signal.SIGKILL):
        for pid in server_processes(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, way)
        if wait_until_gone(data, patience_seconds):
            return


def wait_until_gone(data: Path, patience_seconds: float) -> bool:
    """Wait until no process of the data folder is left; False when some outlast the patience."""
    deadline = time.monotonic() + patience_seconds
    while server_processes(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _pids() -> Iterator[int]:
    if sys.platform == "linux":
        yield from (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    else:
        yield from (int(line) for line in _ps("-axo", "pid=").split())


def _ps(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["/bin/ps", *arguments], capture_output=True, text=True, check=False
    ).stdout
