"""Stops the tests' server when the test run is gone, however it went: `PID STATE_FOLDER`."""

import os
import shutil
import sys
import time
from pathlib import Path

from warehouse.server import LocalServer


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main(pid: int, state: Path) -> None:
    """Wait for the end of the test run, then leave no process and no file."""
    while _is_alive(pid):
        if not state.exists():
            return
        time.sleep(0.5)
    LocalServer(state).stop()
    shutil.rmtree(state.parent, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
