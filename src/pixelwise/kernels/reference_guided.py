"""The NumPy twin of the guided filter: see `pixelwise.kernels.guided_filter`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Floats

__all__ = ["box_sums", "guided_filter"]

_Doubles = npt.NDArray[np.float64]


def box_sums(values: _Doubles, radius: int) -> _Doubles:
    """Sums over square windows of [H, W, ...], which end at the edge."""
    for axis in (0, 1):
        size = values.shape[axis]
        before = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
        places = np.arange(size)
        values = before.take(np.minimum(places + radius + 1, size), axis) - before.take(
            np.maximum(places - radius, 0), axis
        )
    return values


def guided_filter(
    values: Floats,
    guide: Floats,
    radius: int,
    smoothing: float,
    keep: npt.NDArray[np.bool_],
) -> Floats:
    """See `pixelwise.kernels.guided_filter`."""
    colour = guide.astype(np.float64)
    kept = keep.astype(np.float64)
    counts = box_sums(kept, radius)
    share = np.where(counts > 0.5, 1 / np.maximum(counts, 1), 0)
    mean = box_sums(colour * kept[..., None], radius) * share[..., None]
    products = colour[..., :, None] * colour[..., None, :] * kept[..., None, None]
    covariance = box_sums(products, radius) * share[..., None, None]
    covariance -= mean[..., :, None] * mean[..., None, :]
    covariance += smoothing * np.eye(guide.shape[2])
    out = values.copy()
    for place, of_class in enumerate(values.astype(np.float64)):
        value = box_sums(of_class * kept, radius) * share
        both = box_sums(colour * (of_class * kept)[..., None], radius) * share[..., None]
        slope = np.linalg.solve(covariance, (both - mean * value[..., None])[..., None])[..., 0]
        offset = value - (slope * mean).sum(-1)
        slope = box_sums(slope * kept[..., None], radius) * share[..., None]
        offset = box_sums(offset * kept, radius) * share
        out[place][keep] = ((slope * colour).sum(-1) + offset)[keep]
    return out
