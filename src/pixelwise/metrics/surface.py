"""How far the outlines of truth and prediction lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.kernels.distances import check_spacing
from pixelwise.kernels.types import Labels
from pixelwise.metrics import figures
from pixelwise.metrics.pictures import Rule, pictures_of

__all__ = ["SurfaceDistances", "SurfaceScores"]


@dataclass(frozen=True, eq=False)
class SurfaceScores:
    """Distances between surfaces in the unit of the spacing; NaN without a picture that has one.

    Attributes:
        hausdorff_95: mean over pictures of the 95th percentile, per class, float64 `[C]`.
        mean_hausdorff_95: mean over the classes that are not NaN.
        average_distance: mean over pictures of the average symmetric distance, float64 `[C]`.
        mean_average_distance: mean over the classes that are not NaN.
        pictures: int64 `[C]`, with the class in truth and prediction: those of the means.
        one_sided: int64 `[C]`, pictures with the class in only one of both. They have no distance,
            and are in no mean: read the distances beside this number.
    """

    hausdorff_95: NDArray[np.float64]
    mean_hausdorff_95: float
    average_distance: NDArray[np.float64]
    mean_average_distance: float
    pictures: NDArray[np.int64]
    one_sided: NDArray[np.int64]


class SurfaceDistances:
    """Hausdorff distance at 95 % and average symmetric surface distance, a mean over pictures.

    The surface of a class is its pixels with a neighbour above, below, left or right that is not of
    the class; outside the picture nothing is. From each surface pixel of one map the Euclidean
    distance to the nearest of the other is taken, exactly. In a picture,

    - the average symmetric surface distance is the mean over the pixels of both surfaces, as in
      Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT datasets"
      (IEEE TMI 28, 2009), section IV-B, and in MONAI;
    - the Hausdorff distance at 95 % is the greater of both directions' 95th percentiles (linear
      between two distances), as in MONAI; MedPy takes one percentile of both together.

    What is ignored in the truth is not counted and is as outside the picture, in both maps.

    Args:
        classes: the ids counted are 0 … classes - 1.
        ignore_index: truth of this id is not counted; None counts everything.

    Attributes:
        rule: what is counted.

    Raises:
        UsageError: an argument is outside its range.
    """

    def __init__(self, classes: int, *, ignore_index: int | None = None) -> None:
        self.rule = Rule(classes, ignore_index)
        # Exact, so that sums do not depend on the order of the pictures.
        self._sums = [[Fraction(0)] * classes for _ in range(2)]
        self._pictures = np.zeros((2, classes), np.int64)

    def update(
        self, truth: Any, prediction: Any, *, spacing: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        """Adds one picture `[H, W]` or a batch `[N, H, W]`.

        Args:
            truth: integer class ids, a NumPy array or a PyTorch tensor; tensors of a device are
                copied to the CPU.
            prediction: ids of the same shape.
            spacing: height and width of a pixel, in the unit that the distances shall have.

        Raises:
            ArrayError: shapes differ or are others, or an id lies outside the classes.
            UsageError: a spacing is not a finite number above 0.
        """
        spacing = check_spacing(spacing)
        for pair in pictures_of(truth, prediction, self.rule):
            found = _picture_sums(*pair, self.rule.classes, spacing)
            for sums, values in zip(self._sums, found[:2].tolist(), strict=True):
                sums[:] = [
                    total + Fraction(value) for total, value in zip(sums, values, strict=True)
                ]
            self._pictures += found[2:].astype(np.int64)

    def merge(self, other: SurfaceDistances) -> None:
        """Adds the sums of another; ArrayError if it counts by another rule."""
        self.rule.require_same(other.rule)
        for sums, more in zip(self._sums, other._sums, strict=True):
            sums[:] = [total + value for total, value in zip(sums, more, strict=True)]
        self._pictures += other._pictures

    @property
    def class_counts(self) -> NDArray[np.float64]:
        """float64 `[4, C]`: what adds up over pictures.

        The sum of average distances, the sum of 95th percentiles, how many pictures have the class
        in truth and prediction, and how many in only one of both.
        """
        sums = [[float(total) for total in row] for row in self._sums]
        return np.concatenate([np.array(sums), self._pictures.astype(np.float64)])

    def compute(self) -> SurfaceScores:
        """The distances of everything counted so far."""
        sums = self.class_counts
        hausdorff, average = figures.hausdorff_95(sums), figures.average_distance(sums)
        return SurfaceScores(
            hausdorff_95=hausdorff,
            mean_hausdorff_95=float(figures.mean_of_defined(hausdorff)),
            average_distance=average,
            mean_average_distance=float(figures.mean_of_defined(average)),
            pictures=self._pictures[0].copy(),
            one_sided=self._pictures[1].copy(),
        )


def _picture_sums(
    truth: Labels, prediction: Labels, classes: int, spacing: tuple[float, float]
) -> NDArray[np.float64]:
    """`SurfaceDistances.class_counts` of one picture."""
    true, found = (kernels.contour_points(labels, classes) for labels in (truth, prediction))
    sums = np.zeros((4, classes))
    sums[2] = (true.counts > 0) & (found.counts > 0)
    sums[3] = (true.counts > 0) ^ (found.counts > 0)
    there, back = (
        np.split(kernels.contour_distances(*pair, spacing=spacing), np.cumsum(pair[0].counts)[:-1])
        for pair in ((true, found), (found, true))
    )
    for id_ in np.flatnonzero(sums[2]).tolist():
        sums[0, id_] = np.concatenate([there[id_], back[id_]]).mean()
        sums[1, id_] = max(np.percentile(there[id_], 95), np.percentile(back[id_], 95))
    return sums
