"""What the runbook tells to run exists, and its links lead somewhere."""

from __future__ import annotations

import re

import pytest

from irt_service.cli import main as irt_service
from report_runner.cli import main as report_runner
from tests.conftest import ROOT
from tests.ops.runbook import PATH, blocks, commands, options
from warehouse.cli import main as warehouse
from warehouse.retention import RULES

PROGRAMS = {
    "warehouse": warehouse,
    "irt_service": irt_service,
    "report_runner": report_runner,
}


def _help(capsys: pytest.CaptureFixture[str], module: str, command: str) -> str:
    try:
        code = PROGRAMS[module]([command, "--help"])
    except SystemExit as ended:
        code = int(str(ended.code or 0))
    assert code == 0, f"python -m {module} {command}"
    return capsys.readouterr().out


def test_every_command_of_the_runbook_exists(capsys: pytest.CaptureFixture[str]) -> None:
    found = commands()
    assert ("warehouse", "erase") in found
    assert ("irt_service", "worker") in found
    for module, command in found:
        assert _help(capsys, module, command)


def test_every_option_of_the_runbook_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for module, command, option in options():
        assert option in _help(capsys, module, command), (module, command, option)


def test_the_runbook_installs_on_a_cluster_in_ten_numbered_commands() -> None:
    (install,) = [block for block in blocks() if block.heading == "Install on a cluster"]
    numbers = [int(number) for number in re.findall(r"# +(\d+)\b", install.text)]
    assert numbers == list(range(1, 11))


def test_every_link_of_the_runbook_leads_somewhere() -> None:
    text = PATH.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        page = (PATH.parent / name).resolve() if name else PATH
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
            assert anchor in slugs, target


def test_the_runbook_lists_every_setting_of_retention_with_its_default() -> None:
    text = PATH.read_text(encoding="utf-8")
    listed = {(name, int(days)) for name, days in re.findall(r"`(RETAIN_\w+)` \| (\d+)", text)}
    assert listed == {(rule.setting, rule.days) for rule in RULES}


def test_the_paths_that_the_runbook_names_exist() -> None:
    text = "".join(block.text for block in blocks())
    for path in re.findall(r"(?<![\w/])(ops/[\w./-]+)", text):
        assert list(ROOT.glob(path.rstrip("-"))) or list(ROOT.glob(f"{path}*")), path
