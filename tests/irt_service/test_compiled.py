"""Compiled kernels belong to the sources that they were compiled from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

# So many students that their kernel calls one of another file.
SCORE = """
from irt_service.scoring import eap
count = 2000
print(eap([1.0], [0.0], [0.0], range(count + 1), [0] * count, [1] * count)[0][0])
"""


def score(folder: Path, cache: Path) -> str:
    """The ability after a right answer, as the package in `folder` computes it."""
    return subprocess.run(
        [sys.executable, "-c", SCORE],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_change_of_what_a_kernel_calls_is_compiled_anew(tmp_path: Path) -> None:
    for package in ("irt_service", "warehouse"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    lanes = tmp_path / "irt_service" / "lanes.py"
    before = score(tmp_path, tmp_path / "cache")
    assert score(tmp_path, tmp_path / "cache") == before
    assert len(list((tmp_path / "cache").iterdir())) == 1

    source = lanes.read_text()
    lanes.write_text(
        source.replace("LANE, table, starts, count)", "LANE, table, starts, count - 1)", 1)
    )
    assert lanes.read_text() != source

    assert score(tmp_path, tmp_path / "cache") != before
