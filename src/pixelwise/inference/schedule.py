"""Which pictures a worker takes next, so that none idles while others have much to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from pixelwise.inference.job_list import Job

__all__ = ["Schedule"]

_WINDOW = 65536
_MOST_PICTURES = 16
_MOST_BYTES = 32 << 20
_MOST_ATTEMPTS = 3
# A worker never takes more than this part of its share of what is left.
_PARTS = 4


class Schedule:
    """Jobs dealt to workers in blocks, as list scheduling does.

    Largest first: then what is left at the end is small, and all workers end nearly together
    (Graham, Bounds on multiprocessing timing anomalies, 1969: at most 4/3 of the best length).
    Blocks save messages; they shrink towards the end, and large pictures are a block each. Only
    65,536 jobs are looked at together, so that a list of millions stays packed.

    Args:
        jobs: gone through once.
        total: how many there are.
    """

    def __init__(self, jobs: Iterable[Job], total: int) -> None:
        self._coming = iter(jobs)
        self._unseen = total
        self._window: deque[Job] = deque()
        self._again: deque[list[Job]] = deque()
        self._deaths: dict[str, int] = {}

    def __len__(self) -> int:
        """Jobs that no worker has now and none has done."""
        return self._unseen + len(self._window) + sum(map(len, self._again))

    def take(self, workers: int) -> list[Job]:
        """The next block for one of so many workers; empty when nothing is left."""
        if self._again:
            return self._again.popleft()
        if not self._window:
            self._look_ahead()
        most = min(_MOST_PICTURES, max(1, len(self) // (_PARTS * max(1, workers))))
        block: list[Job] = []
        size = 0
        while self._window and len(block) < most:
            if block and size + self._window[0].size > _MOST_BYTES:
                break
            size += self._window[0].size
            block.append(self._window.popleft())
        return block

    def give_back(self, block: Sequence[Job]) -> None:
        """A block that was not begun."""
        self._again.append(list(block))

    def begun(self, block: Sequence[Job]) -> list[Job]:
        """A block at which its worker died: its jobs come again, one by one.

        Returns:
            Those at which, each alone, so many workers have died that they are given up.
        """
        given_up = []
        for job in block:
            key = str(job.source)
            self._deaths[key] = self._deaths.get(key, 0) + (len(block) == 1)
            if self._deaths[key] >= _MOST_ATTEMPTS:
                given_up.append(job)
            else:
                self._again.append([job])
        return given_up

    def rest(self) -> Iterable[Job]:
        """All that is left, taken out."""
        while len(self):
            yield from self.take(1)

    def _look_ahead(self) -> None:
        window = []
        for job in self._coming:
            window.append(job)
            if len(window) == _WINDOW:
                break
        self._unseen = self._unseen - len(window) if window else 0
        self._window = deque(sorted(window, key=lambda job: -job.size))
