"""What is kept of a picture when its label map is written: its classes, with share and box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.segmentation import Segmentation

__all__ = ["ClassFact", "PictureFacts", "mask_facts", "picture_facts", "result_facts"]

_ROWS = 256
_BITS = 64


@dataclass(frozen=True)
class ClassFact:
    """A class that occurs in a picture.

    Attributes:
        id: of the class.
        name: of the class.
        share: part of the picture, 0..1.
        box: `(x1, y1, x2, y2)` of all its pixels; x2 and y2 lie just outside.
    """

    id: int
    name: str
    share: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class PictureFacts:
    """A picture's size and the classes that occur, the largest first.

    Attributes:
        height: in pixels.
        width: in pixels.
        classes: those that occur.
    """

    height: int
    width: int
    classes: tuple[ClassFact, ...]


def picture_facts(
    labels: NDArray[np.uint8] | NDArray[np.uint16], classes: ClassTable, *, threads: int = 1
) -> PictureFacts:
    """The facts of a label map.

    Args:
        labels: ids of the table, `[H, W]`.
        classes: the table.
        threads: cores that may be used.
    """
    height, width = labels.shape
    counts = kernels.count_labels(labels, max(classes.ids) + 1, threads=threads)
    present = [info for info in classes if counts[info.id]]
    rows, columns = _presence(labels, [info.id for info in present])
    found = [
        ClassFact(
            id=info.id,
            name=info.name,
            share=float(counts[info.id] / labels.size),
            box=_box(rows[:, index], columns[:, index]),
        )
        for index, info in enumerate(present)
    ]
    return PictureFacts(height, width, tuple(sorted(found, key=lambda fact: -fact.share)))


def result_facts(segmentation: Segmentation | MultiLabelSegmentation) -> PictureFacts:
    """The facts of a result."""
    classes = segmentation.classes
    if isinstance(segmentation, Segmentation):
        return picture_facts(segmentation.labels, classes)
    return mask_facts(map(segmentation.mask_of, range(len(classes))), classes)


def mask_facts(masks: Iterable[NDArray[np.bool_]], classes: ClassTable) -> PictureFacts:
    """The facts of masks of classes that may lie over each other.

    Args:
        masks: for each class of the table, in its order, bool `[H, W]`; at least one.
        classes: the table.
    """
    found, size = [], (0, 0)
    for info, mask in zip(classes, masks, strict=True):
        size = (mask.shape[0], mask.shape[1])
        share = np.count_nonzero(mask) / mask.size
        if share > 0:
            box = _box(np.logical_or.reduce(mask, axis=1), np.logical_or.reduce(mask, axis=0))
            found.append(ClassFact(info.id, info.name, share, box))
    return PictureFacts(*size, tuple(sorted(found, key=lambda fact: -fact.share)))


def _presence(
    labels: NDArray[np.uint8] | NDArray[np.uint16], ids: list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """In which rows and columns each id occurs, bool `[H, n]` and `[W, n]`.

    64 classes at a time: a bit for each, and the bits of a row or column put together by "or".
    """
    height, width = labels.shape
    rows = np.zeros((height, len(ids)), np.bool_)
    columns = np.zeros((width, len(ids)), np.bool_)
    for first in range(0, len(ids), _BITS):
        some = ids[first : first + _BITS]
        table = np.zeros(np.iinfo(labels.dtype).max + 1, np.uint64)
        places = np.arange(len(some), dtype=np.uint64)
        table[some] = np.uint64(1) << places
        below = np.zeros(width, np.uint64)
        for top in range(0, height, _ROWS):
            bits = table[labels[top : top + _ROWS]]
            along = np.bitwise_or.reduce(bits, axis=1)
            rows[top : top + _ROWS, first : first + _BITS] = along[:, None] >> places & 1
            below |= np.bitwise_or.reduce(bits, axis=0)
        columns[:, first : first + _BITS] = below[:, None] >> places & 1
    return rows, columns


def _box(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(rows), np.flatnonzero(columns)
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
