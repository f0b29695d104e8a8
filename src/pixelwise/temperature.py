"""Temperatures: scores divided so that their softmax means what it says.

Guo et al., "On calibration of modern neural networks", ICML 2017: one temperature for all classes,
or one for each (vector scaling without the shift). Interpolation is linear, so dividing the
network's own low-resolution scores is the same as dividing those of every pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.geometry import Geometry, Window

__all__ = ["fits_classes", "label_confidence", "tempered"]

_VALUES_AT_ONCE = 1 << 22


def fits_classes(temperature: float | tuple[float, ...], classes: int) -> bool:
    """Whether it is one temperature, or one for each class, all finite and above 0."""
    if not isinstance(temperature, tuple):
        temperature, classes = (temperature,), 1
    return len(temperature) == classes and all(
        math.isfinite(value) and value > 0 for value in temperature
    )


def tempered(
    scores: NDArray[np.float32], temperature: float | tuple[float, ...]
) -> NDArray[np.float32]:
    """Scores float32 `[C, …]` over the temperature; the same array where that is 1."""
    divisor = np.array(temperature, np.float32).reshape(-1, *[1] * (scores.ndim - 1))
    return scores if (divisor == 1).all() else scores / divisor


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
