"""An installation on one machine, by the runbook: logins, units, commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.conftest import ROOT, Database
from tests.ops.runbook import blocks_of
from tests.ops.units import CHECKOUT, Unit, chain, read_unit
from warehouse.binaries import embedded_folder

LOGINS = ("owner", "dbt", "irt", "reports", "metrics")
PASSWORD = "x"  # noqa: S105 - of a server that trusts its socket
# The sample school is small; the gates of a calibration are for real ones.
SETTINGS = {"MIRT_MIN_RESPONSES_PER_ITEM": "50"}


@dataclass
class Machine:
    """A database with the runbook's logins, under names that no other test has."""

    database: Database
    folder: Path
    outputs: list[str] = field(default_factory=list)

    def role(self, login: str) -> str:
        """The name of a login: roles belong to the whole server."""
        return f"{login}_{self.database.name[-12:]}"

    def url(self, login: str) -> str:
        """The address with which a login connects."""
        url = make_url(self.database.url).set(username=self.role(login), password=PASSWORD)
        return url.render_as_string(hide_password=False)

    def env(self, url: str) -> dict[str, str]:
        """The environment of a program."""
        programs = [str(Path(sys.executable).parent)]
        embedded = embedded_folder()
        if embedded is not None:
            programs.append(str(embedded))
        return {
            **os.environ,
            **SETTINGS,
            "DATABASE_URL": url,
            "REPORTS_DIR": str(self.folder / "reports"),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
        }

    def make_logins(self) -> None:
        """What the administrator and the owner do first."""
        first, second = blocks_of("Logins", "sql")
        self.administer(first.text)
        self.run("owner", "-m", "warehouse", "migrate", "--with-exam")
        self.administer(second.text)
        # The test's server has had the roles for long.
        self.run("owner", "-m", "warehouse", "migrate")

    def administer(self, statements: str) -> None:
        """Run SQL of the runbook as the administrator."""
        text = statements.replace("…", PASSWORD).replace(
            "database seedtest ", f'database "{self.database.name}" '
        )
        text = re.sub(
            rf"\bseedtest_({'|'.join(LOGINS)})\b", lambda match: self.role(match[1]), text
        )
        with psycopg.connect(self.database.url) as connection:
            connection.execute(text.encode())

    def drop_logins(self) -> None:
        """Leave the server as it was."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            for login in LOGINS:
                name = self.role(login)
                connection.execute(
                    f'reassign owned by "{name}" to current_user; drop owned by "{name}"; '
                    f'drop role "{name}"'.encode()
                )

    def run(self, login: str, *arguments: str) -> str:
        """Run Python as a login; what it printed."""
        return self.run_command(login, [sys.executable, *arguments])

    def run_command(self, login: str, command: list[str]) -> str:
        """Run a command as a login; what it printed."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.env(self.url(login)),
            capture_output=True,
            text=True,
            check=False,
        )
        told = f"{' '.join(command)} as {login}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, told
        return done.stdout

    def start(self, unit: str) -> list[Unit]:
        """Run what starting a unit runs, one after the other, each as its login."""
        units = chain(unit)
        for one in units:
            for command in one.commands:
                self.run_command(one.login, self.here(command))
        return units

    def start_timer(self, timer: str) -> list[Unit]:
        """Run what a timer starts."""
        return self.start(read_unit(timer).one("Timer", "Unit"))

    def here(self, command: list[str]) -> list[str]:
        """A unit's command with this checkout's Python."""
        return [part.replace(f"{CHECKOUT}/.venv/bin/python", sys.executable) for part in command]

    def run_blocks(self, heading: str, **variables: str) -> None:
        """Run the shell blocks of a section, with these variables, stopping at the first error."""
        for block in blocks_of(heading):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                cwd=self.folder,
                env={
                    **self.env(self.database.url),
                    "PYTHONPATH": str(ROOT),
                    "DBT_PROJECT_DIR": str(ROOT),
                    "DBT_PROFILES_DIR": str(ROOT),
                    **variables,
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
