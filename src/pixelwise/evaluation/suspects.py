"""Labels that a model doubts: where it is sure, and sure of another class than the truth says.

A model that did not learn from these labels finds errors in them: of regions that it surely takes
for another class, many are wrong in the truth (Lad and Mueller, "Estimating label quality and
errors in semantic segmentation data via any model", 2023, rank whole pictures so). Regions are
ranked by the pixels that the model would win: the sum over the region of the probability of the
class that it sees less that of the class in the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.error_kinds import beside_own_class
from pixelwise.geometry import Window
from pixelwise.kernels import label_regions

__all__ = ["Suspect", "suspect_regions"]

_SMALLEST = 16
_SURE = 0.8
_MOST_ASKED = 12


@dataclass(frozen=True)
class Suspect:
    """A region whose label is in doubt.

    Attributes:
        truth: channel that the truth gives it.
        found: channel that the model sees.
        area: pixels.
        box: `(x1, y1, x2, y2)`; x2 and y2 lie just outside.
        sure: mean probability of the class seen, 0 … 1.
        left: mean probability of the class in the truth, 0 … 1.
    """

    truth: int
    found: int
    area: int
    box: tuple[int, int, int, int]
    sure: float
    left: float

    @property
    def doubt(self) -> float:
        """Pixels that the model would win."""
        return self.area * (self.sure - self.left)


def suspect_regions(
    truth: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    confidence: NDArray[np.float32],
    probability_of: Callable[[int, Window], NDArray[np.float32]],
    *,
    classes: int,
    width: int,
    count: int,
) -> tuple[Suspect, ...]:
    """The regions in doubt of one picture, the most doubtful first.

    Regions that lie near a border of the truth as a whole are left out: there labels are a matter
    of taste.

    Args:
        truth: uint16 `[H, W]`: channels, or 65,535 where nothing counts.
        labels: uint16 `[H, W]`: channels.
        confidence: float32 `[H, W]`: probability of the class predicted.
        probability_of: of a channel in a window, float32 `[h, w]`.
        classes: C; predictions of no class of the truth make no suspect.
        width: how near to a border is too near, in pixels.
        count: at most so many.
    """
    counted = truth != IGNORED
    wrong = counted & (labels < classes) & (truth != labels)
    if not wrong.any():
        return ()
    core = wrong & ~beside_own_class(truth, labels, wrong, width)
    # Truth and prediction are both constant in a region: each pair has a number of its own.
    pairs, numbers = np.unique(
        truth[wrong].astype(np.int64) * classes + labels[wrong], return_inverse=True
    )
    if not core.any() or len(pairs) >= IGNORED:
        return ()
    shown = np.full(truth.shape, IGNORED, np.uint16)
    shown[wrong] = numbers
    regions = label_regions(shown)
    deep = np.bincount(regions.components[core], minlength=len(regions.area)) > 0
    sure = np.bincount(regions.components.ravel(), confidence.ravel(), len(regions.area))
    mean = sure / regions.area
    asked = np.flatnonzero(deep & (regions.area >= _SMALLEST) & (mean >= _SURE))
    asked = asked[np.argsort(-sure[asked], kind="stable")][:_MOST_ASKED]
    found = []
    for region in asked.tolist():
        own, other = divmod(int(pairs[regions.label[region]]), classes)
        x1, y1, x2, y2 = map(int, regions.box[region])
        members = regions.components[y1:y2, x1:x2] == region
        left = float(probability_of(own, Window(x1, y1, x2, y2))[members].mean())
        area = int(regions.area[region])
        found.append(Suspect(own, other, area, (x1, y1, x2, y2), float(mean[region]), left))
    found.sort(key=lambda suspect: -suspect.doubt)
    return tuple(found[:count])
