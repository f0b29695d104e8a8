"""Bilinear upsampling and cross-entropy in one pass, with the gradient at the size of the scores.

Per counted pixel, with the softmax probabilities p_c of the interpolated scores, the probability p
of the truth (its class, or the sum over its candidates), the weight w of the truth, C classes, a
focal exponent γ (Lin et al., "Focal loss for dense object detection", arXiv 1708.02002, eq. 4) and
a label smoothing ε (Szegedy et al., "Rethinking the Inception architecture", arXiv 1512.00567,
section 7, weighed as in `torch.nn.functional.cross_entropy`):

    (1 - ε) · w · (1 - p)^γ · (-ln p)  +  ε / C · Σ_c w_c · (-ln p_c)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_loss
from pixelwise.kernels.axis import Axis
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import MOST_CLASSES, thread_count
from pixelwise.kernels.types import Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["LossRule", "Target", "upsampled_loss", "upsampled_loss_gradient"]

Target: TypeAlias = npt.NDArray[Any]
"""uint8, uint16, int32 or int64 [B, H, W]."""

_ID_TYPES = ("uint8", "uint16", "int32", "int64")
_MOST_UNIONS = 65535
_NAMED_IDS = 12


@dataclass(frozen=True, slots=True, eq=False)
class LossRule:
    """What a pixel of the truth costs; checked once, used for every batch.

    Ids 0 to C - 1 of the truth are the classes. Ids from C on are unions, where the truth is one
    of several classes, and their weight is the mean of the weights of their candidates. A union
    of no class or of all says nothing: its pixels count for nothing, as those of `ignore_index`.

    Args:
        classes: C, 1 to 65535.
        ignore_index: id of pixels that count for nothing; any whole number.
        class_weights: finite, not negative [C]; None: 1 for all.
        candidates: bool [K, C], K >= C: which classes an id may be. Row k < C must hold class k
            alone.
        label_smoothing: ε, 0 to 1; 0 where `focal_gamma` is not.
        focal_gamma: γ, 0 to 20.

    Raises:
        UsageError: a value is outside its range.
        ArrayError: an array has another shape or values.
    """

    classes: int
    ignore_index: int
    class_weights: npt.ArrayLike | None = None
    candidates: npt.ArrayLike | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
