"""Sums of pictures drawn anew, for intervals and for comparisons of the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DRAWS", "SURE", "drawn_sums", "span", "unit_sums"]

DRAWS = 1000
SURE = 0.95
_DRAWN_AT_ONCE = 50
_SEED = 0


def unit_sums(counts: NDArray[Any], units: NDArray[np.integer[Any]] | None) -> NDArray[np.float64]:
    """Counts of pictures `[N, ...]` added up by unit, float64 `[U, ...]`.

    Args:
        counts: of each picture; exact up to 2^53.
        units: the number of each picture's unit, 0 and up; None where each is its own.
    """
    if units is None:
        return counts.astype(np.float64)
    sums = np.zeros((int(units.max(initial=-1)) + 1, *counts.shape[1:]), np.float64)
    np.add.at(sums, units, counts)
    return sums


def drawn_sums(units: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Sums of U units drawn with replacement, `DRAWS` times, in blocks `[D, ...]`.

    The seed is fixed: the same number of units gives the same draws, whatever is counted.
    """
    generator = np.random.default_rng(_SEED)
    flat = units.reshape(len(units), -1)
    for _ in range(DRAWS // _DRAWN_AT_ONCE):
        drawn = generator.integers(0, len(units), (_DRAWN_AT_ONCE, len(units)))
        times = np.stack([np.bincount(row, minlength=len(units)) for row in drawn])
        yield (times.astype(np.float64) @ flat).reshape(_DRAWN_AT_ONCE, *units.shape[1:])


def span(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between what 95 of 100 values `[D, ...]` lie, low and high `[...]`; NaN where none is known.

    Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    tail = (1 - SURE) / 2
    flat = values.reshape(len(values), -1)
    low, high = np.full(flat.shape[1], np.nan), np.full(flat.shape[1], np.nan)
    known = ~np.isnan(flat)
    for place in np.flatnonzero(known.any(axis=0)):
        low[place], high[place] = np.quantile(flat[known[:, place], place], (tail, 1 - tail))
    return low.reshape(values.shape[1:]), high.reshape(values.shape[1:])
