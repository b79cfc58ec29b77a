"""The mirt engine's process: what it lacks, how it is ended, what it refuses, the command."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from irt_service.cli import main
from irt_service.engines import engine_named, mirt
from irt_service.engines.base import CalibrationSettings, Progress
from irt_service.engines.mirt_call import call
from irt_service.errors import (
    CalibrationError,
    EngineUnavailableError,
    InsufficientDataError,
    InvalidSettingsError,
)
from irt_service.responses import ResponseMatrix
from tests.irt_service.reference_cases import lsat7

SECONDS_TO_END = 20
ROOT = Path(__file__).resolve().parents[2]
CALIBRATE = """
from irt_service.engines import engine_named
from irt_service.engines.base import CalibrationSettings
from tests.irt_service.reference_cases import lsat7
engine = engine_named("mirt")
engine.calibrate(lsat7(), CalibrationSettings(tolerance=1e-9), lambda _: print("cycle", flush=True))
"""


def calibrate_lsat7() -> None:
    engine_named("mirt").calibrate(lsat7(), CalibrationSettings())


def children_of(parent: int) -> list[int]:
    """Processes whose parent it is, from ps, which Linux and macOS have."""
    lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,stat="], text=True).splitlines()
    rows = [line.split() for line in lines]
    return [int(pid) for pid, ppid, state in rows if int(ppid) == parent and state[0] != "Z"]


def is_running(pid: int) -> bool:
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")


@pytest.fixture(scope="module")
def r_mirt() -> None:
    """Skip with the reason where R, mirt or rpy2 is missing."""
    try:
        call({}, 300.0, lambda *_: None)
    except EngineUnavailableError as error:
        pytest.skip(str(error))
    except CalibrationError:
        pass  # R is there and refuses a job without responses.


def test_without_r_the_command_says_in_one_line_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("R_HOME", str(tmp_path / "nowhere"))
    # Without rpy2 it would be rpy2 that is missing.
    write_stand_in(tmp_path, "situation", "import os\nget_r_home = lambda: os.environ['R_HOME']\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand-in"))
    file = write_responses(tmp_path, lsat7())
    code = main(["calibrate", "--engine", "mirt", *files(file, tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 1
    assert said.out == ""
    assert said.err.splitlines()[-1] == (
        f"error: the mirt engine needs R (R_HOME={tmp_path / 'nowhere'}): install R with its "
        "shared library (Debian: apt install r-base-dev), or use --engine native"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_without_rpy2_it_says_which_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stand_in(tmp_path, "__init__", "raise ImportError(\"No module named 'rpy2'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand-in"))
    with pytest.raises(EngineUnavailableError) as error:
        calibrate_lsat7()
    assert str(error.value) == (
        "the mirt engine needs the Python package rpy2 (No module named 'rpy2'): "
        "pip install --editable '.[mirt]' in the checkout, or use --engine native"
    )


@pytest.mark.mirt
def test_without_the_r_package_it_says_how_to_install_it(
    r_mirt: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = subprocess.check_output(["R", "RHOME"], text=True).strip()
    if Path(home, "library", "mirt").exists():
        pytest.skip("mirt is in R's own library, from where it cannot be hidden")
    for variable in ("R_LIBS", "R_LIBS_SITE", "R_LIBS_USER"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(EngineUnavailableError, match=r"needs the R package mirt .*install\.pack"):
        calibrate_lsat7()


@pytest.mark.mirt
def test_r_that_is_killed_is_an_error_and_not_a_crash(r_mirt: None) -> None:
    def kill_r(_: Progress) -> None:
        for child in children_of(os.getpid()):
            if "mirt_process" in command_of(child):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(CalibrationError, match="R was killed by SIGKILL"):
        engine_named("mirt").calibrate(lsat7(), CalibrationSettings(), kill_r)


def test_r_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRT_TIMEOUT_SECONDS", "0.2")
    before = set(children_of(os.getpid()))
    with pytest.raises(CalibrationError, match=r"stopped after 0.2 s\): set MIRT_TIMEOUT_SECONDS"):
        calibrate_lsat7()
    assert {pid for pid in children_of(os.getpid()) if "mirt_process" in command_of(pid)} <= before


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_a_timeout_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MIRT_TIMEOUT_SECONDS", text)
    with pytest.raises(InvalidSettingsError, match="MIRT_TIMEOUT_SECONDS"):
        calibrate_lsat7()


@pytest.mark.mirt
def test_r_ends_with_a_killed_parent(r_mirt: None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", CALIBRATE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "cycle\n"
        (r,) = children_of(parent.pid)
        parent.kill()
    deadline = time.monotonic() + SECONDS_TO_END
    while is_running(r) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(r)


@pytest.mark.mirt
def test_an_error_in_r_arrives_with_r_s_own_words(r_mirt: None) -> None:
    settings = CalibrationSettings()
    job, _ = mirt._job(mirt.prepare(lsat7(), settings), settings, 500, has_scores=False)
    job["item_types"] = np.full(5, "5PLM")
    with pytest.raises(CalibrationError, match=r"R mirt stopped with an error .*5PLM"):
        call(job, 300.0, lambda *_: None)


def test_what_cannot_fit_into_memory_is_refused_before_r_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirt, "BYTES_PER_CELL", 1e12)
    with pytest.raises(CalibrationError, match=r"1,000 students x 5 items, about 5000000 GB"):
        calibrate_lsat7()


def test_what_identifies_nothing_is_refused_as_by_the_native_engine() -> None:
    responses = ResponseMatrix.from_dense(np.ones((3, 4)), list("abcd"))
    said = []
    for name in ("native", "mirt"):
        with pytest.raises(InsufficientDataError) as error:
            engine_named(name).calibrate(responses, CalibrationSettings())
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.mirt
def test_the_command_calibrates_files_and_sets_the_same_items_aside(
    r_mirt: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = dense(lsat7())
    # A twin has no finite slope; both it and its original are set aside.
    twins = np.column_stack([table, table[:, 2]])
    file = write_responses(tmp_path, ResponseMatrix.from_dense(twins, list("ABCDEF")))
    found = {}
    for engine in ("mirt", "native"):
        code = main(["calibrate", "--engine", engine, *files(file, tmp_path / engine)])
        assert code == 0, capsys.readouterr().err
        with (tmp_path / engine / "item_parameters.csv").open(encoding="utf-8") as lines:
            found[engine] = {row["item_id"]: row for row in csv.DictReader(lines)}
    assert sorted(found["mirt"]) == sorted(found["native"]) == ["A", "B", "D", "E"]
    for item, row in found["mirt"].items():
        for column in ("discrimination", "difficulty"):
            assert float(row[column]) == pytest.approx(
                float(found["native"][item][column]), abs=0.005
            )
    assert "rpy2" not in sys.modules


def command_of(pid: int) -> str:
    found = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout


def dense(responses: ResponseMatrix) -> np.ndarray:
    table = np.full((responses.n_persons, responses.n_items), np.nan)
    persons = np.repeat(np.arange(responses.n_persons), responses.person_counts())
    table[persons, responses.items] = responses.correct
    return table


def write_responses(folder: Path, responses: ResponseMatrix) -> Path:
    file = folder / "responses.csv"
    with file.open("w", encoding="utf-8") as lines:
        lines.write("student_id,item_id,is_correct\n")
        for number, row in enumerate(dense(responses)):
            for item, value in zip(responses.item_ids, row, strict=True):
                lines.write(f"s{number},{item},{value:.0f}\n")
    return file


def files(responses: Path, out: Path) -> list[str]:
    return ["--responses", str(responses), "--out", str(out)]


def write_stand_in(folder: Path, module: str, content: str) -> None:
    """A package rpy2 that is found before the real one, if there is one."""
    package = folder / "stand-in" / "rpy2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / f"{module}.py").write_text(content, encoding="utf-8")
