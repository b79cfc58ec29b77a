"""The bulk run: chunks of students over one or several processes, with progress."""

import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TextIO

from sqlalchemy import Engine

from report_runner.places import Place
from report_runner.records import ItemBank
from report_runner.store import Store, open_store
from report_runner.weekly import Outcome, WeeklyJob, write_chunk
from warehouse.database import create_engine

# Reads are in bulk, and the last chunks keep every process busy.
CHUNK_MOST, CHUNK_LEAST, CHUNKS_PER_PROCESS = 500, 50, 8
# A further process pays for its start from about this many students on.
STUDENTS_PER_PROCESS, STUDENTS_PER_PROCESS_WITH_PDF = 1500, 300
_WATCH_SECONDS = 0.5
_QUEUED_PER_PROCESS = 2
_TERMINAL_EVERY_SECONDS, _LOG_EVERY_SECONDS = 0.2, 5.0


def run_weekly(
    engine: Engine,
    place: Place,
    job: WeeklyJob,
    bank: ItemBank,
    student_ids: Sequence[str],
    *,
    processes: int | None = None,
    progress: Callable[[Outcome, int], None] = lambda _outcome, _done: None,
) -> Outcome:
    """Write the reports of all `student_ids` at `place`; return what became of them."""
    if processes is None:
        each = STUDENTS_PER_PROCESS_WITH_PDF if "pdf" in job.formats else STUDENTS_PER_PROCESS
        useful = math.ceil(len(student_ids) / each)
        processes = max(1, min(os.cpu_count() or 1, useful))
    share = math.ceil(len(student_ids) / (processes * CHUNKS_PER_PROCESS))
    size = min(max(share, CHUNK_LEAST), CHUNK_MOST)
    chunks = [student_ids[start : start + size] for start in range(0, len(student_ids), size)]
    total, done = Outcome(), 0
    for outcome, count in (
        _one_process(engine, place, job, bank, chunks)
        if processes == 1
        else _several_processes(engine, place, job, bank, chunks, processes)
    ):
        total.add(outcome)
        done += count
        progress(total, done)
    return total


def _one_process(
    engine: Engine, place: Place, job: WeeklyJob, bank: ItemBank, chunks: Sequence[Sequence[str]]
) -> Iterator[tuple[Outcome, int]]:
    store = open_store(place)
    # Pooled, as a connection costs as much as some reports.
    own = create_engine(engine.url, pooled=True)
    try:
        for chunk in chunks:
            yield write_chunk(own, store, job, bank, chunk), len(chunk)
    finally:
        own.dispose()


def _several_processes(
    engine: Engine,
    place: Place,
    job: WeeklyJob,
    bank: ItemBank,
    chunks: Sequence[Sequence[str]],
    processes: int,
) -> Iterator[tuple[Outcome, int]]:
    url = engine.url.render_as_string(hide_password=False)
    executor = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(url, place, job, bank, os.getpid()),
    )
    waiting = iter(chunks)
    pending: dict[Future[Outcome], int] = {}
    try:
        while True:
            while len(pending) < processes * _QUEUED_PER_PROCESS:
                chunk = next(waiting, None)
                if chunk is None:
                    break
                pending[executor.submit(_work, chunk)] = len(chunk)
            if not pending:
                return
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result(), pending.pop(future)
    finally:
        executor.shutdown(cancel_futures=True)


_worker: tuple[Engine, Store, WeeklyJob, ItemBank] | None = None


def _begin_worker(url: str, place: Place, job: WeeklyJob, bank: ItemBank, parent: int) -> None:
    global _worker  # noqa: PLW0603  a process's own state, set once before its first chunk
    # Typst's threads would take turns with the other processes.
    os.environ["RAYON_NUM_THREADS"] = "1"
    _worker = (create_engine(url, pooled=True), open_store(place), job, bank)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """Leave as soon as the parent is gone, however it went: its lock is gone too."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _work(student_ids: Sequence[str]) -> Outcome:
    if _worker is None:
        raise RuntimeError("a worker was given work before it began")
    engine, store, job, bank = _worker
    return write_chunk(engine, store, job, bank, student_ids)


class Progress:
    """How far a run is, on stderr: often on a terminal, now and then in a log."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        """Report on `total` students, on stderr unless `stream` is given."""
        self.total, self.stream = total, stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.began = self.last = time.monotonic()

    def __call__(self, outcome: Outcome, done: int) -> None:
        """Say how many students are done, how fast, and how long the rest takes."""
        now = time.monotonic()
        every = _TERMINAL_EVERY_SECONDS if self.is_terminal else _LOG_EVERY_SECONDS
        is_last = done == self.total
        if now - self.last < every and not (is_last and self.is_terminal):
            return
        self.last = now
        rate = done / max(now - self.began, 1e-9)
        failed = f", {len(outcome.failures):,} failed" if outcome.failures else ""
        line = (
            f"reports: {done:,} of {self.total:,} students{failed}, {rate:,.0f}/s, "
            f"{(self.total - done) / rate:,.0f} s left"
        )
        self.stream.write(f"\r{line:<78}" if self.is_terminal else f"{line}\n")
        if is_last and self.is_terminal:
            self.stream.write("\n")
        self.stream.flush()
