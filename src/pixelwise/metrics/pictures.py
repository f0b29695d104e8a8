"""What the metrics of borders and distances share.

What is ignored in the truth is so in the prediction, and counts as outside the picture in both: it
is of no class, so a class ends there, in truth and prediction alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels.checks import whole_number
from pixelwise.kernels.confusion import check_ids, check_pair
from pixelwise.kernels.pixels import relabel
from pixelwise.kernels.types import Labels
from pixelwise.metrics.tensors import ids_of

__all__ = ["Rule", "Width", "pictures_of"]

_MOST_CLASSES = 65_534
_NARROW = (np.uint8, np.uint16)
_MOST_NARROW = 255


@dataclass(frozen=True)
class Width:
    """A length in the picture: a number of pixels, or else a share of the diagonal."""

    ratio: float
    pixels: float | None

    def on(self, shape: tuple[int, ...]) -> float:
        """The length in pixels on a picture `(H, W)`."""
        return self.ratio * math.hypot(*shape) if self.pixels is None else self.pixels

    def __str__(self) -> str:
        return f"{self.ratio} of the diagonal" if self.pixels is None else f"{self.pixels} pixels"


@dataclass(frozen=True)
class Rule:
    """What is counted; only sums of one rule can be added.

    Args:
        classes: 1 to 65534; the ids counted are below it.
        ignore_index: an id of the truth that is not counted, or None.
        width: of a border, or how far contours may lie apart; None where there is no such thing.

    Raises:
        UsageError: one is outside its range.
    """

    classes: int
    ignore_index: int | None
    width: Width | None = None

    def __post_init__(self) -> None:
        whole_number("classes", self.classes, least=1, most=_MOST_CLASSES)
        if self.width is None:
            return
        for name, value in (("ratio", self.width.ratio), ("pixels", self.width.pixels)):
            is_number = isinstance(value, (int, float, np.number)) and math.isfinite(value)
            if value is not None and not (is_number and value > 0):
                raise UsageError(
                    f"{name} is not a length",
                    where=f"argument {name}",
                    got=f"{value!r}, expected a finite number above 0",
                    fix="ratio is a share of the diagonal, pixels a number of pixels",
                )

    def require_same(self, other: Rule) -> None:
        """Raises ArrayError unless the other is this rule."""
        if other != self:
            raise ArrayError("only counts of one protocol can be merged", got=f"{self} · {other}")

    def __str__(self) -> str:
        width = "" if self.width is None else f", {self.width}"
        return f"{self.classes} classes, ignore {self.ignore_index}{width}"


def pictures_of(truth: Any, prediction: Any, rule: Rule) -> list[tuple[Labels, Labels]]:
    """Truth and prediction of each picture as the kernels take them.

    Args:
        truth: integer class ids `[H, W]` or `[N, H, W]`, a NumPy array or a PyTorch tensor.
        prediction: ids of the same shape.
        rule: what is counted.

    Returns:
        Pairs of uint8 or uint16 `[H, W]`; what is ignored is `rule.classes` in both.

    Raises:
        ArrayError: shapes differ or are others, or an id lies outside the classes.
    """
    truth, prediction = ids_of("truth", truth), ids_of("prediction", prediction)
    check_pair(truth, prediction)
    if truth.ndim not in (2, 3) or 0 in truth.shape[-2:]:
        raise ArrayError(
            "this metric needs pictures",
            where="arguments truth and prediction",
            got=f"shape {truth.shape}, expected [H, W] or [N, H, W] and no empty side",
            fix="borders need the two sides of the picture: do not flatten it",
        )
    if all(ids.dtype in _NARROW and ids.size for ids in (truth, prediction)):
        pairs = _relabelled(truth, prediction, rule)
    else:
        pairs = _narrowed(truth, prediction, rule)
    truths, predictions = (ids.reshape(-1, *truth.shape[-2:]) for ids in pairs)
    return list(zip(truths, predictions, strict=True))


def _relabelled(
    truth: NDArray[Any], prediction: NDArray[Any], rule: Rule
) -> tuple[NDArray[Any], NDArray[Any]]:
    """By a table of all that a narrow type can hold."""
    classes, ignore = rule.classes, rule.ignore_index
    # Ids outside the classes become one id more.
    kept: type[Any] = np.uint8 if classes < _MOST_NARROW else np.uint16
    labels: list[NDArray[Any]] = []
    for ids, ignored in ((truth, ignore), (prediction, None)):
        table: NDArray[Any] = np.full(np.iinfo(ids.dtype).max + 1, classes + 1, kept)
        table[:classes] = np.arange(min(classes, len(table)))
        if ignored is not None and 0 <= ignored < len(table):
            table[ignored] = classes
        flat = ids.reshape(-1, ids.shape[-1])
        labels.append(relabel(flat, table).reshape(ids.shape))
    if ignore is not None:
        np.copyto(labels[1], np.asarray(classes, kept), where=labels[0] == classes)
    if any(int(ids.max()) > classes for ids in labels):
        check_ids(truth, prediction, classes, ignore)
    return labels[0], labels[1]


def _narrowed(
    truth: NDArray[Any], prediction: NDArray[Any], rule: Rule
) -> tuple[NDArray[Any], NDArray[Any]]:
    ignored = None if rule.ignore_index is None else truth == rule.ignore_index
    if not all(_are_inside(ids, ignored, rule.classes) for ids in (truth, prediction)):
        check_ids(truth, prediction, rule.classes, rule.ignore_index)
    first, second = (_labels(ids, ignored, rule.classes) for ids in (truth, prediction))
    return first, second


def _are_inside(ids: NDArray[Any], ignored: NDArray[np.bool_] | None, classes: int) -> bool:
    inside = ids < classes
    if np.issubdtype(ids.dtype, np.signedinteger):
        inside &= ids >= 0
    if ignored is not None:
        inside |= ignored
    return bool(inside.all())


def _labels(ids: NDArray[Any], ignored: NDArray[np.bool_] | None, classes: int) -> Labels:
    """The ids in a narrow type; what is ignored is `classes`."""
    labels = np.ascontiguousarray(ids.astype(np.uint8 if classes <= 255 else np.uint16))
    if ignored is not None:
        np.copyto(labels, np.asarray(classes, labels.dtype), where=ignored)
    return labels
