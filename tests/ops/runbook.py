"""Reads the commands of the runbook, so that tests can run what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.conftest import ROOT

PATH = ROOT / "docs" / "operations.md"
# What the first line of a block says when it cannot be run as it is.
ELSEWHERE = ("# on a cluster", "# as root", "# with a student's id")


@dataclass(frozen=True)
class Block:
    """A block of commands below a heading."""

    heading: str
    language: str
    text: str

    @property
    def is_runnable(self) -> bool:
        """Whether it runs on one machine, without a cluster and without being root."""
        return not self.text.startswith(ELSEWHERE)


def blocks() -> list[Block]:
    """Every block of code, in order."""
    found, heading = [], ""
    text = PATH.read_text(encoding="utf-8")
    for match in re.finditer(r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
                             text, re.MULTILINE | re.DOTALL):  # fmt: skip
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append(Block(heading, match["language"], match["text"]))
    return found


def blocks_of(heading: str, language: str = "sh") -> list[Block]:
    """The blocks of one section that run here."""
    return [
        block
        for block in blocks()
        if (block.heading, block.language, block.is_runnable) == (heading, language, True)
    ]


def commands() -> list[tuple[str, str]]:
    """Module and subcommand of everything that the page tells to run, wherever it stands."""
    text = PATH.read_text(encoding="utf-8").replace("\n", " ")
    found = re.findall(r"python -m (warehouse|irt_service|report_runner) ([a-z-]+)", text)
    return sorted(set(found))


def options() -> list[tuple[str, str, str]]:
    """Module, subcommand and option of everything that the page tells to run."""
    text = PATH.read_text(encoding="utf-8")
    # What follows `token` is a subcommand of its own, with options of its own.
    calls = re.finditer(
        r"python -m (warehouse|irt_service|report_runner) (?!token)([a-z-]+)([^`\n]*)", text
    )
    return sorted(
        {
            (call[1], call[2], option)
            for call in calls
            for option in re.findall(r" (--[a-z-]+)", call[3])
        }
    )
