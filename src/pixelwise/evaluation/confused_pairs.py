"""Which classes are taken for which, and where one sees it best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConfusedPair", "PairExamples", "most_confused"]


@dataclass(frozen=True)
class ConfusedPair:
    """A class that is taken for another.

    Attributes:
        truth: channel.
        found: channel that was predicted; C: no class of the truth.
        pixels: how many are.
        share: of the pixels of the true class, 0 … 1.
    """

    truth: int
    found: int
    pixels: int
    share: float


def most_confused(confusion: NDArray[np.int64], count: int) -> tuple[ConfusedPair, ...]:
    """The pairs with the most wrong pixels, the most first; a tie by channels.

    Args:
        confusion: int64 `[C, C + 1]` by truth and prediction.
        count: at most so many.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    totals = confusion.sum(1)
    pairs = []
    for place in order.tolist():
        truth, found = divmod(place, confusion.shape[1])
        pixels = int(wrong[truth, found])
        if pixels:
            pairs.append(ConfusedPair(truth, found, pixels, pixels / int(totals[truth])))
    return tuple(pairs)


class PairExamples:
    """For each pair the picture that has the most of it.

    Args:
        classes: C.
    """

    def __init__(self, classes: int) -> None:
        self._most = np.zeros((classes, classes + 1), np.int64)
        self._place = np.full((classes, classes + 1), -1, np.int64)

    def take(self, place: int, confusion: NDArray[np.int64]) -> None:
        """Looks at the confusion `[C, C + 1]` of one more picture."""
        more = confusion > self._most
        self._most[more] = confusion[more]
        self._place[more] = place

    def place(self, pair: ConfusedPair) -> int:
        """Of the picture with the most pixels of the pair; -1 where none has any."""
        return int(self._place[pair.truth, pair.found])
