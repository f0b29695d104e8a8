"""Work in threads, answers in order, and never more than so much ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def in_order(
    work: Callable[[_Item], _Answer], items: Iterable[_Item], *, workers: int, ahead: int
) -> Generator[_Answer, None, None]:
    """`map(work, items)` with several threads.

    Items are taken in the calling thread, at most `ahead` before the answer that is due; 0
    workers do the work there too, one item at a time. What `work` raises is raised where its
    answer is due. However the caller stops, work under way is finished, none begins, and the
    threads are gone.
    """
    if workers == 0:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pixelwise")
    waiting: deque[Future[_Answer]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
