"""Mean field in a fully connected conditional random field, with Gaussian edges.

Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials"
(NeurIPS 2011), with the Potts model: every pixel is drawn to the classes of the pixels that are
near it, and of those that are near it and of its colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_crf
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array, scores_array, thread_count, whole_number
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["CRF_RANGES", "dense_crf"]

_MOST_BANDS = 30
_MOST_ITERATIONS = 1000
_WEIGHT = (0.0, 1e4)
_DEVIATION = (1e-3, 1e6)

CRF_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "iterations": (0, _MOST_ITERATIONS),
        "colour_weight": _WEIGHT,
        "colour_deviation": _DEVIATION,
        "position_deviation": _DEVIATION,
        "smooth_weight": _WEIGHT,
        "smooth_deviation": _DEVIATION,
    }
)
"""The least and the most that a parameter may be."""

_MOST_SCORE = 1e6
# Beyond it, float32 no longer tells a vertex of the lattice from the next.
_MOST_DEVIATIONS = 1e5
_REACH = 4
"""In deviations: what lies beyond is less than 1e-4 of the whole."""


def dense_crf(
    scores: Floats,
    image: npt.NDArray[Any],
    *,
    iterations: int = 5,
    colour_weight: float = 10.0,
    colour_deviation: float = 13.0,
    position_deviation: float = 80.0,
    smooth_weight: float = 3.0,
    smooth_deviation: float = 3.0,
    keep: npt.NDArray[np.bool_] | None = None,
    origin: tuple[int, int] = (0, 0),
    threads: int = 0,
) -> Floats:
    """Probabilities after some iterations of mean field.

    With Q the probabilities, `Q = softmax(scores + colour_weight · A Q + smooth_weight · B Q)` is
    applied again and again, beginning with `softmax(scores)`. A is the Gaussian of the differences
    of position and colour, on the permutohedral lattice; B that of position alone, summed up to 4
    deviations. Both are normalised as `D^-1/2 K D^-1/2` with D the row sums, and hold the pixel
    itself, as in the authors' program.

    Args:
        scores: logits, or the logarithm of probabilities, float32 [C, H, W].
        image: uint8 or float32 [H, W, B].
        iterations: 0 gives the softmax of the scores.
        colour_weight: of A; 0 leaves it out.
        colour_deviation: in units of the image.
        position_deviation: of A, in pixels.
        smooth_weight: of B; 0 leaves it out.
        smooth_deviation: in pixels.
        keep: bool [H, W], pixels that count; others have no part in any sum, and their answer is
            the softmax of their scores. None: all.
        origin: `(y, x)` of the first pixel within a larger picture; the lattice of a piece is then
            a part of that of the whole.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [C, H, W], 0..1, sum 1 at each pixel.

    Raises:
        ArrayError: an array is not such an array, or holds what is not finite.
        UsageError: a number is outside its range, or a deviation too small for the image.
    """
    scores = scores_array(scores)
    size = (scores.shape[1], scores.shape[2])
    check_array("image", image, ("uint8", "float32"), 3, "[H, W, B]")
    if image.shape[:2] != size or image.shape[2] > _MOST_BANDS:
        raise ArrayError(
            "the image does not go with the scores",
            where="argument image [H, W, B]",
            got=f"{image.shape}, expected {size[0]} × {size[1]} and at most {_MOST_BANDS} bands",
            fix="give the picture that the scores are of",
        )
    if not (np.abs(scores).max() <= _MOST_SCORE and np.isfinite(image).all()):
        raise ArrayError(
            "scores or image hold what is no number, or too large",
            where="arguments scores and image",
            got=f"scores {scores.min()} to {scores.max()}, image {image.min()} to {image.max()}",
            fix=f"scores from -{_MOST_SCORE:g} to {_MOST_SCORE:g}, and finite values in the image",
        )
    iterations = whole_number("iterations", iterations, least=0, most=_MOST_ITERATIONS)
    for name, value in (
        ("colour_weight", colour_weight),
        ("smooth_weight", smooth_weight),
        ("colour_deviation", colour_deviation),
        ("position_deviation", position_deviation),
        ("smooth_deviation", smooth_deviation),
    ):
        _check_range(name, value, *CRF_RANGES[name])
    top, left = (whole_number("origin", place, least=0, most=2**31) for place in origin)
    kept = np.ones(size, np.bool_) if keep is None else keep
    check_array("keep", kept, ("bool",), 2, "[H, W]")
    if kept.shape != size:
        raise ArrayError("keep has another size than the scores", got=f"{kept.shape}, not {size}")
    features = _features(image, position_deviation, colour_deviation, (top, left))
    taps = _taps(smooth_deviation, max(size))
    workers = thread_count(threads)
    if not COMPILED:
        return reference_crf.mean_field(
            scores, features, taps, (colour_weight, smooth_weight), iterations, kept
        )
    out = np.empty_like(scores)
    _native.mean_field(
        scores,
        features.reshape(-1, features.shape[2]),
        taps,
        float(colour_weight),
        float(smooth_weight),
        iterations,
        np.ascontiguousarray(kept).view(np.uint8).reshape(-1),
        out,
        workers,
    )
    return out


def _features(
    image: npt.NDArray[Any], position: float, colour: float, origin: tuple[int, int] = (0, 0)
) -> Floats:
    """Position and colour of each pixel in deviations, float32 [H, W, 2 + B]."""
    height, width, bands = image.shape
    features = np.empty((height, width, 2 + bands), np.float32)
    features[..., 0] = (origin[1] + np.arange(width, dtype=np.float64))[None, :] / position
    features[..., 1] = (origin[0] + np.arange(height, dtype=np.float64))[:, None] / position
    np.divide(image, colour, out=features[..., 2:], casting="unsafe")
    extent = float(np.abs(features).max())
    if extent > _MOST_DEVIATIONS:
        raise UsageError(
            "the picture is too many deviations wide",
            where="arguments position_deviation and colour_deviation",
            got=f"{extent:.3g} deviations, expected at most {_MOST_DEVIATIONS:g}",
            fix="raise the deviation, or scale the image down",
        )
    return features


def _taps(deviation: float, side: int) -> Floats:
    """A Gaussian from its centre outwards, no longer than the picture."""
    radius = min(math.ceil(_REACH * deviation), side - 1, 65_000)
    steps = np.arange(radius + 1) / deviation
    return np.exp(-0.5 * steps**2).astype(np.float32)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not isinstance(value, (int, float, np.number)) or not least <= value <= most:
        raise UsageError(
            f"{name} is outside its range",
            where=f"argument {name}",
            got=f"{value!r}, expected {least:g} to {most:g}",
        )
