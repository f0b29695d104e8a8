"""Bilinear upsampling and cross-entropy in one pass, with the gradient at the size of the scores.

Per counted pixel, with the softmax probabilities p_c of the C interpolated scores, the probability
p of the truth (its class, or the sum over its candidates), the weight w of the truth, a focal
exponent γ (Lin et al., "Focal loss for dense object detection", arXiv 1708.02002, eq. 4) and a
label smoothing ε (Szegedy et al., "Rethinking the Inception architecture for computer vision",
arXiv 1512.00567, section 7; weighed as in `torch.nn.functional.cross_entropy`):

    (1 - ε) · w · (1 - p)^γ · (-ln p) + ε / C · Σ_c w_c · (-ln p_c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_loss
from pixelwise.kernels.axis import Axis
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array, thread_count
from pixelwise.kernels.loss_rule import LossRule
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["upsampled_loss_gradient", "upsampled_loss_sum"]

_Ids: TypeAlias = npt.NDArray[Any]

_ID_TYPES = ("uint8", "uint16", "int32", "int64")


def upsampled_loss_sum(
    logits: Floats, target: _Ids, rows: Axis, columns: Axis, rule: LossRule, *, threads: int = 0
) -> float:
    """The sum over all pixels of the loss of the interpolated scores; see the module.

    Args:
        logits: float32 [B, C, h, w]; used where it lies if it is in C order or channels-last.
            A pixel whose interpolated scores are not all finite makes the loss NaN, unless it
            counts for nothing.
        target: uint8, uint16, int32 or int64 [B, H, W] of ids below `rule.rows`, or
            `rule.ignore_index`.
        rows: how the H picture rows fall on the h score rows.
        columns: how the W picture columns fall on the w score columns.
        rule: what a pixel costs.
        threads: 0 for every core that this process may use. The answer does not depend on it.

    Returns:
        The sum; 0 where nothing counts. Within a relative error of 3e-6 for scores up to 50.

    Raises:
        ArrayError: an array is not such an array, or an id of the target is outside the rows.
        UsageError: an axis or the number of threads is not one.
    """
    workers = _checked(logits, target, rows, columns, rule, threads)
    if not COMPILED:
        return reference_loss.upsampled_loss(logits, target, rows, columns, rule)[0]
    nothing = np.empty((0, 0, 0, 0), np.float32)
    return _run(*_in_memory_order(logits), target, rows, columns, rule, nothing, workers)


def upsampled_loss_gradient(
    logits: Floats, target: _Ids, rows: Axis, columns: Axis, rule: LossRule, *, threads: int = 0
) -> tuple[float, Floats]:
    """The loss as `upsampled_loss_sum` gives it, and its gradient; arguments as there.

    Returns:
        The sum, and its derivative by every score, float32 [B, C, h, w] in the memory order of
        `logits`, within 3e-6 of its largest entry for scores up to 50.

    Raises:
        ArrayError: an array is not such an array, or an id of the target is outside the rows.
        UsageError: an axis or the number of threads is not one.
    """
    workers = _checked(logits, target, rows, columns, rule, threads)
    if not COMPILED:
        return reference_loss.upsampled_loss(logits, target, rows, columns, rule)
    scores, channels_last = _in_memory_order(logits)
    gradient = np.empty_like(scores)
    total = _run(scores, channels_last, target, rows, columns, rule, gradient, workers)
    return total, gradient.transpose(0, 3, 1, 2) if channels_last else gradient


def _in_memory_order(logits: Floats) -> tuple[Floats, bool]:
    """The logits in C order, and whether that is [B, h, w, C]."""
    last = logits.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous and not logits.flags.c_contiguous:
        return last, True
    return np.ascontiguousarray(logits), False


def _run(
    scores: Floats,
    channels_last: bool,
    target: _Ids,
    rows: Axis,
    columns: Axis,
    rule: LossRule,
    gradient: Floats,
    workers: int,
    variant: str = "",
) -> float:
    height, width = scores.shape[1:3] if channels_last else scores.shape[2:]
    plain = rule.class_weights is None and not len(rule.unions)
    return _native.upsampled_loss(
        scores,
        channels_last,
        *rows.table(height),
        *columns.table(width),
        np.ascontiguousarray(target),
        rule.ignore_index,
        rule.row_weights[:0] if plain else rule.row_weights,
        rule.weights,
        rule.union_orders,
        rule.union_sizes,
        rule.label_smoothing,
        rule.focal_gamma,
        gradient,
        workers,
        variant,
    )


def _checked(
    logits: Floats, target: _Ids, rows: Axis, columns: Axis, rule: LossRule, threads: int
) -> int:
    check_array("logits", logits, ("float32",), 4, "[B, C, h, w]")
    check_array("target", target, _ID_TYPES, 3, "[B, H, W]")
    for name, axis in (("rows", rows), ("columns", columns)):
        if not isinstance(axis, Axis):
            raise UsageError(
                f"{name} is not an Axis",
                where=f"argument {name}",
                got=type(axis).__name__,
                fix="Axis.half_pixel(picture pixels, scores) is the usual one",
            )
    if logits.shape[1] != rule.classes:
        raise ArrayError(
            "the logits are not those of the rule",
            where="argument logits [B, C, h, w]",
            got=f"{logits.shape[1]} classes, expected {rule.classes}",
            fix="make a LossRule for this network",
        )
    expected = (len(logits), rows.size, columns.size)
    if target.shape != expected:
        raise ArrayError(
            "the target has the wrong size",
            where="argument target [B, H, W]",
            got=f"{list(target.shape)}, expected {list(expected)}",
            fix="make the axes for the size of the target",
        )
    workers = thread_count(threads)
    ids = np.ascontiguousarray(target)
    if not COMPILED or _native.has_ids_outside(ids, rule.rows, rule.ignore_index):
        rule.refuse(ids)
    return workers
