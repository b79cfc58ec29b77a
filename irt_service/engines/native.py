"""The native engine: marginal maximum likelihood by accelerated EM on sparse responses.

Bock & Aitkin (1981, Psychometrika 46) EM; where N(0, 1) only identifies the scale, the M-step
also estimates the latent mean and SD and maps them back into the items (parameter expansion,
Liu, Rubin & Wu, 1998, Biometrika 85(4)); Anderson acceleration on top, undone whenever the
likelihood falls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from irt_service.engines.assembly import NO_MAXIMUM, assemble
from irt_service.engines.base import Calibration, CalibrationSettings, Progress
from irt_service.engines.estimation import estimate, timed_report
from irt_service.engines.information import standard_errors
from irt_service.engines.preparation import (
    drop_items,
    prepare,
    require_cycles,
    require_enough,
    require_spread,
)
from irt_service.parallel import block_runner
from irt_service.responses import ResponseMatrix


def _version() -> str:
    try:
        return version("seedtest-analytics")
    except PackageNotFoundError:
        return "unknown"


class NativeEngine:
    """Rasch, 1PL, 2PL and 3PL without R."""

    name = "native"

    def calibrate(
        self,
        responses: ResponseMatrix,
        settings: CalibrationSettings,
        progress: Callable[[Progress], None] | None = None,
    ) -> Calibration:
        """Estimate the item parameters; see Engine.calibrate."""
        started = time.perf_counter()
        problem = prepare(responses, settings)
        report = timed_report(progress)
        path: list[float] = []
        spent = 0
        with block_runner(settings.threads) as run:
            while True:
                found = estimate(problem, settings, run, report, settings.max_iterations - spent)
                path.extend(found.path)
                spent += found.iterations
                if not found.diverging.any():
                    break
                problem = drop_items(problem, found.diverging, NO_MAXIMUM, found.points)
                require_enough(problem, settings)
                require_cycles(problem, settings.max_iterations - spent)
            require_spread(problem, has_collapsed=found.has_collapsed)
            errors = (
                standard_errors(problem, found, settings, run) if settings.standard_errors else None
            )
        seconds = time.perf_counter() - started
        found = replace(found, path=tuple(path), iterations=spent)
        return assemble(problem, found, settings, errors, seconds, (self.name, _version()))
