"""Loops over the pixels of a picture: counting, regions, overlay, input normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from pixelwise.errors import UsageError
from pixelwise.kernels import reference
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import (
    bytes_array,
    check_array,
    check_labels_below,
    float_vector,
    labels_array,
    thread_count,
    values_array,
    whole_number,
)
from pixelwise.kernels.types import Bytes, Floats, Labels, Regions, Values

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["blend", "count_labels", "label_regions", "normalise", "relabel"]

_Entry = TypeVar("_Entry", np.uint8, np.uint16)

_MOST_PIXELS = 2**31 - 1
"""Regions are numbered in int32, and there may be one per pixel."""

_LONGEST_SIDE = 2**24
"""Far above any network input; a size in bytes or with a slipped digit is an error."""


def label_regions(labels: Labels, *, connectivity: int = 8) -> Regions:
    """The connected regions of pixels with the same label.

    Args:
        labels: uint8 or uint16 [H, W], below 2^31 pixels.
        connectivity: 8, pixels that touch at a side or a corner are neighbours; 4, at a side.

    Returns:
        The regions, numbered in the raster order of their first pixels.

    Raises:
        ArrayError: labels are not such an array.
        UsageError: connectivity is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise UsageError(
            "connectivity is the number of neighbours of a pixel",
            where="argument connectivity",
            got=f"{connectivity!r}, expected 4 or 8",
            fix="use 8 unless regions that touch at a corner only should be apart",
        )
    labels = labels_array(labels, most_pixels=_MOST_PIXELS)
    if not COMPILED:
        return reference.label_regions(labels, connectivity=connectivity)
    components = np.empty(labels.shape, np.int32)
    return Regions(components, *_native.label_regions(labels, connectivity == 8, components))


def count_labels(labels: Labels, classes: int, *, threads: int = 0) -> npt.NDArray[np.int64]:
    """How many pixels each class has.

    Args:
        labels: uint8 or uint16 [H, W].
        classes: the number of classes, 1 to 65536; labels are below it.
        threads: 0 for every core that this process may use.

    Returns:
        int64 [classes].

    Raises:
        ArrayError: labels are not such an array, or one is not below `classes`.
        UsageError: classes or threads is outside its range.
    """
    labels = labels_array(labels)
    classes = whole_number("classes", classes, least=1, most=65536)
    workers = thread_count(threads)
    if not COMPILED:
        check_labels_below(int(labels.max()), classes, "classes")
        return reference.count_labels(labels, classes)
    counts = np.empty(classes, np.int64)
    check_labels_below(_native.count_labels(labels, counts, workers), classes, "classes")
    return counts


def relabel(labels: Labels, table: npt.NDArray[_Entry]) -> npt.NDArray[_Entry]:
    """Each label's entry of a table: `table[labels]`, by runs of equal labels.

    Args:
        labels: uint8 or uint16 [H, W], below K.
        table: uint8 or uint16 [K].

    Returns:
        [H, W] in the type of the table.

    Raises:
        ArrayError: an array is not such an array, or a label has no entry.
    """
    labels = labels_array(labels)
    check_array("table", table, ("uint8", "uint16"), 1, "[K]")
    if not COMPILED:
        check_labels_below(int(labels.max()), len(table), "table")
        return table[labels]
    out = np.empty(labels.shape, table.dtype)
    highest = _native.relabel(labels, np.ascontiguousarray(table), out)
    check_labels_below(highest, len(table), "table")
    return out


def blend(
    image: Bytes,
    labels: Labels,
    palette: Bytes,
    *,
    opacity: float,
    borders: bool = True,
    threads: int = 0,
) -> Bytes:
    """The picture with the colours of its labels over it.

    In whole numbers: with a = floor(256 * opacity + 0.5), a channel becomes
    (image * (256 - a) + colour * a + 128) >> 8.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 or uint16 [H, W], below K.
        palette: uint8 [K, 3], the colour of each label.
        opacity: 0 (the picture alone) to 1 (the colours alone).
        borders: give a pixel whose right or lower neighbour has another label its pure colour.
        threads: 0 for every core that this process may use.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ArrayError: an array is not such an array, or a label has no colour.
        UsageError: opacity or threads is outside its range.
    """
    labels = labels_array(labels)
    image = bytes_array("image", image, "[H, W, 3]", (*labels.shape, 3))
    palette = bytes_array("palette", palette, "[K, 3]", (None, 3))
    if not isinstance(opacity, (int, float, np.floating)) or not 0 <= opacity <= 1:
        raise UsageError(
            "opacity is a share of the colours",
            where="argument opacity",
            got=f"{opacity!r}, expected 0 to 1",
            fix="opacity=0.5 shows picture and colours alike",
        )
    workers = thread_count(threads)
    if not COMPILED:
        check_labels_below(int(labels.max()), len(palette), "palette")
        return reference.blend(image, labels, palette, opacity=float(opacity), borders=borders)
    out = np.empty_like(image)
    weight = int(float(opacity) * 256 + 0.5)
    highest = _native.blend(image, labels, palette, weight, bool(borders), out, workers)
    check_labels_below(highest, len(palette), "palette")
    return out


def normalise(
    image: Values, scale: Floats, shift: Floats, size: tuple[int, int], *, threads: int = 0
) -> Floats:
    """The picture as input of a network: band by band, scaled, shifted and padded.

    out[b, y, x] = image[y, x, b] * scale[b] + shift[b] in float32, and 0 right of and below the
    picture. In float32 images what comes out as no finite number (NaN, infinite) is 0 as well.

    Args:
        image: uint8, uint16, int16 or float32 [H, W, B].
        scale: float32 [B], e.g. 1 / (255 * deviation).
        shift: float32 [B], e.g. -mean / deviation.
        size: height and width of the output in pixels, at least those of the picture.
        threads: 0 for every core that this process may use.

    Returns:
        float32 [B, height, width].

    Raises:
        ArrayError: an array is not such an array.
        UsageError: size is smaller than the picture, or threads is outside its range.
    """
    image = values_array("image", image, "[H, W, B]")
    scale = float_vector("scale", scale, image.shape[2])
    shift = float_vector("shift", shift, image.shape[2])
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise UsageError(
            "size is a height and a width",
            where="argument size",
            got=repr(size),
            fix="size=(height, width)",
        )
    height = whole_number("size[0]", size[0], least=image.shape[0], most=_LONGEST_SIDE)
    width = whole_number("size[1]", size[1], least=image.shape[1], most=_LONGEST_SIDE)
    workers = thread_count(threads)
    if not COMPILED:
        return reference.normalise(image, scale, shift, (height, width))
    out = np.empty((image.shape[2], height, width), np.float32)
    _native.normalise(image, scale, shift, out, workers)
    return out
