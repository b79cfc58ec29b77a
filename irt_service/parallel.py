"""Fixed blocks on a thread pool: the result never depends on the number of threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

BlockTask = Callable[[int, int, int], None]
RunBlocks = Callable[[BlockTask, "list[tuple[int, int]]"], None]


def thread_count(threads: int) -> int:
    """The number asked for, or with 0 every core this process may use."""
    return threads if threads > 0 else len(os.sched_getaffinity(0))


def even_blocks(size: int, count: int) -> list[tuple[int, int]]:
    """`count` half-open ranges that cover 0:size and differ by at most one in length."""
    edges = [size * k // count for k in range(count + 1)]
    return list(itertools.pairwise(edges))


@contextmanager
def block_runner(threads: int) -> Iterator[RunBlocks]:
    """Give a function that runs task(number, start, stop) for every block and waits."""
    workers = thread_count(threads)
    if workers == 1:

        def run_here(task: BlockTask, blocks: list[tuple[int, int]]) -> None:
            for number, (start, stop) in enumerate(blocks):
                task(number, start, stop)

        yield run_here
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="irt") as pool:

        def run_pooled(task: BlockTask, blocks: list[tuple[int, int]]) -> None:
            if len(blocks) == 1:
                task(0, *blocks[0])
                return
            numbered = [(number, *block) for number, block in enumerate(blocks)]
            for _ in pool.map(lambda arguments: task(*arguments), numbered):
                pass

        yield run_pooled
