"""Reads the systemd units of `ops/systemd`, as far as they use systemd's language."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "ops" / "systemd"
CHECKOUT = "/srv/seedtest-analytics"


@dataclass(frozen=True)
class Unit:
    """A unit file: every value of every setting, by section and name."""

    name: str
    values: dict[tuple[str, str], list[str]]

    def all(self, section: str, setting: str) -> list[str]:
        """The values of a setting, in order."""
        return self.values.get((section, setting), [])

    def one(self, section: str, setting: str) -> str:
        """The value of a setting that stands there once."""
        (value,) = self.all(section, setting)
        return value

    @property
    def commands(self) -> list[list[str]]:
        """What the unit runs, in order, waiting for the schema included."""
        lines = [*self.all("Service", "ExecStartPre"), *self.all("Service", "ExecStart")]
        return [shlex.split(line) for line in lines]

    @property
    def login(self) -> str:
        """The name of the file with the login's address, without its ending."""
        return Path(self.one("Service", "EnvironmentFile")).stem

    @property
    def requires(self) -> list[str]:
        """Units that have to succeed before."""
        return self.all("Unit", "Requires")


def read_unit(name: str) -> Unit:
    """Read a unit of the folder."""
    values: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in (FOLDER / name).read_text().splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif text and text[0] not in "#;":
            setting, _, value = text.partition("=")
            values.setdefault((section, setting), []).append(value)
    return Unit(name, values)


def chain(name: str) -> list[Unit]:
    """The units that starting a unit starts, in the order in which they run."""
    unit = read_unit(name)
    before = [one for required in unit.requires for one in chain(required)]
    return [*before, unit]
