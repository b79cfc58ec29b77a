"""The same responses through the Python package mirt and R mirt, where they are installed.

Each fit runs in a process of its own after a small fit that loads and compiles everything; only
the fit is timed, without standard errors, on 61 nodes and to each program's own change of 1e-4.
How near that brings it to the solution is its own affair, and is printed beside the seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

TIMEOUT_SECONDS = 300.0
WARM_PERSONS = 1000
MISSING = np.iinfo(np.int32).min  # R's NA_integer_

PYTHON_FIT = """
import json, sys, time
import numpy as np
import mirt
table, out, n_items, warm = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
data = np.fromfile(table, np.int32).reshape(-1, n_items)
data = np.where(data < 0, -1, data).astype(np.int64)
plan = dict(model="2PL", n_quadpts=61, tol=1e-4, compute_standard_errors=False)
mirt.fit_mirt(data[:warm], **plan)
start = time.perf_counter()
found = mirt.fit_mirt(data, **plan)
seconds = time.perf_counter() - start
parameters = found.model.parameters
np.stack([parameters["discrimination"], parameters["difficulty"]]).astype(float).tofile(out)
print(json.dumps({"seconds": seconds, "version": "Python mirt " + mirt.__version__}))
"""

R_FIT = """
given <- commandArgs(trailingOnly = TRUE)
n_items <- as.integer(given[3])
cells <- readBin(given[1], "integer", n = file.size(given[1]) / 4, size = 4)
data <- as.data.frame(matrix(cells, ncol = n_items, byrow = TRUE))
suppressPackageStartupMessages(library(mirt))
run <- function(rows) {
    mirt(data[rows, ], 1, itemtype = "2PL", quadpts = 61, TOL = 1e-4, SE = FALSE,
         technical = list(theta_lim = c(-6, 6), NCYCLES = 5000), verbose = FALSE)
}
invisible(run(seq_len(as.integer(given[4]))))
seconds <- system.time(found <- run(seq_len(nrow(data))))[["elapsed"]]
items <- coef(found, IRTpars = TRUE, simplify = TRUE)$items
writeBin(c(items[, "a"], items[, "b"]), given[2])
version <- paste("R mirt", packageVersion("mirt"))
cat(sprintf('{"seconds": %f, "version": "%s"}\\n', seconds, version))
"""


@dataclass(frozen=True)
class PeerFit:
    """What one fit took, and the largest distance of an a or d from given ones."""

    version: str
    seconds: float
    difference: float


@dataclass(frozen=True)
class Peer:
    """A program that fits the same model."""

    name: str
    interpreter: str
    code: str

    def fit(self, responses: ResponseMatrix, tight: Floats) -> PeerFit:
        """Fit once; `tight` holds a and d of the solution, (2, J).

        Raises:
            subprocess.SubprocessError: it failed or took too long.
        """
        with tempfile.TemporaryDirectory() as folder:
            table, out, script = (Path(folder, name) for name in ("responses", "items", "fit"))
            _dense(responses).tofile(table)
            script.write_text(self.code, encoding="utf-8")
            sizes = str(responses.n_items), str(WARM_PERSONS)
            done = subprocess.run(  # noqa: S603 - the interpreters that were found, our code
                [self.interpreter, str(script), str(table), str(out), *sizes],
                check=True,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
            a, b = np.fromfile(out, np.float64).reshape(2, -1)
        said = json.loads(done.stdout.splitlines()[-1])
        difference = float(np.abs(np.stack([a, -a * b]) - tight).max())
        return PeerFit(said["version"], said["seconds"], difference)


def find_peers(python: str) -> tuple[list[Peer], list[str]]:
    """The peers that are installed, and a sentence for each that is not."""
    peers, absent = [], []
    if _succeeds([python, "-c", "import mirt; mirt.fit_mirt"]):
        peers.append(Peer("Python mirt", python, PYTHON_FIT))
    else:
        absent.append(f"Python mirt is not installed in {python} (pip install mirt)")
    r = shutil.which("Rscript") or "Rscript"
    if _succeeds([r, "-e", "loadNamespace('mirt')"]):
        peers.append(Peer("R mirt", r, R_FIT))
    else:
        absent.append("R mirt is not installed (Rscript on PATH, install.packages('mirt'))")
    return peers, absent


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - as above
    except OSError:
        return False
    return done.returncode == 0


def _dense(responses: ResponseMatrix) -> npt.NDArray[np.int32]:
    table = np.full((responses.n_persons, responses.n_items), MISSING, np.int32)
    rows = np.repeat(np.arange(responses.n_persons), responses.person_counts())
    table[rows, responses.items] = responses.correct
    return table
