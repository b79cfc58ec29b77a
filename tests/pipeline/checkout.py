"""A copy of this checkout in which `make run` is called as a newcomer calls it."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = "--students 300 --items 40 --days 30 --until 2026-06-28 --seed 5"


@dataclass(frozen=True)
class Checkout:
    """A folder with the project's files, its own `.warehouse`, and this environment."""

    path: Path

    @classmethod
    def copy_to(cls, path: Path) -> "Checkout":
        """Copy every file of this checkout that git knows or does not ignore."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source = ROOT / name
            if source.is_file():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        (path / ".venv").symlink_to(ROOT / ".venv")
        return cls(path)

    def _command(self, *arguments: str) -> list[str]:
        # The environment is this checkout's; whether its lock file is newer is not the question.
        return ["make", "-o", ".venv/.ready", *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "NUMBA_CACHE_DIR": str(self.path.parent / "numba")}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start make in a process group of its own."""
        return subprocess.Popen(
            self._command(*arguments),
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def make(self, *arguments: str) -> str:
        """Run make to its end and return what it printed; its failure is the test's."""
        done = subprocess.run(
            self._command(*arguments),
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == 0, output[-6000:]
        return output

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect to the checkout's own server."""
        return psycopg.connect(
            host=str(self.path / ".warehouse" / "socket"), user="seedtest", dbname="seedtest"
        )

    def down(self) -> None:
        """Stop the server."""
        self.make("down")


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill make and all that it started in its group, at once and without notice."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
