"""Each Dockerfile pins what it takes, copies what exists, and ends without rights or tools."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.ops.dockerfiles import IMAGES, ROLES, copied, path_of, stages
from tests.ops.manifests import pods

OURS = ("warehouse", "irt_service", "report_runner")
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
REQUIREMENT = re.compile(r"^([a-z0-9-]+)(?:\[[\w,]+\])?==(\S+?)(?: ; (.*?))? \\$", re.MULTILINE)

of_each_role = pytest.mark.parametrize("role", ROLES)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, *map(path_of, ROLES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@of_each_role
def test_bases_are_pinned_and_the_same(role: str) -> None:
    bases = {stage.base for stage in stages(role).values()}
    assert len(bases) == 1
    assert PINNED.fullmatch(bases.pop())
    assert {stage.base for each in ROLES for stage in stages(each).values()} == {
        stage.base for stage in stages(role).values()
    }
    # syntax=docker/dockerfile:1 is a range of compatible versions; nothing else may move.
    assert ":latest" not in path_of(role).read_text()


@of_each_role
def test_what_is_copied_exists_and_reaches_the_build(role: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "#"
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    for stage in stages(role).values():
        for sources, _ in copied(stage):
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(
                    fnmatch(source.removeprefix("./"), f"{pattern}*") for pattern in allowed
                ), f".dockerignore keeps {source} out"
        for mount in re.findall(r"--mount=type=bind,source=([\w./-]+)", str(stage.instructions)):
            assert (ROOT / mount).is_file()


@of_each_role
def test_the_image_runs_without_rights_and_with_one_writable_folder(role: str) -> None:
    stage = list(stages(role).values())[-1]
    assert stage.name == role
    user, group = stage.values("USER")[-1].split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert stage.command("ENTRYPOINT") == ["tini", "--", "python", "-m"]
    assert stage.command("VOLUME") == ["/scratch"]
    environment = stage.environment()
    for name in ("HOME", "TMPDIR"):
        assert environment[name] == "/scratch"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    if role == "irt":
        assert environment["NUMBA_CACHE_DIR"].startswith("/scratch/")
        assert len(stage.values("HEALTHCHECK")) == 1
    if role == "dbt":
        assert environment["DBT_TARGET_PATH"].startswith("/scratch/")
        assert environment["DBT_LOG_PATH"].startswith("/scratch/")
    labels = stage.values("LABEL")[0]
    for label in ("title", "description", "licenses", "revision", "version"):
        assert f"org.opencontainers.image.{label}=" in labels


@of_each_role
def test_what_installs_and_compiles_stays_behind(role: str) -> None:
    every = stages(role)
    last = list(every.values())[-1]
    run = " ".join(last.values("RUN"))
    assert "rm -rf /usr/local/lib/python3.11/ensurepip" in run
    assert "/usr/local/bin/pip*" in run
    assert not re.search(r"\br-base-dev\b|\bgcc\b|build-essential|\bpip install\b|-m pip", run)
    assert "venv --without-pip" in " ".join(every["build"].values("RUN"))
    installs = [one for one in every["build"].values("RUN") if " install " in one]
    assert installs
    assert sum(one.count("--requirement") for one in installs) == sum(
        one.count("--require-hashes") for one in installs
    )


def _locked(name: str) -> dict[str, set[tuple[str, str]]]:
    """Return versions and markers of a lock, by project."""
    found: dict[str, set[tuple[str, str]]] = {}
    text = (ROOT / name if name == "requirements.lock" else IMAGES / name).read_text()
    for project, version, marker in REQUIREMENT.findall(text):
        found.setdefault(project, set()).add((version, marker))
    assert len(re.findall(r"^[a-z0-9-]+(?:\[[\w,]+\])?==", text, re.MULTILINE)) == sum(
        len(versions) for versions in found.values()
    )
    return found


@pytest.mark.parametrize("lock", [*(f"{role}.lock" for role in ROLES), "build.lock"])
def test_images_install_what_was_tested(lock: str) -> None:
    tested = _locked("requirements.lock")
    for project, versions in _locked(lock).items():
        if lock == "irt.lock" and project not in tested:
            # The way to R is an extra that tests have where R is (make test-mirt).
            assert project.startswith("rpy2") or project == "tzlocal"
            continue
        assert {version for version, _ in versions} <= {version for version, _ in tested[project]}


@of_each_role
def test_no_tool_of_development_is_installed(role: str) -> None:
    tools = {"pytest", "sqlfluff", "mypy", "ruff", "moto", "hypothesis", "pip", "setuptools"}
    assert not tools & set(_locked(f"{role}.lock"))


@of_each_role
def test_every_module_of_ours_that_is_loaded_is_copied(role: str) -> None:
    holds = {
        source
        for stage in stages(role).values()
        for sources, _ in copied(stage)
        for source in sources
        if source in OURS
    }
    started = [f"{package}.__main__" for package in _run_by(role)]
    assert {name.partition(".")[0] for name in _loaded(started)} <= holds


def _run_by(role: str) -> set[str]:
    """Return the packages whose modules the manifests run in the image."""
    used = {
        step["args"][0]
        for pod in pods("staging")
        for step in pod.steps
        if f"/{role}:" in step["image"]
    }
    return used | {list(stages(role).values())[-1].command("CMD")[0]}


def _loaded(started: list[str]) -> set[str]:
    """Return our modules that are loaded with these: by imports outside of functions."""
    found: set[str] = set()
    waiting = list(started)
    while waiting:
        module = waiting.pop()
        path = ROOT / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module in found or module.partition(".")[0] not in OURS or not file.is_file():
            continue
        found.add(module)
        for node in _at_the_top(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _at_the_top(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _at_the_top(child)


def test_the_build_script_reads_the_manifests_names() -> None:
    """`build` takes its names by a pattern: it has to find all three."""
    script = (IMAGES / "build").read_text()
    release = ROOT / "ops" / "cronjobs" / "components" / "release" / "kustomization.yaml"
    pattern = re.search(r's/(.*)/\\1:\\2/p"', script)
    assert pattern is not None
    for one in yaml.safe_load(release.read_text())["images"]:
        role = one["name"].removeprefix("seedtest-")
        expression = pattern[1].replace("$role", role)
        found = re.search(expression, release.read_text())
        assert found is not None
        assert (found[1], found[2]) == (one["newName"], one["newTag"])
