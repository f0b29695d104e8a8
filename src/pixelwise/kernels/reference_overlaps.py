"""The NumPy twin of `count_overlaps`: see `pixelwise.kernels.reference`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["count_overlaps"]


def count_overlaps(
    labels: Sequence[npt.NDArray[Any]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """See `pixelwise.kernels.count_overlaps`; here in the order of the answer."""
    flat = [image.ravel() for image in labels]
    changes = np.zeros(flat[0].size, np.bool_)
    changes[0] = True
    for image in flat:
        changes[1:] |= image[1:] != image[:-1]
    starts = np.flatnonzero(changes)
    lengths = np.diff(starts, append=flat[0].size)
    runs = np.stack([image[starts].astype(np.int64) for image in flat], axis=1)
    order = np.lexsort(runs.T[::-1])
    runs = runs[order]
    firsts = np.flatnonzero(np.append(True, (runs[1:] != runs[:-1]).any(axis=1)))
    return runs[firsts], np.add.reduceat(lengths[order], firsts)
