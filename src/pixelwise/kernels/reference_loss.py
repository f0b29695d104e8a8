"""The NumPy twin of the loss kernel, in float64: what the tests hold the compiled one to.

It takes over where no compiler was there at install. Arguments are checked before, in
`pixelwise.kernels.upsampled_loss`. Bands of picture rows keep what is in between small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.axis import Axis
from pixelwise.kernels.loss_rule import LossRule
from pixelwise.kernels.types import Floats

__all__ = ["upsampled_loss"]

_Doubles = npt.NDArray[np.float64]

_BAND_VALUES = 1 << 20
"""Scores at the full width that are worked on at a time."""


def upsampled_loss(
    logits: Floats, target: npt.NDArray[Any], rows: Axis, columns: Axis, rule: LossRule
) -> tuple[float, Floats]:
    """See `pixelwise.kernels.upsampled_loss_sum` and `upsampled_loss_gradient`."""
    height, width = logits.shape[2:]
    step = max(1, _BAND_VALUES // (rule.classes * columns.size))
    total = 0.0
    gradient = np.empty_like(logits)  # in their memory order
    for image, ids in enumerate(target):
        wide = _spread(logits[image].astype(np.float64), columns)  # [C, h, W]
        wide_gradient = np.zeros_like(wide)
        for first in range(0, rows.size, step):
            band = rows.window(first, min(first + step, rows.size))
            scores = _spread(wide.swapaxes(1, 2), band).swapaxes(1, 2)
            loss, slope = _pixels(scores, ids[first : first + step], rule)
            total += loss
            wide_gradient += _gather(slope.swapaxes(1, 2), band, height).swapaxes(1, 2)
        gradient[image] = _gather(wide_gradient, columns, width)
    return total, gradient


def _parts(axis: Axis, source: int) -> tuple[tuple[npt.NDArray[np.int32], _Doubles], ...]:
    """The two scores that every pixel is made of, and their weights."""
    index, weight = axis.table(source)
    share = weight.astype(np.float64)
    return (index, 1 - share), (np.minimum(index + 1, source - 1), share)


def _spread(scores: _Doubles, axis: Axis) -> _Doubles:
    """[..., scores] to [..., pixels]."""
    low, high = (scores[..., index] * weight for index, weight in _parts(axis, scores.shape[-1]))
    return low + high


def _gather(slope: _Doubles, axis: Axis, source: int) -> _Doubles:
    """[..., pixels] back to [..., scores], what is not a number only to where it belongs."""
    total = np.zeros((*slope.shape[:-1], source))
    for index, weight in _parts(axis, source):
        scores, starts = np.unique(index, return_index=True)
        total[..., scores] += np.add.reduceat(slope * weight, starts, axis=-1)
    return total


def _pixels(
    scores: _Doubles, ids: npt.NDArray[Any], rule: LossRule
) -> tuple[float, npt.NDArray[np.float64]]:
    """The loss of pixels [H, W], and its derivative by their scores [C, H, W]."""
    derivative = np.zeros_like(scores)
    counted = np.isin(ids, np.flatnonzero(rule.row_weights >= 0)) & (ids != rule.ignore_index)
    if not counted.any():
        return 0.0, derivative
    values, truth = scores[:, counted], ids[counted].astype(np.int64)  # [C, n], [n]
    values[:, ~np.isfinite(values).all(axis=0)] = np.nan
    candidates = np.concatenate([np.eye(rule.classes, dtype=np.bool_), rule.unions])[truth].T
    largest = values.max(axis=0)
    e = np.exp(values - largest)
    log_sum = np.log(e.sum(axis=0)) + largest
    inside = np.where(candidates, values, -np.inf)
    largest = inside.max(axis=0)
    inside = np.exp(inside - largest)
    surprise = log_sum - largest - np.log(inside.sum(axis=0))  # -ln p
    share = e / e.sum(axis=0)
    doubt = np.where(candidates, 0.0, share).sum(axis=0)  # 1 - p
    weight = rule.row_weights[truth].astype(np.float64) * (1 - rule.label_smoothing)
    factor, loss = weight, weight * surprise
    if rule.focal_gamma:
        power = doubt**rule.focal_gamma
        ratio = np.divide(surprise, doubt, out=np.ones_like(doubt), where=doubt > 0)
        loss = loss * power
        factor = weight * power * (1 + rule.focal_gamma * (1 - doubt) * ratio)
    inside = inside / inside.sum(axis=0)
    slope = factor * np.where(candidates, -doubt * inside, share)
    if rule.label_smoothing:
        weights = rule.weights.astype(np.float64)[:, None]
        each = rule.label_smoothing / rule.classes
        loss = loss + each * (weights * (log_sum - values)).sum(axis=0)
        slope += each * (weights.sum() * share - weights)
    derivative[:, counted] = slope
    return float(loss.sum()), derivative
