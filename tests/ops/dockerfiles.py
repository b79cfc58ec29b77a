"""The images' Dockerfiles, parsed: what a build would copy, set and run."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]

from tests.conftest import ROOT

IMAGES = ROOT / "ops" / "images"
ROLES = ("dbt", "irt", "report")
_ARGUMENT = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    name: str
    value: str


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next; the base with the head's ARGs filled in."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def values(self, name: str) -> list[str]:
        """Return the values of all instructions of a name, in their order."""
        return [one.value for one in self.instructions if one.name == name]

    def command(self, name: str) -> list[str]:
        """Return ENTRYPOINT or CMD, which are written as JSON: no shell stands between."""
        (value,) = self.values(name)
        words: list[str] = json.loads(value)
        return words

    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        pairs = " ".join(self.values("ENV")).split()
        return dict(pair.split("=", 1) for pair in pairs)


def path_of(role: str) -> Path:
    """Return the Dockerfile of a role."""
    return IMAGES / f"{role}.Dockerfile"


def stages(role: str) -> dict[str, Stage]:
    """Return the stages of a role's Dockerfile by name, in their order."""
    parser = DockerfileParser(fileobj=path_of(role).open("rb"))
    defaults: dict[str, str] = {}
    found: dict[str, Stage] = {}
    name, base, body = "", "", list[Instruction]()

    def fill(value: str) -> str:
        return _ARGUMENT.sub(lambda match: defaults.get(match[1], match[0]), value)

    for one in parser.structure:
        kind, value = one["instruction"], one["value"]
        if kind == "COMMENT":
            continue
        if kind == "FROM":
            if name:
                found[name] = Stage(name, base, tuple(body))
            base, _, name = fill(value).partition(" AS ")
            body = []
        elif kind == "ARG" and not name:
            key, _, default = value.partition("=")
            defaults[key] = default
        else:
            body.append(Instruction(kind, value))
    found[name] = Stage(name, base, tuple(body))
    return found


def copied(stage: Stage) -> list[tuple[list[str], str]]:
    """Return what a stage copies from the checkout: sources and target."""
    pairs = []
    for value in stage.values("COPY"):
        *sources, target = value.split()
        if not sources[0].startswith("--from="):
            pairs.append((sources, target))
    return pairs
