"""The unit tests of the dbt project: one rule each, on rows that are written out."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT, Database
from tests.dbt_runner import DbtRunner


@pytest.mark.timeout(600)
def test_every_unit_test_holds(warehouse: Database, run_dbt: DbtRunner) -> None:
    written = sum(
        path.read_text().count("\n  - name: ")
        for path in ROOT.glob("dbt/models/**/*unit_tests.yml")
    )
    results = run_dbt("test", "--select", "test_type:unit", database=warehouse).result.results
    held = [result for result in results if result.node.resource_type == "unit_test"]
    assert len(held) == written > 0
