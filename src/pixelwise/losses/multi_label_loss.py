"""Losses for several classes per pixel, by name and by sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from pixelwise.errors import ArrayError, UsageError
from pixelwise.losses.binary import BinaryEntropy
from pixelwise.losses.formula import FormulaTerm, Option, parse_formula
from pixelwise.losses.overlap import Tversky
from pixelwise.losses.parts import checked_counts, exact_logits, shares_of
from pixelwise.losses.pictures import picture_by_picture
from pixelwise.losses.regions import ClassScores, RegionLoss
from pixelwise.losses.upsampled import Alignment

__all__ = ["MultiLabelLoss", "parse_multi_label_loss"]

_IGNORED = 255

_OPTIONS: Mapping[str, Mapping[str, Option]] = MappingProxyType(
    {
        "binary-cross-entropy": {},
        "focal": {"gamma": Option(2, 0, 10)},
        "dice": {},
        "tversky": {
            "alpha": Option(0.3, 0, 10),
            "beta": Option(0.7, 0, 10),
            "exponent": Option(1, 0.1, 10),
        },
    }
)

_PIXELS: Mapping[str, Callable[..., BinaryEntropy]] = MappingProxyType(
    {"binary-cross-entropy": BinaryEntropy, "focal": BinaryEntropy}
)
_REGIONS: Mapping[str, Callable[..., RegionLoss]] = MappingProxyType(
    {"dice": Tversky, "tversky": Tversky}
)


@dataclass(frozen=True, eq=False)
class MultiLabelLoss:
    """A weighted sum of losses for classes that may lie over each other.

    Sums and counts are kept apart as in `SegmentationLoss`.

    - `binary-cross-entropy`, `focal`: sums over the pixels of all classes, where those with the
      class count by its positive weight; the count is the number of them that are not ignored.
    - `dice`, `tversky`: of each picture, the mean over the classes of which it has pixels; counts
      pictures with any.

    Attributes:
        terms: the sum.
        classes: C.
        positive_weights: one for each class.
    """

    terms: tuple[FormulaTerm, ...]
    classes: int
    positive_weights: tuple[float, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def counts(self, target: torch.Tensor) -> torch.Tensor:
        """float64 `[T]`, on the target's device: what the sum of each term is to be divided by.

        Args:
            target: uint8 `[B, C, H, W]` of 0, 1, and 255 for what counts for nothing.

        Raises:
            ArrayError: other shape, type or values.
        """
        counts = self._counts(*self._tally(target))
        return torch.tensor(counts, dtype=torch.float64).to(target.device)

    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        alignment: Alignment = "half_pixel",
        counts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss, a scalar, in float32, or in float64 if the logits are.

        Args:
            logits: float `[B, C, h, w]`, at the network's own size.
            target: uint8 `[B, C, H, W]` of 0, 1, and 255 for what counts for nothing.
            alignment: how the logits lie on the target: "corners" is PyTorch's align_corners.
            counts: `[T]`, of the whole batch of which this is a part; None: of this part.

        Raises:
            ArrayError: shapes or types do not fit, or the target has other values.
        """
        there, counted = self._tally(target)
        exact = exact_logits(logits, len(target), self.classes)
        own = self._counts(there, counted)
        totals = own if counts is None else checked_counts(counts, len(own))
        evaluate = _Pictures(self, shares_of(self.terms, totals), target, there > 0)
        size = (target.shape[2], target.shape[3])
        with torch.autocast(logits.device.type, enabled=False):
            return picture_by_picture(exact, size, alignment, evaluate)

    def _tally(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int64 `[B, C]`, on the CPU: pixels with each class, and pixels that count."""
        right = target.ndim == 4 and target.shape[1] == self.classes and 0 not in target.shape
        if not right or target.dtype != torch.uint8:
            raise ArrayError(
                "the target is no batch of label layers",
                where="target",
                got=f"{target.dtype} {list(target.shape)};"
                f" expected uint8 [B, {self.classes}, H, W], none of them 0",
                fix="give a layer of 0, 1 and 255 for each class",
            )
        there, absent, ignored = ((target == value).sum((2, 3)).cpu() for value in (1, 0, _IGNORED))
        if (there + absent + ignored != target[0, 0].numel()).any():
            strange = sorted(set(target.flatten().tolist()) - {0, 1, _IGNORED})
            raise ArrayError(
                "the target has values that mean nothing",
                where="target",
                got=f"{', '.join(map(str, strange[:8]))}; expected 0, 1, or 255 for ignored",
                fix="write 1 where the class is there and 0 where it is not",
            )
        return there, there + absent

    def _counts(self, there: torch.Tensor, counted: torch.Tensor) -> list[float]:
        pixels, pictures = float(counted.sum()), float((there > 0).any(1).sum())
        return [pixels if term.name in _PIXELS else pictures for term in self.terms]


class _Pictures:
    """Loss and gradient of one picture at full size, class by class."""

    def __init__(
        self,
        loss: MultiLabelLoss,
        shares: Sequence[float],
        target: torch.Tensor,
        present: torch.Tensor,
    ) -> None:
        self._target = target
        self._present = present
        self._positive_weights = loss.positive_weights
        parts = list(zip(loss.terms, shares, strict=True))
        self._pixels = [
            (_PIXELS[term.name](**term.options), share)
            for term, share in parts
            if term.name in _PIXELS
        ]
        self._regions = [
            (_REGIONS[term.name](**term.options), share)
            for term, share in parts
            if term.name in _REGIONS
        ]

    def __call__(
        self, index: int, logits: torch.Tensor, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        losses, slopes = [], []
        for class_, plane in enumerate(logits):
            loss, slope = self._class(index, class_, plane, with_gradient)
            losses.append(loss)
            slopes.append(slope)
        return torch.stack(losses).sum(), torch.stack(slopes) if with_gradient else None

    def _class(
        self, index: int, class_: int, logits: torch.Tensor, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        target = self._target[index, class_]
        there, ignored = target == 1, target == _IGNORED
        sign = there.to(logits.dtype) - (target == 0).to(logits.dtype)
        logits = logits.masked_fill(ignored, 0)
        loss, slopes = logits.new_zeros(()), torch.zeros_like(logits)
        for pixels, share in self._pixels:
            value, slope = pixels.evaluate(
                logits, sign, self._positive_weights[class_], with_gradient=with_gradient
            )
            loss += share * value
            if slope is not None:
                slopes.add_(slope, alpha=share)
        if self._regions and self._present[index, class_]:
            probability = logits.sigmoid()
            chain = probability * (1 - probability) * sign.abs()
            scores = ClassScores(probability * sign.abs(), there, ignored)
            present = int(self._present[index].sum())
            for region, share in self._regions:
                value, slope = region.evaluate(scores, with_gradient=with_gradient)
                loss += value * (share / present)
                if slope is not None:
                    slopes.addcmul_(slope, chain, value=share / present)
        return loss, slopes


def parse_multi_label_loss(
    text: str, *, classes: int, positive_weights: torch.Tensor | None = None
) -> MultiLabelLoss:
    """Makes a loss from a sum of names, such as `"binary-cross-entropy + dice"`.

    Names, and their options with their defaults: `binary-cross-entropy`, `focal(gamma=2)`,
    `dice`, `tversky(alpha=0.3, beta=0.7, exponent=1)`.

    Args:
        text: the sum; a number before a name is its weight.
        classes: C, the channels of the logits.
        positive_weights: finite floats `[C]`, none below 0: how much pixels with the class count
            beside those without it; None: all 1.

    Raises:
        UsageError: lists every fault of the text, or of the rest.
    """
    terms = parse_formula(text, _OPTIONS)
    weights = torch.ones(max(classes, 0)) if positive_weights is None else positive_weights
    right = weights.shape == (classes,) and (weights.isfinite() & (weights >= 0)).all()
    if classes < 1 or not right:
        raise UsageError(
            "the loss cannot be made",
            where=f"loss {text!r}",
            got=f"classes={classes}, positive_weights={weights.tolist()}",
            fix="give one finite weight, not below 0, for each of at least one class",
        )
    return MultiLabelLoss(terms, classes, tuple(weights.double().tolist()))
