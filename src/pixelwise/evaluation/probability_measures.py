"""What probabilities are worth, counted picture by picture: calibration, and thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.errors import ArrayError
from pixelwise.evaluation.matching import Match
from pixelwise.evaluation.measures import Figure, Summed
from pixelwise.evaluation.predictions import Judged
from pixelwise.evaluation.stored_probabilities import Probabilities
from pixelwise.geometry import Window
from pixelwise.metrics.calibration import Calibration, CalibrationScores
from pixelwise.metrics.thresholds import Thresholds, ThresholdScores
from pixelwise.segmentation import Segmentation

__all__ = ["Calibrations", "Curves", "probabilities_in"]

_BAND_VALUES = 1 << 22


def probabilities_in(
    segmentation: Probabilities, match: Match, window: Window
) -> NDArray[np.float32]:
    """Probabilities of the classes that are judged, float32 `[C, h, w]` of a window.

    Several predicted classes that are one have the sum of theirs. Where predicted classes are of
    no class of the truth there is a row more, for these.
    """
    rows = match.of_prediction[list(segmentation.classes.ids)]
    own = segmentation.probabilities(window)
    count = len(match.classes) + match.leaves
    if np.array_equal(rows, np.arange(count)):
        return own
    summed = np.zeros((count, *own.shape[1:]), np.float32)
    for row, layer in zip(rows.tolist(), own, strict=True):
        summed[row] += layer
    return summed


@dataclass(frozen=True, eq=False)
class Calibrations(Summed):
    """Calibration errors and the Brier score.

    Attributes:
        match: how classes go together.
        name, figures, told: see `Measure`.
    """

    match: Match
    name: str = "calibration"
    figures: tuple[Figure, ...] = (
        Figure("ece", "ECE", per_class=False, higher_is_better=False),
        Figure("classwise_ece", "class-wise ECE", per_class=False, higher_is_better=False),
        Figure("brier", "Brier score", False, "", higher_is_better=False),
        Figure("nll", "negative log-likelihood", False, "", higher_is_better=False),
    )
    told: str = (
        "calibration: over all counted pixels, 15 bins of equal width; Brier score summed over "
        "classes (0 … 2), log-likelihood in nats"
    )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums of `Calibration`."""
        del confusion
        own = self._empty()
        told = _segmentation(judged)
        if isinstance(told, Segmentation):
            own.update_scores(
                told.calibrated_scores,
                told.geometry,
                judged.truth,
                groups=self.match.of_prediction[list(told.classes.ids)],
            )
            return own.counts
        for rows, window in _bands(judged, own.classes):
            own.update(probabilities_in(told, self.match, window), judged.truth[rows])
        return own.counts

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        found = self._empty().values(sums)
        return {figure.key: found[:, place] for place, figure in enumerate(self.figures)}

    def scores(self, counts: NDArray[Any]) -> CalibrationScores:
        """With the reliability diagram, of the counts `[N, K]` of all pictures."""
        own = self._empty()
        own.counts += counts.sum(0)
        return own.compute()

    def _empty(self) -> Calibration:
        return Calibration(len(self.match.classes) + self.match.leaves, ignore_index=IGNORED)


@dataclass(frozen=True, eq=False)
class Curves(Summed):
    """Of two classes: what every threshold of the foreground's probability gives.

    Attributes:
        match: how classes go together.
        foreground: its channel.
        name, figures: see `Measure`.
    """

    match: Match
    foreground: int
    name: str = "thresholds"
    figures: tuple[Figure, ...] = (
        Figure("average_precision", "average precision of pixels", per_class=False),
        Figure("auc", "area under ROC", per_class=False),
        Figure("best_dice", "Dice at the best threshold", per_class=False),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        name = self.match.classes.names[self.foreground]
        return (
            f"thresholds: {name} where its probability reaches t, for all t; over all pixels; the "
            "best one was chosen on these pictures"
        )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 `[2, 1472]`: the counts of `Thresholds`."""
        del confusion
        own = Thresholds(ignore_index=IGNORED)
        for rows, window in _bands(judged, len(self.match.classes)):
            layers = probabilities_in(_segmentation(judged), self.match, window)
            # Sums of float32 may pass 1 by a rounding.
            own.update(np.minimum(layers[self.foreground], 1), self._foreground(judged.truth[rows]))
        return own.counts

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        found = Thresholds.values(sums)
        return {figure.key: found[:, place] for place, figure in enumerate(self.figures)}

    def scores(self, counts: NDArray[Any]) -> ThresholdScores:
        """The curves, of the counts `[N, 2, 1472]` of all pictures."""
        own = Thresholds(ignore_index=IGNORED)
        own.counts += counts.sum(0)
        return own.compute()

    def _foreground(self, truth: NDArray[np.uint16]) -> NDArray[np.uint16]:
        found: NDArray[np.uint16] = (truth == self.foreground).astype(np.uint16)
        found[truth == IGNORED] = IGNORED
        return found


def _segmentation(judged: Judged) -> Probabilities:
    if judged.segmentation is None:
        raise ArrayError("label maps have no probabilities", where=judged.name)
    return judged.segmentation


def _bands(judged: Judged, classes: int) -> Iterator[tuple[slice, Window]]:
    """Rows of the picture, few enough that their probabilities take little memory."""
    height, width = judged.truth.shape
    step = max(1, _BAND_VALUES // max(1, width * classes))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        yield slice(top, bottom), Window(0, top, width, bottom)
