"""Fit of items and local dependence against R mirt, run here and now at the same parameters."""

import csv
import io
import shutil
import subprocess

import numpy as np
import numpy.typing as npt
import pytest

from irt_service.diagnostics.item_fit import pv_q1, residual_fit, s_x2
from irt_service.diagnostics.local_dependence import q3
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.reference_cases import FOLDER, reference_of, responses_of

pytestmark = pytest.mark.mirt

Floats = npt.NDArray[np.float64]
NO_MIRT = 3

SCRIPT = """
if (!suppressWarnings(suppressMessages(require(mirt, quietly = TRUE)))) quit(status = 3)
arguments <- commandArgs(TRUE)
data <- read.csv(arguments[1])
pars <- read.csv(arguments[2])
values <- mirt(data, 1, '2PL', pars = 'values')
for (name in c('a1', 'd')) {
    known <- pars[pars$par == name, ]
    values$value[values$name == name] <- known$est[match(colnames(data), known$item)]
}
model <- mirt(data, 1, '2PL', pars = values, TOL = NaN, quadpts = 61, verbose = FALSE)
theta <- fscores(model, quadpts = 61)
set.seed(1)
stats <- if (anyNA(data)) c('infit', 'PV_Q1') else c('infit', 'S_X2')
fit <- itemfit(model, stats, Theta = theta, pv_draws = 10)
write.csv(fit, row.names = FALSE)
cat('\\n')
write.csv(residuals(model, type = 'Q3', Theta = theta, verbose = FALSE), row.names = FALSE)
"""


def mirt_says(case: str, file: str, model: str) -> tuple[dict[str, Floats], Floats]:
    """Columns of itemfit, and the matrix of Q3."""
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("R is not installed")
    done = subprocess.run(
        [
            program,
            "-e",
            SCRIPT,
            str(FOLDER / case / file),
            str(FOLDER / case / f"{model}.items_slopeint.csv"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_MIRT:
        pytest.skip("the R package mirt is not installed")
    assert done.returncode == 0, done.stderr
    fit, pairs = done.stdout.strip().split("\n\n")
    rows = list(csv.DictReader(io.StringIO(fit)))
    columns = {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key != "item"}
    return columns, np.loadtxt(io.StringIO(pairs), delimiter=",", skiprows=1)


def bank_and_theta(
    responses: ResponseMatrix, case: str, model: str
) -> tuple[tuple[Floats, Floats, Floats], Floats]:
    items = tuple(responses.item_ids)
    found = reference_of(case, model)
    bank = found.estimates("a", items), found.estimates("b", items), np.zeros(len(items))
    return bank, eap(*bank, responses.indptr, responses.items, responses.correct)[0]


def test_complete_forms_agree_with_mirt() -> None:
    responses = responses_of("anchored", "formA_responses.csv")
    expected, pairs = mirt_says("anchored", "formA_responses.csv", "formA_2PL")
    bank, theta = bank_and_theta(responses, "anchored", "formA_2PL")
    squares, scores = residual_fit(responses, *bank, theta), s_x2(responses, *bank)
    assert squares.infit == pytest.approx(expected["infit"], abs=1e-5)
    assert squares.outfit == pytest.approx(expected["outfit"], abs=1e-5)
    assert scores.statistic == pytest.approx(expected["S_X2"], abs=1e-3)
    assert scores.df.tolist() == expected["df.S_X2"].tolist()
    assert scores.p == pytest.approx(expected["p.S_X2"], abs=1e-4)
    found = q3(responses, *bank, theta)
    assert found.q3 == pytest.approx(pairs[found.item_1, found.item_2], abs=1e-5)


@pytest.mark.drill
def test_incomplete_responses_agree_with_mirt() -> None:
    """PV-Q1 rests on random draws: within their spread, over 60 items."""
    responses = responses_of("sparse2PL")
    expected, pairs = mirt_says("sparse2PL", "responses.csv", "2PL")
    bank, theta = bank_and_theta(responses, "sparse2PL", "2PL")
    squares = residual_fit(responses, *bank, theta)
    assert squares.infit == pytest.approx(expected["infit"], abs=1e-5)
    assert squares.z_infit == pytest.approx(expected["z.infit"], abs=1e-4)
    assert squares.outfit == pytest.approx(expected["outfit"], abs=1e-5)
    plausible = pv_q1(responses, *bank, seed=1, draws=30)
    difference = plausible.statistic - expected["PV_Q1"]
    assert difference.mean() == pytest.approx(0.0, abs=0.8)
    assert difference.std() < 3.0
    assert plausible.df.tolist() == expected["df.PV_Q1"].tolist()
    found = q3(responses, *bank, theta)
    assert found.q3 == pytest.approx(pairs[found.item_1, found.item_2], abs=1e-5)
