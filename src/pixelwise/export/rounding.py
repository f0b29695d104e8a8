"""Weights to whole numbers so that a layer's answers change least, rather than its weights.

Rounded to the nearest, the weights of a filter that finds edges no longer add up to nought, and
every even surface shines through. Here the weights are rounded one after the other, and what one
loses the others make good, as far as the inputs go together: optimal brain quantisation in the form
of GPTQ (Frantar et al., ICLR 2023, algorithm 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_WEIGHT", "rounded", "weight_scales"]

LARGEST_WEIGHT = 127
_SHRINKS = np.linspace(1.0, 0.75, 11)
_SMALLEST_SCALE = 1e-12
# Of the mean of the moments' diagonal, added to it: inputs that never vary say nothing.
_DAMPING = 0.01


def weight_scales(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step of each output channel of least squared error, among some that clip.

    Args:
        rows: weights `[O, N]`.

    Returns:
        `[O]`, above 0.
    """
    wide = rows.astype(np.float64)
    widest = np.abs(wide).max(axis=1, initial=0)
    best = np.maximum(widest / LARGEST_WEIGHT, _SMALLEST_SCALE)
    least = np.full(len(rows), np.inf)
    for shrink in _SHRINKS:
        scale = np.maximum(shrink * widest / LARGEST_WEIGHT, _SMALLEST_SCALE)
        error = ((_whole(wide, scale[:, None]) * scale[:, None] - wide) ** 2).sum(axis=1)
        best = np.where(error < least, scale, best)
        least = np.minimum(error, least)
    steps: NDArray[np.float32] = best.astype(np.float32)
    return steps


def rounded(
    rows: NDArray[np.float32],
    scales: NDArray[np.float32],
    moments: NDArray[np.float64] | None = None,
) -> NDArray[np.int8]:
    """The weights in steps of their channel, -127 … 127.

    Args:
        rows: weights `[O, N]`.
        scales: steps `[O]`.
        moments: mean products of the inputs `[G, N, N]`, of each group of O / G channels; None
            rounds to the nearest.
    """
    wide = rows.astype(np.float64)
    if moments is None:
        return _whole(wide, scales[:, None].astype(np.float64)).astype(np.int8)
    groups, size = moments.shape[:2]
    left = wide.reshape(groups, -1, size).copy()
    steps = scales.astype(np.float64).reshape(groups, -1)
    diagonal = np.einsum("gii->gi", moments)
    # The inputs of most weight first: their errors are the ones worth making good.
    order = np.argsort(-diagonal, axis=1, kind="stable")
    left = np.take_along_axis(left, order[:, None, :], axis=2)
    factor = _factor(moments, order, diagonal.mean(axis=1))
    whole = np.empty_like(left)
    for at in range(size):
        whole[:, :, at] = _whole(left[:, :, at], steps)
        error = (left[:, :, at] - whole[:, :, at] * steps) / factor[:, at, at, None]
        left[:, :, at:] -= error[:, :, None] * factor[:, None, at, at:]
    back = np.argsort(order, axis=1, kind="stable")
    return np.take_along_axis(whole, back[:, None, :], axis=2).reshape(rows.shape).astype(np.int8)


def _factor(
    moments: NDArray[np.float64], order: NDArray[np.intp], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The upper Cholesky factor of the inverse of the damped moments, in that order."""
    sorted_ = np.take_along_axis(moments, order[:, :, None], axis=1)
    sorted_ = np.take_along_axis(sorted_, order[:, None, :], axis=2)
    damping = _DAMPING * np.where(mean > 0, mean, 1.0)
    damped = sorted_ + damping[:, None, None] * np.eye(moments.shape[1])
    lower: NDArray[np.float64] = np.linalg.cholesky(np.linalg.inv(damped))
    return lower.transpose(0, 2, 1)


def _whole(values: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.rint(values / steps), -LARGEST_WEIGHT, LARGEST_WEIGHT)
