"""Progress on stderr, for whatever takes more than a second."""

import sys
import time
from typing import TextIO

FIRST_AFTER_SECONDS = 1.0
ON_TERMINAL_EVERY_SECONDS = 0.2
IN_LOG_EVERY_SECONDS = 5.0


class Progress:
    """Counts towards an end that may be unknown; silent for the first second."""

    def __init__(self, label: str, unit: str, stream: TextIO | None = None) -> None:
        """Start the clock."""
        self._label, self._unit = label, unit
        self._stream = stream if stream is not None else sys.stderr
        self._begin = time.monotonic()
        self._next = self._begin + FIRST_AFTER_SECONDS
        self._is_line_open = False

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    def at(self, count: int) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        is_terminal = self._stream.isatty()
        self._next = now + (ON_TERMINAL_EVERY_SECONDS if is_terminal else IN_LOG_EVERY_SECONDS)
        rate = count / (now - self._begin)
        text = f"{self._label}: {count:,} {self._unit}, {rate:,.0f} {self._unit}/s"
        self._stream.write(f"\r{text}\x1b[K" if is_terminal else f"{text}\n")
        self._stream.flush()
        self._is_line_open = is_terminal

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._is_line_open:
            self._stream.write("\n")
            self._stream.flush()
            self._is_line_open = False
