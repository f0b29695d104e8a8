"""The NumPy twin of `measure_regions`: see `pixelwise.kernels.reference`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Floats

__all__ = ["measure_regions"]

_STEP_OF_SUM = {5: 0, 7: 0, 15: 0, 17: 0, 25: 0, 27: 0, 21: 1, 33: 1, 13: 2, 23: 2}


def measure_regions(
    components: npt.NDArray[np.int32],
    values: Floats,
    box: npt.NDArray[np.int32],
    moments: npt.NDArray[np.float64],
    steps: npt.NDArray[np.int64],
    total: npt.NDArray[np.float64],
) -> bool:
    """Fills moments, steps and total: see src/native/region_measures.hpp."""
    count = len(box)
    region = components.reshape(-1)
    y, x = np.divmod(np.arange(region.size), components.shape[1])
    x, y = x - box[region, 0], y - box[region, 1]
    for place, product in enumerate((x * x, x * y, y * y)):
        moments[:, place] = np.bincount(region, product, count)
    total[:] = np.bincount(region, values.reshape(-1), count)
    padded = np.pad(components, 1, constant_values=-1)
    centre = padded[1:-1, 1:-1]
    inside = np.ones(components.shape, np.bool_)
    for down, right in ((0, 1), (1, 0), (1, 2), (2, 1)):
        inside &= _shifted(padded, down, right) == centre
    borders = np.pad(np.where(inside, -1, components), 1, constant_values=-1)
    sums = np.zeros(components.shape, np.int64)
    for down, right in np.ndindex(3, 3):
        weight = 1 if down == right == 1 else 2 if 1 in (down, right) else 10
        sums += weight * (_shifted(borders, down, right) == components)
    for code, step in _STEP_OF_SUM.items():
        found = components[(sums == code) & ~inside]
        steps[:, step] += np.bincount(found, minlength=count)
    return True


def _shifted(padded: npt.NDArray[np.int32], down: int, right: int) -> npt.NDArray[np.int32]:
    return padded[down : down + padded.shape[0] - 2, right : right + padded.shape[1] - 2]
