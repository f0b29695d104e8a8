"""The guided filter: values that follow the edges of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_guided
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array, scores_array, thread_count, whole_number
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["GUIDED_RANGES", "guided_filter"]

_MOST_BANDS = 16
_MOST_RADIUS = 10_000
_SMOOTHING = (1e-12, 1e12)

GUIDED_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"radius": (0, _MOST_RADIUS), "smoothing": _SMOOTHING}
)
"""The least and the most that a parameter may be."""

_LARGEST = 1e6


def guided_filter(
    values: Floats,
    guide: npt.NDArray[Any],
    *,
    radius: int = 8,
    smoothing: float = 1e-3,
    keep: npt.NDArray[np.bool_] | None = None,
    threads: int = 0,
) -> Floats:
    """Each class's values, filtered by the picture.

    He, Sun and Tang, "Guided image filtering" (TPAMI 35, 2013), equations 14 to 16, for a guide of
    any bands: in each square window the values are fitted as a linear function of the guide, and a
    pixel takes the mean of the functions of all windows that hold it. Windows end at the picture's
    edge. Sums are float64.

    Args:
        values: float32 [C, H, W].
        guide: uint8 [H, W, B], taken as 0..1, or float32 as it is.
        radius: windows are 2 · radius + 1 pixels wide.
        smoothing: epsilon of the paper, in squared units of the guide, above 0: edges of a smaller
            variance are smoothed over.
        keep: bool [H, W], pixels that count; others have no part in any window and keep their
            values. None: all.
        threads: 0 for every core that this process may use; classes are filtered side by side.

    Returns:
        float32 [C, H, W].

    Raises:
        ArrayError: an array is not such an array, or holds what is not finite.
        UsageError: radius or smoothing is outside its range.
    """
    values = scores_array(values)
    size = (values.shape[1], values.shape[2])
    check_array("guide", guide, ("uint8", "float32"), 3, "[H, W, B]")
    if guide.shape[:2] != size or guide.shape[2] > _MOST_BANDS:
        raise ArrayError(
            "the guide does not go with the values",
            where="argument guide [H, W, B]",
            got=f"{guide.shape}, expected {size[0]} × {size[1]} and at most {_MOST_BANDS} bands",
            fix="give the picture that the values are of",
        )
    scaled: Floats = guide.astype(np.float32)
    if guide.dtype == np.uint8:
        scaled /= np.float32(255)
    for name, array in (("values", values), ("guide", scaled)):
        if not np.abs(array).max() <= _LARGEST:
            raise ArrayError(
                f"{name} hold what is no number, or too large",
                where=f"argument {name}",
                got=f"{array.min()} to {array.max()}, expected -{_LARGEST:g} to {_LARGEST:g}",
            )
    radius = whole_number("radius", radius, least=0, most=_MOST_RADIUS)
    if not isinstance(smoothing, (int, float, np.number)) or not (
        _SMOOTHING[0] <= smoothing <= _SMOOTHING[1]
    ):
        raise UsageError(
            "smoothing is outside its range",
            where="argument smoothing",
            got=f"{smoothing!r}, expected {_SMOOTHING[0]:g} to {_SMOOTHING[1]:g}",
        )
    kept = np.ones(size, np.bool_) if keep is None else keep
    check_array("keep", kept, ("bool",), 2, "[H, W]")
    if kept.shape != size:
        raise ArrayError("keep has another size than the values", got=f"{kept.shape}, not {size}")
    workers = thread_count(threads)
    if not COMPILED:
        return reference_guided.guided_filter(values, scaled, radius, float(smoothing), kept)
    out = np.empty_like(values)
    _native.guided_filter(
        values,
        np.ascontiguousarray(scaled),
        np.ascontiguousarray(kept).view(np.uint8),
        radius,
        float(smoothing),
        out,
        workers,
    )
    return out
