"""Pictures dealt into parts, so that what is chosen on some is judged on others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["folds_of"]

_FOLDS = 5
_SEED = 0


def folds_of(groups: NDArray[np.int64]) -> NDArray[np.intp]:
    """A part for each picture, intp `[N]`: at most 5, groups whole and parts about as large.

    Args:
        groups: int64 `[N]`: a number for each picture, the same for those that belong together.
    """
    names, places = np.unique(groups, return_inverse=True)
    sizes = np.bincount(places)
    order = np.random.default_rng(_SEED).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(min(_FOLDS, len(names)))
    fold_of = np.zeros(len(names), np.intp)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[places]
