"""The NumPy twin of `average_precision`: see `pixelwise.kernels.reference`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["average_precision"]

_WRONG, _RIGHT = 0, 1


def average_precision(
    outcomes: npt.NDArray[np.uint8],
    pictures: npt.NDArray[np.int32],
    times: npt.NDArray[np.int64],
    objects: npt.NDArray[np.int64],
    recalls: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """See `pixelwise.kernels.average_precision`; at the recalls given."""
    right, wrong = outcomes == _RIGHT, outcomes == _WRONG
    made = np.full((len(times), len(outcomes)), np.nan)
    for draw in np.flatnonzero(objects).tolist():
        weights = times[draw, pictures]
        found = (right * weights).cumsum(axis=1)
        counted = found + (wrong * weights).cumsum(axis=1)
        falling = np.zeros((len(outcomes), outcomes.shape[1] + 1))  # 0 beyond the last detection
        np.divide(found, counted, out=falling[:, :-1], where=counted > 0)
        falling = np.maximum.accumulate(falling[:, ::-1], axis=1)[:, ::-1]
        places = [row.searchsorted(recalls) for row in found / float(objects[draw])]
        curves = np.take_along_axis(falling, np.array(places), axis=1)
        # One after the other from the highest recall, as the compiled loop adds them.
        made[draw] = curves[:, ::-1].cumsum(axis=1)[:, -1] / len(recalls)
    return made
