"""How well borders are met, counted picture by picture: see `pixelwise.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.measures import Figure, Summed
from pixelwise.evaluation.predictions import Judged
from pixelwise.evaluation.spacing import Spacings
from pixelwise.metrics import BoundaryFScore, BoundaryIoU, SurfaceDistances, figures

__all__ = ["Borders", "Distances"]

_BAND_SUMS = 3


@dataclass(frozen=True)
class Borders(Summed):
    """Boundary IoU and the F-score of contours.

    Attributes:
        band: width of the band of boundary IoU as a share of the diagonal.
        tolerance: of the F-score, likewise.
        name, figures: see `Measure`.
    """

    band: float = 0.02
    tolerance: float = 0.0075
    name: str = "borders"
    figures: tuple[Figure, ...] = (
        Figure("mean_boundary_iou", "mean boundary IoU", per_class=False),
        Figure("mean_boundary_f", "mean boundary F", per_class=False),
        Figure("boundary_iou", "boundary IoU", per_class=True),
        Figure("boundary_f", "boundary F", per_class=True),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        return (
            "boundary IoU (Cheng et al. 2021): pixels of a class within "
            f"{100 * self.band:g} % of the diagonal of its border; boundary F (Csurka et al. "
            f"2013): contours within {100 * self.tolerance:g} % of the diagonal; summed over "
            "pictures first"
        )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 `[7, C]`: three sums of `BoundaryIoU`, four of `BoundaryFScore`."""
        # Predictions of no class of the truth are a class more.
        classes = len(confusion) + 1
        band = BoundaryIoU(classes, ignore_index=IGNORED, ratio=self.band)
        contours = BoundaryFScore(classes, ignore_index=IGNORED, ratio=self.tolerance)
        band.update(judged.truth, judged.labels)
        contours.update(judged.truth, judged.labels)
        return np.concatenate([band.class_counts, contours.class_counts])[:, :-1]

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        band = figures.iou(sums[:, :_BAND_SUMS])
        contours = figures.boundary_f_score(sums[:, _BAND_SUMS:])
        return {
            "boundary_iou": band,
            "boundary_f": contours,
            "mean_boundary_iou": figures.mean_of_defined(band),
            "mean_boundary_f": figures.mean_of_defined(contours),
        }


@dataclass(frozen=True)
class Distances(Summed):
    """Hausdorff distance at 95 % and average symmetric surface distance.

    Attributes:
        spacings: how large the pixels are, and so the unit.
        name: see `Measure`.
    """

    spacings: Spacings = field(default_factory=Spacings)
    name: str = "distances"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """See `Measure.figures`."""
        unit = self.spacings.unit
        return (
            Figure("mean_hausdorff_95", "mean HD95", False, unit, higher_is_better=False),
            Figure("mean_average_distance", "mean ASSD", False, unit, higher_is_better=False),
            Figure("hausdorff_95", "HD95", True, unit, higher_is_better=False),
            Figure("average_distance", "ASSD", True, unit, higher_is_better=False),
            Figure("one_sided", "without distance", True, higher_is_better=False),
        )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        return (
            "HD95, ASSD: distances between the outlines of a class, means over the pictures that "
            "have it in truth and prediction; 'without distance' is the share of pictures that "
            f"have it in only one of both, and so in no mean; {self.spacings.told}"
        )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 `[4, C]`: the sums of `SurfaceDistances`.

        Raises:
            PixelwiseError: how large the pixels are cannot be told.
        """
        surfaces = SurfaceDistances(len(confusion) + 1, ignore_index=IGNORED)
        spacing = self.spacings.of(judged.place)
        surfaces.update(judged.truth, judged.labels, spacing=spacing)
        return surfaces.class_counts[:, :-1]

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        hausdorff, average = figures.hausdorff_95(sums), figures.average_distance(sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            one_sided = sums[:, 3] / (sums[:, 2] + sums[:, 3])
        return {
            "hausdorff_95": hausdorff,
            "average_distance": average,
            "one_sided": one_sided,
            "mean_hausdorff_95": figures.mean_of_defined(hausdorff),
            "mean_average_distance": figures.mean_of_defined(average),
        }
