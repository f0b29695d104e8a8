"""How well boundaries agree: 1 - the F1 score of soft boundaries.

Bokhovkin, Burnaev, "Boundary loss for remote sensing imagery semantic segmentation", ISNN 2019
(arXiv 1905.07852), equations 3 to 6. It is taken rather than the integral over distance maps of
Kervadec et al. (MIDL 2019, arXiv 1812.07032): it lies in 0…1 whatever the size of the picture, is
0 for a perfect prediction, needs no schedule, and needs no distance transform, which would cost
more than the network and has no form that runs alike on every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pixelwise.losses.regions import ClassScores

__all__ = ["Boundary"]

# One pixel more that is right, on both sides of both ratios: they stay defined, and not steep,
# where a class has no boundary, in the truth or in the prediction.
_ONE_PIXEL = 1.0

_ROWS, _COLUMNS = 0, 1


@dataclass(frozen=True)
class Boundary:
    """1 - 2·P·R / (P + R), P and R the share of boundary pixels that have a counterpart nearby.

    A boundary pixel is one of the class with another class among its 8 neighbours; for
    probabilities, by how much the least of the 9 falls short of its own. The picture's edge is no
    boundary, and neither is the edge of what is unknown. It tells where classes end, not on which
    side they are: it belongs beside another loss.

    Attributes:
        tolerance: pixels, along rows and columns, that a counterpart may be away; whole, 1 to 64.
    """

    tolerance: float = 2

    def evaluate(
        self, scores: ClassScores, *, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `RegionLoss`."""
        distance = int(self.tolerance)
        known = None if scores.unknown is None else (~scores.unknown).to(scores.probability.dtype)
        truth = _Border(scores.truth.to(scores.probability.dtype), known).values
        near_truth = _largest(_largest(truth, _COLUMNS, distance), _ROWS, distance)
        border = _Border(scores.probability, known)
        nearest, places = _largest_near(border.values, truth.nonzero(), distance)
        predicted, pixels = border.values.sum() + _ONE_PIXEL, len(places) + _ONE_PIXEL
        precision = ((border.values * near_truth).sum() + _ONE_PIXEL) / predicted
        recall = (nearest.sum() + _ONE_PIXEL) / pixels
        whole = precision + recall
        # Not 1 - 2·P·R / (P + R), which would lose the last digits of small losses.
        loss = (precision * (1 - recall) + recall * (1 - precision)) / whole
        if not with_gradient:
            return loss, None
        by_precision, by_recall = -2 * (recall / whole) ** 2, -2 * (precision / whole) ** 2
        slope = (near_truth - precision) * (by_precision / predicted)
        slope.view(-1).index_add_(0, places, (by_recall / pixels).expand(len(places)))
        return loss, border.backward(slope)


class _Border:
    """How much of each pixel's class ends there; 0 where it is unknown.

    Attributes:
        values: float `[H, W]`.
    """

    def __init__(self, inside: torch.Tensor, known: torch.Tensor | None) -> None:
        self._known = known
        self._outside = 1 - inside if known is None else (1 - inside) * known
        self._along = _largest(self._outside, _COLUMNS, 1)
        self._around = _largest(self._along, _ROWS, 1)
        self.values = self._around - self._outside
        if known is not None:
            self.values *= known

    def backward(self, slope: torch.Tensor) -> torch.Tensor:
        """The gradient by `inside`, given that by `values`."""
        slope = slope if self._known is None else slope * self._known
        along = _back_to_largest(slope, self._along, self._around, _ROWS)
        by_outside = _back_to_largest(along, self._outside, self._along, _COLUMNS) - slope
        return -by_outside if self._known is None else -by_outside * self._known


def _largest(values: torch.Tensor, axis: int, distance: int) -> torch.Tensor:
    """The largest value at most so far away along an axis."""
    last = values.shape[axis] - 1
    for _ in range(distance if last else 0):
        largest = values.clone()
        for here, there in ((0, 1), (1, 0)):
            part = largest.narrow(axis, here, last)
            torch.maximum(part, values.narrow(axis, there, last), out=part)
        values = largest
    return values


def _back_to_largest(
    slope: torch.Tensor, values: torch.Tensor, largest: torch.Tensor, axis: int
) -> torch.Tensor:
    """Hands the slope of each largest of three to the value it came from, the middle one first."""
    last = values.shape[axis] - 1
    back = slope * (values == largest)
    left = slope - back
    for here, there in ((0, 1), (1, 0)) if last else ():
        source, goal = largest.narrow(axis, here, last), values.narrow(axis, there, last)
        taken = left.narrow(axis, here, last) * (source == goal)
        back.narrow(axis, there, last).add_(taken)
        left.narrow(axis, here, last).sub_(taken)
    return back


def _largest_near(
    values: torch.Tensor, pixels: torch.Tensor, distance: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest value in a square around each of some pixels, and its place.

    Args:
        values: float `[H, W]`.
        pixels: int64 `[N, 2]`: rows and columns.
        distance: of the square's sides from its middle.

    Returns:
        float `[N]`, and int64 `[N]`: places in the flattened values.
    """
    height, width = values.shape
    steps = torch.arange(-distance, distance + 1, device=values.device)
    along = _largest(values, _COLUMNS, distance)
    rows = (pixels[:, :1] + steps).clamp_(0, height - 1)
    best = along[rows, pixels[:, 1:]].argmax(1, keepdim=True)
    row = rows.gather(1, best)
    columns = (pixels[:, 1:] + steps).clamp_(0, width - 1)
    largest, best = values[row, columns].max(1, keepdim=True)
    return largest[:, 0], (row * width + columns.gather(1, best))[:, 0]
