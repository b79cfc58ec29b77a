"""Sending finished reports to the store while the next ones are being made."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache

from report_runner.records import Artifact
from report_runner.store import Store

_WAITING_PER_UPLOAD = 2


class Uploads:
    """The uploads of one chunk; what has arrived is known for certain."""

    def __init__(self, store: Store) -> None:
        """Send to `store`, as many at once as it says is fastest."""
        self.store = store
        self.pool = _pool(store.uploads_at_once) if store.uploads_at_once > 1 else None
        self.present: list[Artifact] = []
        self.pending: dict[Future[None], Artifact] = {}

    def add(self, artifact: Artifact, document: bytes) -> None:
        """Send one report; a failure is raised here or at the end."""
        if self.pool is None:
            self.store.put(artifact.object_key, document)
            self.present.append(artifact)
            return
        future = self.pool.submit(self.store.put, artifact.object_key, document)
        self.pending[future] = artifact
        if len(self.pending) >= _WAITING_PER_UPLOAD * self.store.uploads_at_once:
            self._collect(list(self.pending)[: self.store.uploads_at_once])

    @contextmanager
    def finished(self) -> Iterator[list[Artifact]]:
        """Wait for all uploads; give what is in the store, then raise what went wrong."""
        failures = []
        for future, artifact in self.pending.items():
            error = future.exception()
            if error is None:
                self.present.append(artifact)
            else:
                failures.append(error)
        self.pending.clear()
        yield self.present
        if failures:
            raise failures[0]

    def _collect(self, futures: list[Future[None]]) -> None:
        wait(futures)
        failed = [future for future in futures if future.exception() is not None]
        for future in futures:
            if future not in failed:
                self.present.append(self.pending.pop(future))
        for future in failed:
            future.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    # One per process: threads and their connections outlive a chunk.
    return ThreadPoolExecutor(threads, thread_name_prefix="upload")
