"""Temperatures: scores divided so that their softmax means what it says.

Guo et al., "On calibration of modern neural networks", ICML 2017: one temperature for all classes,
or one for each (vector scaling without the shift). Interpolation is linear, so dividing the
network's own low-resolution scores is the same as dividing those of every pixel.

A local temperature is one for each place (Ding et al., "Local temperature scaling for probability
calibration", ICCV 2021). Theirs is an image of the size of the picture that a network makes; here
it is a smooth function of the scores, with a handful of coefficients, at each of the network's own
scores, so that these are divided before they are interpolated and nothing else changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.geometry import Geometry, Window

__all__ = [
    "LocalTemperature",
    "Temperature",
    "channels_of",
    "confidence_in",
    "fits_classes",
    "label_confidence",
    "local_features",
    "tempered",
]

_VALUES_AT_ONCE = 1 << 22
LEAST_PROBABILITY = 1e-13
"""Stands for 0 in scores that are logarithms of probabilities: nothing beside 1 in float32."""
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.05, 20.0
_MOST_COEFFICIENT = 1e3


@dataclass(frozen=True)
class LocalTemperature:
    """A temperature for each of the network's own scores, by what the scores are like there.

    T = exp(base + margin * l + curve * l^2 + disagreement * d), held within 0.05 … 20, where
    l = ln(1 + lead of the best score over the second), and d is the share of the eight scores
    around whose best class is another (at the edge those inside are repeated).

    Attributes:
        base, margin, curve, disagreement: the coefficients.
    """

    base: float
    margin: float
    curve: float
    disagreement: float

    # How a model's card reads it.
    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    def __str__(self) -> str:
        return (
            f"exp({self.base:.3g} {self.margin:+.3g} l {self.curve:+.3g} l² "
            f"{self.disagreement:+.3g} d)"
        )

    @property
    def coefficients(self) -> tuple[float, ...]:
        """In the order of `local_features`."""
        return self.base, self.margin, self.curve, self.disagreement

    def at(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        """Temperatures `[…]` where the features are `[4, …]`."""
        powers = np.tensordot(np.array(self.coefficients, features.dtype), features, 1)
        low, high = math.log(LEAST_TEMPERATURE), math.log(MOST_TEMPERATURE)
        held: NDArray[np.floating] = np.exp(np.clip(powers, low, high))
        return held


Temperature: TypeAlias = float | tuple[float, ...] | LocalTemperature
"""Of all classes, of each, or of each place."""


def local_features(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a local temperature goes by, float32 `[4, h, w]` of scores `[C, h, w]`.

    In the order of `LocalTemperature`: 1, l, l^2 and d.
    """
    best = scores.argmax(0)
    highest = np.take_along_axis(scores, best[None], 0)[0]
    others = scores.copy()
    np.put_along_axis(others, best[None], -np.inf, 0)
    lead = highest - others.max(0) if len(scores) > 1 else np.zeros_like(highest)
    padded = np.pad(best, 1, mode="edge")
    height, width = best.shape
    differing = np.zeros(best.shape, np.float32)
    for down in range(3):
        for across in range(3):
            differing += padded[down : down + height, across : across + width] != best
    leads = np.log1p(lead)
    return np.stack([np.ones_like(leads), leads, leads * leads, differing / np.float32(8)])


def fits_classes(temperature: Temperature, classes: int) -> bool:
    """Whether it is one temperature, one for each class, or a local one: finite, and above 0."""
    if isinstance(temperature, LocalTemperature):
        return all(abs(value) <= _MOST_COEFFICIENT for value in temperature.coefficients)
    if not isinstance(temperature, tuple):
        temperature, classes = (temperature,), 1
    return len(temperature) == classes and all(
        math.isfinite(value) and value > 0 for value in temperature
    )


def tempered(scores: NDArray[np.float32], temperature: Temperature) -> NDArray[np.float32]:
    """Scores float32 `[C, …]` over the temperature; the same array where that is 1.

    A local temperature is for the network's own scores `[C, h, w]`.
    """
    if isinstance(temperature, LocalTemperature):
        local: NDArray[np.float32] = scores / temperature.at(local_features(scores))
        return local
    divisor = np.array(temperature, np.float32).reshape(-1, *[1] * (scores.ndim - 1))
    return scores if (divisor == 1).all() else scores / divisor


def channels_of(
    labels: NDArray[np.uint8] | NDArray[np.uint16], classes: ClassTable
) -> NDArray[np.uint16]:
    """The channel of each label, uint16 `[H, W]`; C where it is of no class."""
    table = np.full(int(np.iinfo(labels.dtype).max) + 1, len(classes), np.uint16)
    table[list(classes.ids)] = np.arange(len(classes))
    return kernels.relabel(labels, table)


def confidence_in(
    calibrated: NDArray[np.float32],
    geometry: Geometry,
    channels: NDArray[np.uint16],
    *,
    threads: int,
) -> NDArray[np.float32]:
    """Calibrated probability of a given class of each pixel, float32 `[H, W]`; 0 where none is.

    Works in bands of rows, as `label_confidence`.
    """
    height, width = geometry.size
    confidence = np.zeros((height, width), np.float32)
    step = max(1, _VALUES_AT_ONCE // (len(calibrated) * width))
    for top in range(0, height, step):
        band = slice(top, min(height, top + step))
        part = geometry.window(Window(0, band.start, width, band.stop))
        values = kernels.decode_probabilities(calibrated, part.rows, part.columns, threads=threads)
        known = channels[band] < len(calibrated)
        places = np.where(known, channels[band], 0).astype(np.intp)
        confidence[band] = np.take_along_axis(values, places[None], 0)[0] * known
    return confidence


def label_confidence(
    scores: NDArray[np.float32],
    calibrated: NDArray[np.float32],
    geometry: Geometry,
    *,
    threads: int,
) -> NDArray[np.float32]:
    """Calibrated probability of the class that is best by the raw scores, float32 `[H, W]`.

    Works in bands of rows: no `[C, H, W]` array exists.
    """
    height, width = geometry.size
    confidence = np.empty((height, width), np.float32)
    step = max(1, _VALUES_AT_ONCE // (len(scores) * width))
    for top in range(0, height, step):
        band = slice(top, min(height, top + step))
        part = geometry.window(Window(0, band.start, width, band.stop))
        labels = kernels.decode_labels(scores, part.rows, part.columns, threads=threads)
        values = kernels.decode_probabilities(calibrated, part.rows, part.columns, threads=threads)
        confidence[band] = np.take_along_axis(values, labels[None].astype(np.intp), 0)[0]
    return confidence
