"""The process in which R runs: one calibration by the R package mirt, then it ends.

Started by irt_service.engines.mirt as `python -m irt_service.engines.mirt_process`. The job comes
on stdin (eight bytes of length, then an .npz without pickles); stdin stays open, and its end means
that the parent is gone. On stdout go JSON lines: progress, then either a result or a failure.
Nothing of R or rpy2 is imported anywhere else.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.errors import CalibrationError, EngineUnavailableError, IrtServiceError

LENGTH_BYTES = 8
FAILED = 1
MISSING = np.iinfo(np.int32).min  # R's NA_integer_
SCRIPT = Path(__file__).with_name("mirt_bank.R")
INSTALL_MIRT = "install it in R with install.packages('mirt'), or use --engine native"
INSTALL_R = "install R with its shared library (Debian: apt install r-base-dev)"
INSTALL_RPY2 = "pip install --editable '.[mirt]' in the checkout, or use --engine native"

# mirt writes "Iteration: 12, Log-Lik: -123.456, Max-Change: 0.01234" over and over on one line.
_CYCLE = re.compile(r"Iteration: (\d+), Log-Lik: (\S+), Max-Change: (\d+\.\d+)")

Say = Callable[[Mapping[str, Any]], None]


def main() -> int:
    """Read a job, run it, say what came of it; returns the exit code."""
    # Whatever R or C code prints must not end up between the JSON lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(line: Mapping[str, Any]) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    job = _read_job()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        say({"result": _run(job, say)})
    except IrtServiceError as error:
        say(
            {
                "failure": [error.what, error.where, error.remedy],
                "is_unavailable": isinstance(error, EngineUnavailableError),
            }
        )
        return FAILED
    return 0


def _read_job() -> dict[str, npt.NDArray[Any]]:
    length = int.from_bytes(_read_exactly(LENGTH_BYTES), "little")
    with np.load(io.BytesIO(_read_exactly(length)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_exactly(count: int) -> bytes:
    content = sys.stdin.buffer.read(count)
    if len(content) < count:
        os._exit(FAILED)
    return content


def _end_with_parent() -> None:
    """Leave as soon as the parent's end of stdin is closed, however it went."""
    while os.read(0, 1):
        pass
    os._exit(FAILED)


def _run(job: Mapping[str, npt.NDArray[Any]], say: Say) -> dict[str, Any]:
    interface = _start_r(_report_cycles(say))
    versions = _versions(interface)
    say({"versions": versions})
    interface.evalr(SCRIPT.read_text(encoding="utf-8"))
    calibrate: Any = interface.globalenv["calibrate_bank"]
    try:
        answer = calibrate(**_arguments(interface, job))
    except interface.embedded.RRuntimeError as error:
        raise CalibrationError(
            "R mirt stopped with an error",
            " ".join(str(error).split()),
            "correct what it names, or use --engine native",
        ) from error
    found = {name: list(values) for name, values in zip(answer.names, answer, strict=True)}
    single = ("log_likelihood", "is_converged", "is_positive_definite")
    return found | {name: found[name][0] for name in single}


def _start_r(write: Callable[[str], None]) -> Any:
    """rpy2's lowest interface with R running below it and mirt loaded.

    Raises:
        EngineUnavailableError: rpy2, R or mirt is missing or cannot be loaded.
    """
    try:
        situation = importlib.import_module("rpy2.situation")
    except ImportError as error:
        raise EngineUnavailableError(
            "the mirt engine needs the Python package rpy2", str(error), INSTALL_RPY2
        ) from error
    home = situation.get_r_home()
    if not home or not Path(home, "library", "base").is_dir():
        where = f"R_HOME={home}" if home else "no R on PATH"
        raise EngineUnavailableError(
            "the mirt engine needs R", where, f"{INSTALL_R}, or use --engine native"
        )
    try:
        interface: Any = importlib.import_module("rpy2.rinterface")
        callbacks: Any = importlib.import_module("rpy2.rinterface_lib.callbacks")
        # The user's .Rprofile and saved workspace have no say in a calibration.
        options = ("rpy2", "--quiet", "--no-save", "--no-restore", "--no-init-file")
        interface.embedded.set_initoptions(options)
        callbacks.consolewrite_print = write
        callbacks.consolewrite_warnerror = sys.stderr.write
        callbacks.consoleread = lambda _: "\n"
        # mirt reports its cycles to people only.
        interface.initr(interactive=True)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise EngineUnavailableError(
            "rpy2 cannot load R", f"{home}: {error}", f"{INSTALL_R}, or use --engine native"
        ) from error
    try:
        interface.evalr("suppressPackageStartupMessages(loadNamespace('mirt'))")
    except interface.embedded.RRuntimeError as error:
        raise EngineUnavailableError(
            "the mirt engine needs the R package mirt", " ".join(str(error).split()), INSTALL_MIRT
        ) from error
    return interface


def _versions(interface: Any) -> dict[str, str]:
    return {
        "mirt": str(interface.evalr("as.character(packageVersion('mirt'))")[0]),
        "R": str(interface.evalr("as.character(getRversion())")[0]),
        "rpy2": version("rpy2"),
    }


def _report_cycles(say: Say) -> Callable[[str], None]:
    """A console for R that passes cycles on and drops the rest."""
    rest = ""

    def write(text: str) -> None:
        nonlocal rest
        rest += text
        end = 0
        for cycle in _CYCLE.finditer(rest):
            end = cycle.end()
            with contextlib.suppress(ValueError):
                say({"cycle": [float(cycle[2]), float(cycle[3])]})
        rest = rest[end:][-200:]

    return write


def _arguments(interface: Any, job: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The job as R's vectors; R wants the table of responses dense."""
    arguments = {
        name: _vector(interface, values)
        for name, values in job.items()
        if name not in {"indptr", "items", "correct"}
    }
    table = np.full((int(job["n_items"][0]), len(job["indptr"]) - 1), MISSING, np.int32)
    persons = np.repeat(np.arange(table.shape[1]), np.diff(job["indptr"]))
    table[job["items"], persons] = job["correct"]
    flat = table.reshape(-1)
    return arguments | {"responses": interface.IntSexpVector.from_memoryview(flat.data)}


def _vector(interface: Any, values: npt.NDArray[Any]) -> Any:
    kinds = {
        "b": interface.BoolSexpVector,
        "i": interface.IntSexpVector,
        "f": interface.FloatSexpVector,
        "U": interface.StrSexpVector,
    }
    return kinds[values.dtype.kind](values.reshape(-1, order="F").tolist())


if __name__ == "__main__":
    sys.exit(main())
