"""How many requests of 50 answers the HTTP service scores per second, and how fast each.

    python -m benchmarks.service [--processes 1] [--seconds 15] [--requests 100000]

Starts the service without a database, since /irt/score needs none, and asks from the same machine:

- throughput: wrk (`apt-get install wrk`) keeps 16 connections busy, in both shapes of request;
- latency: requests leave at a steady 300 a second, whether or not earlier ones are answered, and
  count from the moment they were due;
- memory: resident memory of all processes after a warm-up and after `--requests` more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.machine import describe_machine

ITEMS = 50
CONNECTIONS = 16
RATE = 300
TOKEN = "a-token-of-this-benchmark"  # noqa: S105 - nothing is behind it
TARGETS = {"throughput": ">= 600/s", "p99 at 300/s": "<= 25 ms", "memory": "flat"}
_WARM_UP = 2000


def body(shape: str) -> bytes:
    """A request of 50 answers."""
    generator = np.random.default_rng(1)
    parameters = [
        {"a": round(a, 4), "b": round(b, 4), "c": 0.0}
        for a, b in generator.uniform([0.5, -1.5], [2.0, 1.5], (ITEMS, 2)).tolist()
    ]
    grades = generator.integers(0, 2, ITEMS).tolist()
    if shape == "rows":
        return json.dumps({"item_params": parameters, "responses": [grades]}).encode()
    names = [f"question_{number}" for number in range(ITEMS)]
    return json.dumps(
        {
            "item_params": dict(zip(names, parameters, strict=True)),
            "responses": [
                {"item_id": name, "is_correct": bool(grade)}
                for name, grade in zip(names, grades, strict=True)
            ],
        }
    ).encode()


@contextmanager
def service(processes: int, log: Path) -> Iterator[tuple[int, int]]:
    """The service in processes of its own: its port and the pid of the first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own service
            [sys.executable, "-m", "irt_service", "serve", "--port", str(port),
             "--processes", str(processes)],
            env={**os.environ, "DATABASE_URL": nowhere, "R_IRT_INTERNAL_TOKEN": TOKEN},
            stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx.TransportError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.2)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wrk(port: int, content: bytes, folder: Path, seconds: int) -> tuple[float, int]:
    """Answers per second and how many were no success."""
    script = folder / "request.lua"
    (folder / "body.json").write_bytes(content)
    script.write_text(
        f'local file = io.open("{folder / "body.json"}", "rb")\n'
        'wrk.method = "POST"\n'
        'wrk.body = file:read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {TOKEN}"\n'
    )
    command = shutil.which("wrk")
    if command is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    done = subprocess.run(  # noqa: S603 - wrk with our own script
        [command, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script),
         f"http://127.0.0.1:{port}/irt/score"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    if rate is None:
        raise SystemExit(done.stdout)
    return float(rate[1]), int(failed[1]) if failed else 0


async def _ask(
    streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    request: bytes,
    due: float,
    taken: list[float],
) -> None:
    reader, writer = await streams.get()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise SystemExit(head.decode())
    await reader.readexactly(int(length[1]))
    taken.append(time.perf_counter() - due)
    streams.put_nowait((reader, writer))


async def paced(port: int, content: bytes, rate: int, count: int) -> list[float]:
    """Seconds from the moment each request was due to its answer."""
    request = (
        f"POST /irt/score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content
    streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        streams.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    taken: list[float] = []
    tasks: list[asyncio.Task[None]] = []
    begun = time.perf_counter()
    for number in range(count):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(streams, request, due, taken)))
    await asyncio.gather(*tasks)
    return taken


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and its children."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,rss="],  # noqa: S607 - wherever ps lies
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [[int(part) for part in line.split()] for line in listed.stdout.splitlines()]
    return sum(rss for one, parent, rss in rows if pid in {one, parent}) / 1024


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args(arguments)
    _print(describe_machine())
    _print(f"{options.processes} processes of the service, generator on the same machine\n")
    _print(f"{'measure':<34}{'found':>16}   target")
    with (
        tempfile.TemporaryDirectory() as name,
        service(options.processes, Path(name) / "log") as (port, pid),
    ):
        folder = Path(name)
        asyncio.run(paced(port, body("keyed"), 2 * RATE, _WARM_UP))
        asked = 0.0
        before = resident_megabytes(pid)
        for shape in ("keyed", "rows"):
            rates = []
            for _ in range(options.rounds):
                rate, failed = wrk(port, body(shape), folder, options.seconds)
                if failed:
                    raise SystemExit(f"{failed} requests failed")
                rates.append(rate)
                asked += rate * options.seconds
            found = f"{statistics.median(rates):,.0f}/s"
            _print(f"{f'throughput, {shape}':<34}{found:>16}   {TARGETS['throughput']}")
        taken = asyncio.run(paced(port, body("keyed"), RATE, RATE * options.seconds))
        asked += len(taken)
        p50, p99 = np.percentile(np.array(taken) * 1000, [50, 99])
        _print(f"{'p50 at 300/s':<34}{f'{p50:.1f} ms':>16}")
        _print(f"{'p99 at 300/s':<34}{f'{p99:.1f} ms':>16}   {TARGETS['p99 at 300/s']}")
        while asked < options.requests:
            rate, _ = wrk(port, body("keyed"), folder, options.seconds)
            asked += rate * options.seconds
        after = resident_megabytes(pid)
        _print(f"{'memory after the warm-up':<34}{f'{before:.0f} MB':>16}")
        _print(
            f"{f'memory after {asked:,.0f} more':<34}{f'{after:.0f} MB':>16}   {TARGETS['memory']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
