"""The NumPy twins of the compiled kernels: the same names, arguments and answers.

They are the definition that the tests hold the compiled kernels to, and they take over where no
compiler was there at install. Arguments are checked before, in the functions of
`pixelwise.kernels`; `threads` is ignored. The answers are equal bit for bit, except for softmax
values, which agree within the relative error that their docstrings state.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.axis import Axis
from pixelwise.kernels.types import Bytes, Floats, Labels, Regions, Values

__all__ = [
    "blend",
    "count_labels",
    "decode_confidence",
    "decode_labels",
    "decode_probabilities",
    "decode_probability",
    "decode_scores",
    "label_regions",
    "normalise",
]

_BAND_VALUES = 1 << 18
"""Values of one class that are worked on at a time: they stay in the cache."""


def decode_labels(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Labels:
    """See `pixelwise.kernels.decode_labels`."""
    del threads
    labels = np.zeros((rows.size, columns.size), np.uint8 if len(scores) <= 256 else np.uint16)
    for band, bilinear in _bands(scores, rows, columns):
        best = np.full(labels[band].shape, -np.inf, np.float32)
        for index in range(len(scores)):
            values = bilinear.values(index)
            wins = values > best
            labels[band][wins] = index
            best[wins] = values[wins]
    return labels


def decode_confidence(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """See `pixelwise.kernels.decode_confidence`."""
    del threads
    confidence = np.zeros((rows.size, columns.size), np.float32)
    for band, bilinear in _bands(scores, rows, columns):
        _, total = bilinear.softmax_parts()
        np.divide(1.0, total, out=confidence[band], where=total > 0, casting="same_kind")
    return confidence


def decode_probability(
    scores: Floats, class_index: int, rows: Axis, columns: Axis, *, threads: int = 0
) -> Floats:
    """See `pixelwise.kernels.decode_probability`."""
    del threads
    probability = np.zeros((rows.size, columns.size), np.float32)
    for band, bilinear in _bands(scores, rows, columns):
        largest, total = bilinear.softmax_parts()
        part = _exponential(bilinear.values(class_index), largest)
        np.divide(part, total, out=probability[band], where=total > 0, casting="same_kind")
    return probability


def decode_scores(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """See `pixelwise.kernels.decode_scores`."""
    del threads
    out = np.empty((len(scores), rows.size, columns.size), np.float32)
    for band, bilinear in _bands(scores, rows, columns):
        for index in range(len(scores)):
            out[index, band] = bilinear.values(index)
    return out


def decode_probabilities(scores: Floats, rows: Axis, columns: Axis, *, threads: int = 0) -> Floats:
    """See `pixelwise.kernels.decode_probabilities`."""
    del threads
    out = np.zeros((len(scores), rows.size, columns.size), np.float32)
    for band, bilinear in _bands(scores, rows, columns):
        largest, total = bilinear.softmax_parts()
        for index in range(len(scores)):
            part = _exponential(bilinear.values(index), largest)
            np.divide(part, total, out=out[index, band], where=total > 0, casting="same_kind")
    return out


def label_regions(labels: Labels, *, connectivity: int = 8) -> Regions:
    """See `pixelwise.kernels.label_regions`."""
    height, width = labels.shape
    numbers = np.arange(height * width, dtype=np.int32).reshape(height, width)
    offsets = [(0, 1), (1, 0)] if connectivity == 4 else [(0, 1), (1, 0), (1, 1), (1, -1)]
    pairs = np.concatenate([_equal_neighbours(labels, numbers, *offset) for offset in offsets])
    first_pixel = _lowest_of_group(height * width, pairs)
    roots, components = np.unique(first_pixel, return_inverse=True)
    components = components.reshape(-1)
    area = np.bincount(components, minlength=len(roots))
    pixel_y, pixel_x = np.divmod(np.arange(height * width), width)
    box = np.empty((len(roots), 4), np.int32)
    box[:, :2] = max(height, width)
    box[:, 2:] = 0
    centroid = np.empty((len(roots), 2), np.float64)
    for axis, places in enumerate((pixel_x, pixel_y)):
        np.minimum.at(box[:, axis], components, places)
        np.maximum.at(box[:, axis + 2], components, places + 1)
        # Sums of whole numbers: exact in float64 up to 2^53.
        centroid[:, axis] = np.bincount(components, places, len(roots)) / area
    return Regions(
        components=components.reshape(height, width).astype(np.int32),
        label=labels.reshape(-1)[roots].astype(np.uint16),
        area=area.astype(np.int64),
        box=box,
        centroid=centroid,
    )


def count_labels(labels: Labels, classes: int, *, threads: int = 0) -> npt.NDArray[np.int64]:
    """See `pixelwise.kernels.count_labels`."""
    del threads
    return np.bincount(labels.reshape(-1), minlength=classes).astype(np.int64)


def blend(
    image: Bytes,
    labels: Labels,
    palette: Bytes,
    *,
    opacity: float,
    borders: bool = True,
    threads: int = 0,
) -> Bytes:
    """See `pixelwise.kernels.blend`."""
    del threads
    weight = int(opacity * 256 + 0.5)
    out = np.empty_like(image)
    weighed = palette.astype(np.uint16) * np.uint16(weight) + np.uint16(128)
    band_rows = max(1, _BAND_VALUES // max(1, labels.shape[1]))
    for first in range(0, len(labels), band_rows):
        band = slice(first, first + band_rows)
        out[band] = (image[band] * np.uint16(256 - weight) + weighed[labels[band]]) >> 8
    if borders:
        border = np.zeros(labels.shape, bool)
        border[:, :-1] = labels[:, :-1] != labels[:, 1:]
        border[:-1] |= labels[:-1] != labels[1:]
        out[border] = palette[labels[border]]
    return out


def normalise(
    image: Values, scale: Floats, shift: Floats, size: tuple[int, int], *, threads: int = 0
) -> Floats:
    """See `pixelwise.kernels.normalise`."""
    del threads
    height, width, bands = image.shape
    out = np.zeros((bands, *size), np.float32)
    for band in range(bands):
        inside = out[band, :height, :width]
        # An infinite value is set to 0 below: that is not worth a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            np.multiply(image[:, :, band], scale[band], out=inside)
            inside += shift[band]
        inside[~np.isfinite(inside)] = 0
    return out


class _Bilinear:
    """The interpolated scores of one band of picture rows, one class at a time.

    The order of operations is the definition of an interpolated score: first down the two rows,
    then across the two columns, each as `low * (1 - weight) + high * weight` in float32.
    """

    def __init__(self, scores: Floats, rows: _Table, columns: _Table) -> None:
        self._scores = scores
        self._rows = rows
        self._columns = columns

    def values(self, index: int) -> Floats:
        low, high, low_weight, high_weight = self._rows
        plane = self._scores[index]
        # A score that is not finite stays NaN or infinite: that is not worth a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            lines = plane[low] * low_weight[:, None] + plane[high] * high_weight[:, None]
            low, high, low_weight, high_weight = self._columns
            out: Floats = lines[:, low] * low_weight + lines[:, high] * high_weight
        return out

    def softmax_parts(self) -> tuple[Floats, npt.NDArray[np.float64]]:
        """The largest score per pixel, and the sum over the classes of e^(score - largest)."""
        shape = (len(self._rows[0]), len(self._columns[0]))
        largest = np.full(shape, -np.inf, np.float32)
        for index in range(len(self._scores)):
            np.fmax(largest, self.values(index), out=largest)
        total = np.zeros(shape, np.float64)
        for index in range(len(self._scores)):
            total += _exponential(self.values(index), largest)
        return largest, total


_Table = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Floats, Floats]


def _table(axis: Axis, source: int) -> _Table:
    index, weight = axis.table(source)
    return index, np.minimum(index + 1, source - 1), np.float32(1) - weight, weight


def _bands(scores: Floats, rows: Axis, columns: Axis) -> Iterator[tuple[slice, _Bilinear]]:
    row_table = _table(rows, scores.shape[1])
    column_table = _table(columns, scores.shape[2])
    # The vertical step is as wide as the scores, the horizontal one as wide as the picture.
    band_rows = max(1, _BAND_VALUES // max(columns.size, scores.shape[2]))
    for first in range(0, rows.size, band_rows):
        band = slice(first, first + band_rows)
        low, high, low_weight, high_weight = row_table
        in_band = (low[band], high[band], low_weight[band], high_weight[band])
        yield band, _Bilinear(scores, in_band, column_table)


def _exponential(values: Floats, largest: Floats) -> Floats:
    """e^(values - largest), and 0 where that is not a number."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        powers: Floats = np.exp(values - largest)
    powers[np.isnan(powers)] = 0
    return powers


def _equal_neighbours(
    labels: Labels, numbers: npt.NDArray[np.int32], down: int, right: int
) -> npt.NDArray[np.int32]:
    """Numbers of the pixels and of their neighbours at an offset, where both labels agree."""
    height, width = labels.shape
    here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
    there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
    equal = labels[here] == labels[there]
    return np.stack([numbers[here][equal], numbers[there][equal]], axis=1)


def _lowest_of_group(count: int, pairs: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For numbers 0 .. count - 1 joined by pairs, the lowest number of each one's group.

    Every round hooks the higher root of each pair under the lower one and then shortens all
    paths to their roots: the parallel connected components of Shiloach and Vishkin (1982).
    """
    parent = np.arange(count, dtype=np.int32)
    while len(pairs):
        low, high = np.sort(parent[pairs], axis=1).T
        apart = low != high
        pairs, low, high = pairs[apart], low[apart], high[apart]
        np.minimum.at(parent, high, low)
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
    return parent
