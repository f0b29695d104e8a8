"""Groups dealt to splits so that each split has its share of every class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["stratify"]

_LEAST_GAIN = 1e-9
_MOST_MOVES = 2000
_MOST_SWAPPED = 600
_WORK = 4e9


def stratify(
    samples: NDArray[np.int64],
    pixels: NDArray[np.int64],
    pictures: NDArray[np.int64],
    *,
    fractions: NDArray[np.float64],
    seed: int,
) -> NDArray[np.int64]:
    """The split of each group.

    Groups are dealt one by one, those with the rarest class first, each to the split that misses
    most of what the group has (after Sechidis, Tsoumakas, Vlahavas, "On the stratification of
    multi-label data", ECML PKDD 2011; here of whole groups, by pixels and by pictures of each
    class, and by samples). Then single groups are moved, and pairs swapped, as long as that brings
    the splits nearer to their shares: to a lower sum over splits and shares of
    (share - fraction)² / fraction, in which samples weigh as much as all classes together.

    Args:
        samples: int64 `[G]`, samples of each group.
        pixels: int64 `[G, C]`, pixels of each class.
        pictures: int64 `[G, C]`, samples that have the class.
        fractions: `[S]`, what each split should get of everything; they sum to 1.
        seed: decides between groups that fit as well.

    Returns:
        int64 `[G]`, 0 … S - 1. Each split has a group if there are as many groups.
    """
    dealing = _Dealing(_shares(samples, pixels, pictures), fractions)
    dealing.deal(_order(samples, pictures, seed))
    dealing.fill_empty()
    dealing.refine()
    return dealing.split_of


def _shares(
    samples: NDArray[np.int64], pixels: NDArray[np.int64], pictures: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Each group's share of all samples, and of the pixels and pictures of each class, weighted.

    Weights are taken as roots, as shares are squared.
    """
    there = pictures.sum(axis=0) > 0
    columns = [pixels[:, there], pictures[:, there]]
    parts = [column / np.maximum(column.sum(axis=0), 1) for column in columns]
    weight = max(1, 2 * int(there.sum())) ** 0.5
    return np.concatenate([samples[:, None] / max(1, samples.sum()) * weight, *parts], axis=1)


def _order(samples: NDArray[np.int64], pictures: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Groups with the rarest class first, of those the largest, of those by chance."""
    owners = (pictures > 0).sum(axis=0)
    rarest = np.where(pictures > 0, owners, len(samples) + 1).min(axis=1, initial=len(samples) + 1)
    chance = np.random.default_rng(seed).permutation(len(samples))
    return np.lexsort((chance, -samples, rarest))


class _Dealing:
    """Which split has which groups, and what each split still misses."""

    def __init__(self, shares: NDArray[np.float64], fractions: NDArray[np.float64]) -> None:
        self._shares = shares  # [G, F]
        self._squares = (shares**2).sum(axis=1)  # [G]
        self._missing = fractions[:, None] * shares.sum(axis=0)  # [S, F]
        self._costs = 1 / fractions  # [S]
        self._held = np.zeros(len(fractions), np.int64)
        self.split_of = np.full(len(shares), -1, np.int64)

    def deal(self, order: NDArray[np.intp]) -> None:
        for group in order:
            gains = self._missing @ self._shares[group]
            self._put(int(group), _lowest(self._costs * (self._squares[group] - 2 * gains)))

    def fill_empty(self) -> None:
        """Gives each empty split the group that costs least, while there are groups to spare."""
        for split in np.flatnonzero(self._held == 0):
            costs = self._costs_of_moves()[:, split]
            costs[self._held[self.split_of] < 2] = np.inf
            if np.isfinite(costs).any():
                self._put(_lowest(costs), int(split))

    def refine(self) -> None:
        groups, features = self._shares.shape
        moves = int(min(_MOST_MOVES, max(20, _WORK / max(1, groups * features * len(self._held)))))
        for _ in range(moves):
            if not self._move() and not self._swap():
                return

    def _put(self, group: int, split: int) -> None:
        before = self.split_of[group]
        if before >= 0:
            self._missing[before] += self._shares[group]
            self._held[before] -= 1
        self._missing[split] -= self._shares[group]
        self._held[split] += 1
        self.split_of[group] = split

    def _costs_of_moves(self) -> NDArray[np.float64]:
        """What changes if a group goes to a split, `[G, S]`."""
        gains = 2 * self._shares @ self._missing.T
        square = self._squares[:, None]
        own = np.arange(len(gains)), self.split_of
        leaving = self._costs[self.split_of] * (gains[own] + self._squares)
        costs: NDArray[np.float64] = leaving[:, None] + self._costs * (square - gains)
        costs[own] = 0
        return costs

    def _move(self) -> bool:
        costs = self._costs_of_moves()
        costs[self._held[self.split_of] < 2] = np.inf
        best = _lowest(costs)
        group, split = divmod(best, costs.shape[1])
        if not costs.flat[best] < -_LEAST_GAIN:
            return False
        self._put(group, split)
        return True

    def _swap(self) -> bool:
        if len(self._shares) > _MOST_SWAPPED:
            return False
        costs = self._costs_of_moves()
        there = costs[:, self.split_of]  # [G, G]: what it costs to go to the other's split.
        both = self._costs[self.split_of]
        products = self._shares @ self._shares.T
        together = there + there.T - 2 * products * (both[:, None] + both)
        together[self.split_of[:, None] == self.split_of] = np.inf
        best = _lowest(together)
        first, second = divmod(best, len(together))
        if not together.flat[best] < -_LEAST_GAIN:
            return False
        splits = int(self.split_of[first]), int(self.split_of[second])
        self._put(first, splits[1])
        self._put(second, splits[0])
        return True


def _lowest(costs: NDArray[np.float64]) -> int:
    """The place of the lowest cost; rounded, so that every machine decides ties alike."""
    return int(np.round(costs, 9).argmin())
