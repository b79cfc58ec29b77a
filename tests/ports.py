"""Ports for servers that tests start."""

import random
import socket

# Below those that the system gives to clients, one of which could take a port between its choice
# and the start of its server; above those of SeaweedFS (tests/report_runner/seaweed.py).
_FIRST, _LAST = 30_000, 32_767


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    while True:
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
