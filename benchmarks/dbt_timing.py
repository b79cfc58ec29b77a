"""Runs dbt as the nightly job does, and reads what each model took from run_results.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DBT = Path(sys.executable).parent / "dbt"


class DbtFailedError(RuntimeError):
    """dbt did not succeed."""


@dataclass(frozen=True)
class Build:
    """What one call of dbt took: `seconds` in all, and of each node its SQL."""

    seconds: float
    models: dict[str, float]
    tests: dict[str, float]

    @property
    def model_seconds(self) -> float:
        """Time in models and snapshots, one after the other."""
        return sum(self.models.values())


def dbt(url: str, target: Path, *arguments: str, as_of: date) -> Build:
    """Call dbt as of a day, with the tests of a night; raise DbtFailedError with its output."""
    command = [
        str(_DBT),
        *arguments,
        f"--target-path={target}",
        f"--log-path={target}",
        "--vars={test_scope: replaced}",
    ]
    begin = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        command,
        cwd=ROOT,
        # Not among the variables: other ones make dbt read the whole project anew.
        env={**os.environ, "DATABASE_URL": url, "AS_OF_DATE": str(as_of)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise DbtFailedError(f"dbt {' '.join(arguments)}:\n{done.stdout[-3000:]}{done.stderr}")
    models: dict[str, float] = {}
    tests: dict[str, float] = {}
    for result in json.loads((target / "run_results.json").read_text())["results"]:
        kind, _, name = result["unique_id"].split(".")[:3]
        spent = {"model": models, "snapshot": models, "test": tests}.get(kind)
        if spent is None:
            continue
        spent[name] = sum(
            _seconds(step["started_at"], step["completed_at"])
            for step in result["timing"]
            if step["name"] == "execute"
        )
    return Build(seconds, models, tests)


def _seconds(started_at: str, completed_at: str) -> float:
    return (
        datetime.fromisoformat(completed_at) - datetime.fromisoformat(started_at)
    ).total_seconds()
