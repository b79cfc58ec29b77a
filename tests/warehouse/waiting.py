"""Waits for a state, never for a time."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def wait_until(condition: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Return once the condition holds; fail when it does not in a long time."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {patience_seconds:.0f} s"
        time.sleep(0.02)
