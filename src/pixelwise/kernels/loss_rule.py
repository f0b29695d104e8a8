"""What a pixel of the truth costs: ignored ids, weights, unions of classes, smoothing, focus."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels.checks import MOST_CLASSES
from pixelwise.kernels.types import Floats

__all__ = ["LossRule"]

_MOST_GAMMA = 20.0
_NAMED_IDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class LossRule:
    """What a pixel of the truth costs; checked once, good for any number of batches.

    The ids 0 to C - 1 of the truth are the classes. Ids from C on are unions, whose truth is one
    of several classes, and their weight is the mean of the weights of these candidates. A union of
    no class, or of all, says nothing: its pixels count for nothing, as those of `ignore_index`.

    Args:
        classes: C, 1 to 65535.
        ignore_index: the id of pixels that count for nothing; any whole number, and it wins over
            a class of that id.
        class_weights: [C], finite and not negative; None: 1 for all.
        candidates: bool [K, C], K >= C: the classes that a pixel of an id may be. Row k < C holds
            class k alone. None: no unions.
        label_smoothing: ε, 0 to 1; 0 where `focal_gamma` is not.
        focal_gamma: γ, 0 to 20.

    Attributes:
        weights: float32 [C].
        row_weights: float32 [K], of every id; -1 where it counts for nothing.
        unions: bool [K - C, C], the rows of candidates from C on.
        union_orders: int32 [K - C, C], the candidates of each union, then the other classes.
        union_sizes: int32 [K - C], the candidates of each union, at least 1 (of a union of none,
            which counts for nothing, too).

    Raises:
        UsageError: with every fault at once.
    """

    classes: int
    ignore_index: int
    class_weights: npt.ArrayLike | None = None
    candidates: npt.ArrayLike | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    weights: Floats = field(init=False)
    row_weights: Floats = field(init=False)
    unions: npt.NDArray[np.bool_] = field(init=False)
    union_orders: npt.NDArray[np.int32] = field(init=False)
    union_sizes: npt.NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        weights, weight_faults = self._weights()
        unions, union_faults = self._unions()
        faults = self._number_faults() + weight_faults + union_faults
        if faults:
            raise UsageError(
                "the loss cannot be worked out as asked",
                where=f"a loss over {self.classes} classes",
                got="; ".join(faults),
                fix="change the arguments named above",
            )
        sizes = unions.sum(axis=1)
        means = (unions @ weights) / np.maximum(sizes, 1)
        means[(sizes == 0) | (sizes == self.classes)] = -1.0
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "row_weights", np.concatenate([weights, means.astype(np.float32)]))
        object.__setattr__(self, "unions", unions)
        order = np.argsort(~unions, axis=1, kind="stable").astype(np.int32)
        object.__setattr__(self, "union_orders", order)
        object.__setattr__(self, "union_sizes", np.maximum(sizes, 1).astype(np.int32))

    @property
    def rows(self) -> int:
        """K, the number of ids that a pixel may have."""
        return len(self.row_weights)

    def refuse(self, ids: npt.NDArray[Any]) -> None:
        """Raises ArrayError, naming them, if there are ids outside the rows among these."""
        distinct = np.unique(ids)
        outside = distinct[(distinct < 0) | (distinct >= self.rows)]
        outside = outside[outside != self.ignore_index]
        if not outside.size:
            return
        names = ", ".join(map(str, outside[:_NAMED_IDS].tolist()))
        more = f" and {outside.size - _NAMED_IDS} more" if outside.size > _NAMED_IDS else ""
        raise ArrayError(
            "the target has ids that stand for no class",
            where="argument target [B, H, W]",
            got=f"ids {names}{more}, expected 0 to {self.rows - 1}, or {self.ignore_index} "
            "where a pixel counts for nothing",
            fix="give the network that many classes, or map these ids to the ignore id",
        )

    def _number_faults(self) -> list[str]:
        faults = []
        if not 1 <= self.classes <= MOST_CLASSES:
            faults.append(f"{self.classes} classes, expected 1 to {MOST_CLASSES}")
        # NaN is in no range.
        if not 0 <= self.label_smoothing <= 1:
            faults.append(f"label_smoothing={self.label_smoothing!r}, expected 0 to 1")
        if not 0 <= self.focal_gamma <= _MOST_GAMMA:
            faults.append(f"focal_gamma={self.focal_gamma!r}, expected 0 to {_MOST_GAMMA:g}")
        if self.label_smoothing and self.focal_gamma:
            faults.append("label_smoothing and focal_gamma, expected one of them to be 0")
        return faults

    def _weights(self) -> tuple[Floats, list[str]]:
        if self.class_weights is None:
            return np.ones(self.classes, np.float32), []
        weights = np.asarray(self.class_weights, np.float32)
        if weights.shape != (self.classes,):
            fault = f"class_weights of shape {list(weights.shape)}, expected [{self.classes}]"
            return np.ones(self.classes, np.float32), [fault]
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if wrong.size:
            fault = f"class_weights[{wrong[0]}] is {weights[wrong[0]]}, expected 0 or more"
            return weights, [fault]
        return np.ascontiguousarray(weights), []

    def _unions(self) -> tuple[npt.NDArray[np.bool_], list[str]]:
        nothing = np.zeros((0, self.classes), np.bool_)
        if self.candidates is None:
            return nothing, []
        candidates = np.asarray(self.candidates)
        expected = f"bool [at least {self.classes}, {self.classes}]"
        if candidates.dtype != np.bool_ or candidates.ndim != 2:
            got = f"{candidates.dtype} {list(candidates.shape)}"
            return nothing, [f"candidates are {got}, expected {expected}"]
        if candidates.shape[1] != self.classes or len(candidates) < self.classes:
            return nothing, [f"candidates of shape {list(candidates.shape)}, expected {expected}"]
        if not np.array_equal(candidates[: self.classes], np.eye(self.classes, dtype=np.bool_)):
            return nothing, ["a row k < C of candidates does not hold class k alone"]
        return candidates[self.classes :], []
