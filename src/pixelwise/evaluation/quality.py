"""How good a prediction probably is, told without its truth.

The expected mean IoU: a pixel's probabilities are taken for the chance of each class to be its
truth. Of the pixels labelled c, the sum of their probability of c is the expected intersection;
with the sum of that probability over all other pixels it makes the expected union. Only as good as
the calibration of the probabilities: `measure_quality` says how well it ranks pictures that have a
truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.geometry import Window
from pixelwise.segmentation import Segmentation

__all__ = ["RankCorrelation", "expected_iou", "expected_mean_iou", "rank_correlation"]

_BAND_VALUES = 1 << 22
_LEAST_PICTURES = 4
_SURE = 1.959964


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of an estimate and the true score.

    Attributes:
        value: -1..1; NaN where one of both is the same for all pictures.
        low, high: its 95 % interval (Bonett and Wright, Psychometrika 2000); NaN for fewer than
            four pictures.
        pictures: how many.
    """

    value: float
    low: float
    high: float
    pictures: int


def expected_mean_iou(segmentation: Segmentation) -> float:
    """Mean of the expected IoU over the classes that the prediction holds, 0..1.

    Works in bands of rows: no `[C, H, W]` array exists.
    """
    height, width = segmentation.size
    classes = len(segmentation.classes)
    ids = np.array(segmentation.classes.ids)
    sums = np.zeros((3, classes))
    step = max(1, _BAND_VALUES // (classes * width))
    for top in range(0, height, step):
        window = Window(0, top, width, min(height, top + step))
        probabilities = segmentation.probabilities(window).reshape(classes, -1)
        labels = np.searchsorted(ids, segmentation.labels[window.top : window.bottom]).reshape(-1)
        sums += _sums(probabilities.T, labels)
    return _mean(sums)


def expected_iou(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The same from pixels: probabilities `[P, C]` and their labels, channels `[P]`."""
    return _mean(_sums(probabilities, labels))


def rank_correlation(
    estimates: NDArray[np.floating], scores: NDArray[np.floating]
) -> RankCorrelation:
    """Spearman's rank correlation over pictures; equal values share their mean rank.

    Args:
        estimates: of each picture, `[N]`.
        scores: true ones, `[N]`.

    Raises:
        ArrayError: they are not of one length, or not all finite.
    """
    estimates, scores = np.asarray(estimates), np.asarray(scores)
    finite = np.isfinite(estimates).all() and np.isfinite(scores).all()
    if estimates.ndim != 1 or estimates.shape != scores.shape or not finite:
        raise ArrayError(
            "estimates and scores are finite, one of each for every picture",
            got=f"estimates {list(estimates.shape)} · scores {list(scores.shape)}",
        )
    count = len(scores)
    first, second = (_ranks(values) - (count - 1) / 2 for values in (estimates, scores))
    spread = math.sqrt(float(first @ first) * float(second @ second))
    value = float(first @ second) / spread if spread else math.nan
    if count < _LEAST_PICTURES or math.isnan(value):
        return RankCorrelation(value, math.nan, math.nan, count)
    middle = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    reach = _SURE * math.sqrt((1 + value**2 / 2) / (count - 3))
    return RankCorrelation(value, math.tanh(middle - reach), math.tanh(middle + reach), count)


def _sums(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of each class, `[3, C]`: expected intersection, pixels labelled so, expected pixels."""
    classes = probabilities.shape[1]
    places = labels.astype(np.intp)
    own = np.take_along_axis(probabilities, places[:, None], 1)[:, 0]
    return np.stack(
        [
            np.bincount(places, own, classes).astype(np.float64),
            np.bincount(places, minlength=classes).astype(np.float64),
            probabilities.sum(0, dtype=np.float64),
        ]
    )


def _mean(sums: NDArray[np.float64]) -> float:
    inside, labelled, expected = sums[:, sums[1] > 0]
    return float((inside / (labelled + expected - inside)).mean())


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = np.cumsum(counts) - (counts + 1) / 2
    return means[places]
