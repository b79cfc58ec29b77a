"""What a figure was measured on: the machine, and the memory that a server takes."""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path
from types import TracebackType

_MEBIBYTE = 1024 * 1024
_INTERVAL_SECONDS = 0.25


def describe_machine() -> str:
    """Return processor, cores, memory and system in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GB memory, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


class ServerUse:
    """Watches a server's processes: the memory and the processor time that they take.

    `peak_megabytes` is the most memory that they held, what they share once; `cpu_seconds` what
    they computed, which says more than a wall clock when others use the machine too. Linux
    only; elsewhere both stay 0.
    """

    def __init__(self, pid: int) -> None:
        """Take the pid of the server's first process."""
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_megabytes = 0.0
        self.cpu_seconds = 0.0

    def __enter__(self) -> ServerUse:
        """Start to watch."""
        self._cpu_before = cpu_seconds(self._pid)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to watch."""
        self._stopped.set()
        self._thread.join()
        self.cpu_seconds = cpu_seconds(self._pid) - self._cpu_before

    def _watch(self) -> None:
        while not self._stopped.is_set():
            used = _memory([self._pid, *children_of(self._pid)]) / _MEBIBYTE
            self.peak_megabytes = max(self.peak_megabytes, used)
            time.sleep(_INTERVAL_SECONDS)


def cpu_seconds(pid: int) -> float:
    """Return what a process, its children and those of them that have ended have computed."""
    # Of the first process: its own and that of children who have ended.
    ticks = sum(_cpu_ticks(pid)) + sum(sum(_cpu_ticks(child)[:2]) for child in children_of(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu_ticks(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0] * 4
    # The name in parentheses may hold anything. utime, stime, cutime and cstime.
    return [int(field) for field in text.rpartition(")")[2].split()[11:15]]


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children; Linux only, elsewhere none."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _memory(pids: list[int]) -> int:
    """Return the processes' memory in bytes: of each its own, and what they share once.

    From counters that the kernel keeps. Its exact shares (`smaps_rollup`) walk all pages and
    stop the process meanwhile: a fifth of a core, taken from what is measured.
    """
    used = [_resident(pid) for pid in pids]
    return sum(own for own, _ in used) + max((shared for _, shared in used), default=0)


def _resident(pid: int) -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        # It has ended meanwhile.
        return 0, 0
    sizes = {
        name: int(value.split()[0]) * 1024
        for name, _, value in (line.partition(":") for line in lines)
        if name in ("RssAnon", "RssFile", "RssShmem")
    }
    own = sizes.pop("RssAnon", 0)
    return own, sum(sizes.values())
