"""What CI demands of every file, beside the tests: the linters, and the dbt project's own rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Database, DatabaseFactory

BIN = Path(sys.executable).parent
# What a prefix says of a macro: it is one engine's version of what another one describes.
ENGINE_PREFIXES = ("postgres__", "default__")


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command in the checkout, and fail with what it printed."""
    result = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def project(
    new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Database, Path]:
    """A database to compile with, and the folder of the parsed project's manifest."""
    database, target = new_database(), tmp_path_factory.mktemp("target")
    run(
        BIN / "dbt",
        "parse",
        "--no-partial-parse",
        "--warn-error",
        "--show-all-deprecations",
        f"--target-path={target}",
        f"--log-path={target}",
        env=database.env,
    )
    return database, target


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        pytest.param(("mypy",), marks=pytest.mark.drill, id="mypy"),
    ],
)
def test_python_is_clean(command: tuple[str, ...]) -> None:
    run(sys.executable, "-m", *command)


def test_the_dbt_project_keeps_its_rules(project: tuple[Database, Path]) -> None:
    _, target = project
    rules = (ROOT / "dbt-bouncer.yml").read_text()
    config = target / "dbt-bouncer.yml"
    config.write_text(rules.replace("dbt_artifacts_dir: target", f"dbt_artifacts_dir: {target}"))
    run(BIN / "dbt-bouncer", "run", "--show-all-failures", "--config-file", config)


def test_every_macro_says_what_it_does(project: tuple[Database, Path]) -> None:
    _, target = project
    macros = json.loads((target / "manifest.json").read_text())["macros"].values()
    ours = [macro for macro in macros if macro["package_name"] == "seedtest_analytics"]
    silent = [
        macro["name"]
        for macro in ours
        if not macro["description"] and not macro["name"].startswith(ENGINE_PREFIXES)
    ]
    assert silent == []


@pytest.mark.drill  # a minute of both cores
@pytest.mark.timeout(900)
def test_sql_is_clean(project: tuple[Database, Path]) -> None:
    database, target = project
    run(
        BIN / "sqlfluff",
        "lint",
        "--processes=2",
        "--disable-progress-bar",
        "dbt/models",
        "dbt/snapshots",
        "dbt/tests",
        env={**database.env, "DBT_TARGET_PATH": str(target)},
    )
