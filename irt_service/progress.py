"""Shows on stderr how far a calibration or a replay is."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TextIO

from irt_service.engines.base import Progress

_EVERY_SECONDS = 1.0  # between lines where there is no terminal
_EVERY_SECONDS_ON_TERMINAL = 0.1
_LOOKS_BACK = 6  # cycles from which the pace of convergence is taken


@dataclass
class Screen:
    """One line that is rewritten on a terminal, or a line a second elsewhere."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _last: float = 0.0
    _is_open: bool = False

    def show(self, text: str, *, is_last: bool = False) -> None:
        """Show a state; most states in between are skipped."""
        now = time.monotonic()
        is_terminal = self.stream.isatty()
        pause = _EVERY_SECONDS_ON_TERMINAL if is_terminal else _EVERY_SECONDS
        if not is_last and now - self._last < pause:
            return
        self._last = now
        self.stream.write(f"\r{text}\x1b[K" if is_terminal else f"{text}\n")
        self._is_open = is_terminal
        if is_last:
            self.close()
        self.stream.flush()

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self.close()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._is_open:
            self.stream.write("\n")
            self._is_open = False


@dataclass
class FitProgress:
    """Iteration, log-likelihood, change and time left of an EM."""

    screen: Screen
    tolerance: float
    _seen: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_LOOKS_BACK))

    def __call__(self, progress: Progress) -> None:
        """Hear of a cycle."""
        if self._seen and progress.seconds < self._seen[-1][0]:
            self._seen.clear()
        self._seen.append((progress.seconds, progress.largest_change))
        left = self._seconds_left()
        self.screen.show(
            f"  iteration {progress.iteration}  log-likelihood {progress.log_likelihood:,.2f}  "
            f"change {progress.largest_change:.1e}  {progress.seconds:.1f} s"
            + ("" if left is None else f", about {left:.0f} s left"),
            is_last=progress.largest_change < self.tolerance,
        )

    def _seconds_left(self) -> float | None:
        """Extrapolates the geometric decline of the last changes."""
        first, last = self._seen[0], self._seen[-1]
        if last[1] <= self.tolerance or first[1] <= last[1] or not math.isfinite(first[1]):
            return None
        pace = math.log(first[1] / last[1]) / max(last[0] - first[0], 1e-6)
        return math.log(last[1] / self.tolerance) / pace


@dataclass
class ReplayProgress:
    """Parts of a replay."""

    screen: Screen
    _started: float = field(default_factory=time.monotonic)

    def __call__(self, done: int, total: int | None) -> None:
        """Hear of a finished part."""
        seconds = time.monotonic() - self._started
        if total is None:
            self.screen.show(f"  {done} parts scored  {seconds:.1f} s")
            return
        left = seconds / done * (total - done) if done else 0.0
        self.screen.show(
            f"  scored {done} of {total} parts  {seconds:.1f} s"
            + (f", about {left:.0f} s left" if done < total else ""),
            is_last=done == total,
        )
