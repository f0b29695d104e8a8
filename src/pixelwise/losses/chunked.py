"""The loss of interpolated scores in plain torch, on any device, a few picture rows at a time.

The sum and its gradient are worked out together, chunk by chunk, so that only one chunk of
`[B, C, rows, W]` is ever there. Nothing is added atomically: the same input gives the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pixelwise.kernels import Axis, LossRule

__all__ = ["chunked_loss"]

_CHUNKS = 16
"""What is made of a chunk takes about five times its memory; the plain way takes three of all."""


def chunked_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    corners: bool,
    rule: LossRule,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the loss and its gradient.

    Args:
        logits: float32 or float64 `[B, C, h, w]`; all is worked out in their type.
        target: whole numbers `[B, H, W]`.
        corners: do the outermost scores lie on the outermost pixels (`align_corners=True`)?
        rule: what a pixel costs.
        with_gradient: is the gradient wanted too?

    Returns:
        Scalar, and `[B, C, h, w]`, empty if it is not wanted; both of the type of the logits.

    Raises:
        ArrayError: the target has ids outside the rows of the rule.
    """
    _check_ids(target, rule)
    height, width = target.shape[1:]
    rows = _Blend(height, logits.shape[2], corners, logits)
    columns = _Blend(width, logits.shape[3], corners, logits)
    price = _Price(rule, logits)
    total = logits.new_zeros(())
    gradient = torch.zeros_like(logits) if with_gradient else logits.new_empty(0)
    step = -(-height // _CHUNKS)
    for first in range(0, height, step):
        last = min(first + step, height)
        scores = functional.interpolate(
            rows.blended(logits, first, last),
            (last - first, width),
            mode="bilinear",
            align_corners=corners,
        )
        slope, loss = price.slope(scores, target[:, first:last].long())
        total += loss
        if with_gradient:
            sources = rows.sources(first, last)
            back = rows.matrix[first:last, sources].T @ slope @ columns.matrix
            gradient[:, :, sources] += back
    return total, gradient


def _check_ids(target: torch.Tensor, rule: LossRule) -> None:
    ids = target.long()
    outside = (ids < 0) | (ids >= rule.rows)
    outside &= ids != rule.ignore_index
    if outside.any():
        rule.refuse(ids[outside].cpu().numpy())


class _Blend:
    """One side: every pixel as a blend of two neighbouring scores.

    `matrix` [pixels, scores] has their parts.
    """

    def __init__(self, size: int, source: int, corners: bool, like: torch.Tensor) -> None:
        axis = (Axis.corners if corners else Axis.half_pixel)(size, source)
        positions = axis.positions(source)
        low = positions.astype(np.int64)
        high = np.minimum(low + 1, source - 1)
        pixels = np.arange(size)
        matrix = np.zeros((size, source))
        matrix[pixels, high] = positions - low
        matrix[pixels, low] += 1 - (positions - low)
        self.matrix = torch.from_numpy(matrix).to(like.device, like.dtype)
        self._ends = low, high
        self._low = torch.from_numpy(low).to(like.device)
        self._high = torch.from_numpy(high).to(like.device)
        self._weight = torch.from_numpy(positions - low).to(like.device, like.dtype)

    def sources(self, first: int, last: int) -> slice:
        """The scores that the pixels first <= p < last are made of."""
        low, high = self._ends
        return slice(int(low[first]), int(high[last - 1]) + 1)

    def blended(self, scores: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """The rows first <= p < last of scores `[B, C, h, w]`."""
        low = scores.index_select(2, self._low[first:last])
        high = scores.index_select(2, self._high[first:last])
        return low.lerp_(high, self._weight[first:last, None])


class _Price:
    """The tables of a rule on a device."""

    def __init__(self, rule: LossRule, like: torch.Tensor) -> None:
        def tensor(values: npt.NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(values).to(like.device)

        self._rule = rule
        self._weights = tensor(rule.weights).to(like.dtype)
        self._row_weights = tensor(rule.row_weights).to(like.dtype)
        # Empty without unions: then the truth is one class, which is less work.
        classes = np.eye(rule.classes if len(rule.unions) else 0, rule.classes, dtype=np.bool_)
        self._candidates = tensor(np.concatenate([classes, rule.unions]))

    def slope(self, scores: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The derivative of the loss by every score, and the loss of all pixels.

        Args:
            scores: `[B, C, rows, W]`.
            ids: int64 `[B, rows, W]`.
        """
        rule = self._rule
        counted = ids != rule.ignore_index
        ids = ids.where(counted, 0)
        weight = self._row_weights[ids]
        counted &= weight >= 0
        log_share = scores.log_softmax(1)
        surprise, slope = self._unweighted(log_share, ids)
        weight = weight * (1 - rule.label_smoothing)
        loss, factor = weight * surprise, weight
        if rule.focal_gamma:
            doubt = -torch.expm1(-surprise)
            power = doubt**rule.focal_gamma
            ratio = torch.where(doubt > 0, surprise / doubt, 1)
            loss = loss * power
            factor = weight * power * (1 + rule.focal_gamma * (1 - doubt) * ratio)
        slope.mul_(factor.unsqueeze(1))
        if rule.label_smoothing:
            each = rule.label_smoothing / rule.classes * self._weights.view(-1, 1, 1)
            loss = loss - (each * log_share).sum(1)
            slope += each.sum() * log_share.exp() - each
        slope.masked_fill_(~counted.unsqueeze(1), 0)
        return slope, loss.where(counted, 0).sum()

    def _unweighted(
        self, log_share: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """-ln p of the truth, and its derivative by every score."""
        if not len(self._candidates):
            truth = ids.unsqueeze(1)
            surprise = -log_share.gather(1, truth)
            slope = log_share.exp().scatter_(1, truth, torch.expm1(-surprise))
            return surprise.squeeze(1), slope
        is_truth = self._candidates[ids].movedim(-1, 1)
        inside = log_share.masked_fill(~is_truth, -torch.inf)
        surprise = -inside.logsumexp(1, keepdim=True).clamp_max(0)
        within = (inside + surprise).exp_().mul_(torch.expm1(-surprise))
        return surprise.squeeze(1), torch.where(is_truth, within, log_share.exp())
