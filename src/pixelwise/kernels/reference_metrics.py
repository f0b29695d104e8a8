"""The NumPy twins of the metrics' kernels: see `pixelwise.kernels.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Contours, Labels

__all__ = [
    "confusion_counts",
    "contour_distances",
    "contour_points",
    "contours_near",
    "near_borders",
]

_PAIRS_AT_ONCE = 1 << 20


def confusion_counts(
    truth: npt.NDArray[Any], prediction: npt.NDArray[Any], classes: int, ignore_index: int | None
) -> npt.NDArray[np.int64]:
    """See `pixelwise.kernels.confusion_counts`."""
    counted = slice(None) if ignore_index is None else truth != ignore_index
    cells = truth[counted].astype(np.int64) * classes + prediction[counted].astype(np.int64)
    counts = np.bincount(cells.reshape(-1), minlength=classes**2).astype(np.int64)
    return counts.reshape(classes, classes)


def near_borders(labels: Labels, distance: int, *, fill: int) -> Labels:
    """See `pixelwise.kernels.near_borders`."""
    height, width = labels.shape
    out = labels.copy()
    span = 2 * distance + 1
    # How many pixels with the label of this one follow it in its row, itself among them.
    run = np.ones(labels.shape, np.int32)
    for x in range(width - 2, -1, -1):
        run[:, x] += np.where(labels[:, x] == labels[:, x + 1], run[:, x + 1], 0)
    across = run[:, : width - span + 1] >= span
    middle = labels[:, distance : width - distance]
    rows = np.zeros(across.shape, np.int32)  # such rows in a row, this one the last
    rows[0] = across[0]
    for y in range(1, height):
        rows[y] = np.where(middle[y] == middle[y - 1], rows[y - 1], 0) + 1
        rows[y] *= across[y]
    far = rows[span - 1 :] >= span
    out[distance : height - distance, distance : width - distance][far] = fill
    return out


def contour_points(labels: Labels, classes: int) -> Contours:
    """See `pixelwise.kernels.contour_points`."""
    on_contour = np.ones(labels.shape, bool)
    middle = labels[1:-1, 1:-1]
    across, down = middle == labels[1:-1, :-2], middle == labels[:-2, 1:-1]
    across &= middle == labels[1:-1, 2:]
    down &= middle == labels[2:, 1:-1]
    on_contour[1:-1, 1:-1] = ~(across & down)
    on_contour &= labels < classes
    rows, columns = np.nonzero(on_contour)
    ids = labels[rows, columns]
    order = np.argsort(ids, kind="stable")
    points = np.stack([rows[order], columns[order]], axis=1).astype(np.int32)
    return Contours(points, np.bincount(ids, minlength=classes).astype(np.int64))


def contour_distances(
    contours: Contours, others: Contours, *, spacing: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """See `pixelwise.kernels.contour_distances`."""
    parts = [
        _nearest(points, of_other, spacing)
        for points, of_other in zip(contours.by_class(), others.by_class(), strict=True)
    ]
    return np.concatenate(parts)


def contours_near(contours: Contours, others: Contours, distance: float) -> npt.NDArray[np.bool_]:
    """See `pixelwise.kernels.contours_near`."""
    near: npt.NDArray[np.bool_] = (
        contour_distances(contours, others, spacing=(1.0, 1.0)) <= distance
    )
    return near


def _nearest(
    points: npt.NDArray[np.int32], others: npt.NDArray[np.int32], spacing: tuple[float, float]
) -> npt.NDArray[np.float64]:
    out = np.full(len(points), np.inf)
    if not len(others):
        return out
    at_once = max(1, _PAIRS_AT_ONCE // len(others))
    for first in range(0, len(points), at_once):
        part = slice(first, first + at_once)
        down = (points[part, None, 0] - others[None, :, 0]).astype(np.float64) * spacing[0]
        across = (points[part, None, 1] - others[None, :, 1]).astype(np.float64) * spacing[1]
        out[part] = np.sqrt((down * down + across * across).min(axis=1))
    return out
