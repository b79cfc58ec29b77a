"""Every reader of a mart in this repository is an exposure, which names just what it reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

RELATION = re.compile(r"\banalytics\.([a-z][a-z_]+)")
READING = {
    str(path.relative_to(ROOT)): set(RELATION.findall(path.read_text()))
    for package in ("irt_service", "report_runner", "warehouse")
    for path in sorted(Path(ROOT / package).rglob("*.py"))
    if RELATION.search(path.read_text())
}
EXPOSURES: list[dict[str, Any]] = [
    exposure
    for path in sorted(ROOT.glob("dbt/models/**/*exposures.yml"))
    for exposure in yaml.safe_load(path.read_text())["exposures"]
]


def read_in(exposure: dict[str, Any]) -> list[str]:
    """The files whose reads an exposure stands for."""
    files: list[str] = exposure.get("config", {}).get("meta", {}).get("read_in", [])
    return files


def test_every_file_that_reads_a_mart_belongs_to_an_exposure() -> None:
    assert set(READING) == {file for exposure in EXPOSURES for file in read_in(exposure)}


@pytest.mark.parametrize(
    "exposure", [e for e in EXPOSURES if read_in(e)], ids=lambda exposure: exposure["name"]
)
def test_an_exposure_names_what_its_code_reads(exposure: dict[str, Any]) -> None:
    named = {re.sub(r"ref\('(\w+)'\)", r"\1", reference) for reference in exposure["depends_on"]}
    assert named == set().union(*(READING[file] for file in read_in(exposure)))


def test_every_mart_is_read_by_somebody() -> None:
    marts = {path.stem for path in ROOT.glob("dbt/models/marts/**/*.sql")}
    assert marts == {
        name
        for exposure in EXPOSURES
        for reference in exposure["depends_on"]
        for name in re.findall(r"'(\w+)'", reference)
        if not name.startswith("stg_")
    }
