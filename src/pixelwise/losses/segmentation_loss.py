"""Losses for one class per pixel, by name and by sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from pixelwise.errors import UsageError
from pixelwise.losses.boundary import Boundary
from pixelwise.losses.formula import FormulaTerm, Option, parse_formula
from pixelwise.losses.hard_pixels import HardPixels
from pixelwise.losses.lovasz import Lovasz
from pixelwise.losses.overlap import Tversky
from pixelwise.losses.parts import checked_counts, exact_logits, shares_of
from pixelwise.losses.pictures import picture_by_picture
from pixelwise.losses.regions import ClassScores, RegionLoss
from pixelwise.losses.target_rows import TargetRows, make_target_rows
from pixelwise.losses.upsampled import Alignment, upsampled_cross_entropy

__all__ = ["SegmentationLoss", "parse_loss"]

_CROSS_ENTROPY, _FOCAL, _OHEM = "cross-entropy", "focal", "ohem"

_OPTIONS: Mapping[str, Mapping[str, Option]] = MappingProxyType(
    {
        _CROSS_ENTROPY: {},
        _FOCAL: {"gamma": Option(2, 0, 10)},
        _OHEM: {"threshold": Option(0.7, 1e-6, 1), "share": Option(0.1, 0, 1)},
        "dice": {},
        "tversky": {
            "alpha": Option(0.3, 0, 10),
            "beta": Option(0.7, 0, 10),
            "exponent": Option(1, 0.1, 10),
        },
        "lovasz": {},
        "boundary": {"tolerance": Option(2, 1, 64, whole=True)},
    }
)

_REGIONS: Mapping[str, Callable[..., RegionLoss]] = MappingProxyType(
    {"dice": Tversky, "tversky": Tversky, "lovasz": Lovasz, "boundary": Boundary}
)

# The kernels take all other kinds.
_OTHER_INTEGERS = (torch.int8, torch.int16, torch.uint32, torch.uint64)


@dataclass(frozen=True, eq=False)
class SegmentationLoss:
    """A weighted sum of losses, exact in how its parts are added up.

    Each term is a sum and a count that depends on the target alone. The sums of the parts of a
    batch, over micro-batches and processes, divided by the total counts, give the loss of the
    whole batch, however it was cut.

    - `cross-entropy`, `focal`: sums over pixels; the count is the sum of the pixels' weights, so
      that they are means by weight as in PyTorch.
    - `ohem`: a mean over the hard pixels of each picture; counts pictures with counted pixels.
    - `dice`, `tversky`, `lovasz`, `boundary`: of each picture, the mean over the classes of which
      it has pixels; counts pictures with any. Class weights have no part in them.

    A union pixel, which may be several classes, gives its loss to them together. In the first
    three terms its probability is the sum of theirs. In the others it is left out, truth and
    prediction, of the classes that it may be, and is a pixel outside of the classes that it
    cannot be: only what is known is asked for.

    Attributes:
        terms: the sum.
        rows: what the numbers of a target mean.
        class_weights: float32 `[C]`, or None for ones.
        label_smoothing: share of the truth that is spread over all classes, in `cross-entropy`.
    """

    terms: tuple[FormulaTerm, ...]
    rows: TargetRows
    class_weights: torch.Tensor | None
    label_smoothing: float

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def counts(self, target: torch.Tensor) -> torch.Tensor:
        """float64 `[T]`, on the target's device: what the sum of each term is to be divided by.

        Args:
            target: integers `[B, H, W]`.

        Raises:
            ArrayError: other shape or type, or numbers that mean nothing.
        """
        counts = self._counts(self.rows.tally(target))
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
            target: integers `[B, H, W]`.
            alignment: how the logits lie on the target: "corners" is PyTorch's align_corners.
            counts: `[T]`, of the whole batch of which this is a part; None: of this part.

        Raises:
            ArrayError: shapes or types do not fit, or the target has numbers that mean nothing.
        """
        tally = self.rows.tally(target)
        exact = exact_logits(logits, len(target), self.rows.classes)
        own = self._counts(tally)
        shares = shares_of(self.terms, own if counts is None else checked_counts(counts, len(own)))
        loss = exact.new_zeros(())
        with torch.autocast(logits.device.type, enabled=False):
            for term, share in zip(self.terms, shares, strict=True):
                if term.name in (_CROSS_ENTROPY, _FOCAL):
                    loss = loss + share * self._pixels(term, exact, target, alignment)
            evaluate = _Pictures(self, shares, target, tally)
            if evaluate.needed:
                size = (target.shape[1], target.shape[2])
                loss = loss + picture_by_picture(exact, size, alignment, evaluate)
        return loss

    def _counts(self, tally: torch.Tensor) -> list[float]:
        pixels = tally.double() @ self.rows.weights
        known = {
            _CROSS_ENTROPY: float(pixels.sum()),
            _FOCAL: float(pixels.sum()),
            _OHEM: float((pixels > 0).sum()),
        }
        pictures = float(self.rows.present(tally).any(1).sum())
        return [known.get(term.name, pictures) for term in self.terms]

    def _pixels(
        self, term: FormulaTerm, logits: torch.Tensor, target: torch.Tensor, alignment: Alignment
    ) -> torch.Tensor:
        device = logits.device
        weights, candidates = self.class_weights, self.rows.candidates
        return upsampled_cross_entropy(
            logits.float(),
            target.to(torch.int32) if target.dtype in _OTHER_INTEGERS else target,
            alignment=alignment,
            ignore_index=self.rows.ignore_index,
            class_weights=None if weights is None else weights.to(device),
            candidates=None if len(candidates) == self.rows.classes else candidates.to(device),
            label_smoothing=self.label_smoothing if term.name == _CROSS_ENTROPY else 0.0,
            focal_gamma=term.options.get("gamma", 0.0),
        )


class _Pictures:
    """The terms that see a picture at full size: one softmax for all of them."""

    def __init__(
        self,
        loss: SegmentationLoss,
        shares: Sequence[float],
        target: torch.Tensor,
        tally: torch.Tensor,
    ) -> None:
        self._rows = loss.rows
        self._target = target
        self._tally = tally
        self._present = loss.rows.present(tally)
        self._counted = tally.double() @ loss.rows.weights > 0
        parts = list(zip(loss.terms, shares, strict=True))
        self._hard = [
            (HardPixels(**term.options), share) for term, share in parts if term.name == _OHEM
        ]
        self._regions = [
            (_REGIONS[term.name](**term.options), share)
            for term, share in parts
            if term.name in _REGIONS
        ]

    @property
    def needed(self) -> bool:
        return bool(self._hard or self._regions)

    def __call__(
        self, index: int, logits: torch.Tensor, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        numbers = self._target[index].to(torch.int32)
        loss = logits.new_zeros(())
        gradient = None
        if self._hard and self._counted[index]:
            log_probability = logits.log_softmax(0)
            probability = log_probability.exp()
            for term, share in self._hard:
                value, slope = term.evaluate(
                    log_probability,
                    probability,
                    numbers,
                    self._tally[index],
                    self._rows,
                    with_gradient=with_gradient,
                )
                loss += share * value
                if slope is not None:
                    gradient = slope.mul_(share)
        else:
            probability = logits.softmax(0)
        if self._regions and self._present[index].any():
            value, slope = self._region_terms(index, probability, numbers, with_gradient)
            loss += value
            if slope is not None:
                gradient = slope if gradient is None else gradient.add_(slope)
        return loss, gradient

    def _region_terms(
        self, index: int, probability: torch.Tensor, numbers: torch.Tensor, with_gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        nothing = self._rows.counts_for_nothing(numbers, self._tally[index])
        if nothing is not None:
            # No probability there: it adds to no sum, and its gradient is 0 below.
            probability.masked_fill_(nothing, 0)
        present = self._present[index].nonzero().flatten().tolist()
        unions = self._rows.unions(self._tally[index])
        loss = probability.new_zeros(())
        slopes = torch.zeros_like(probability) if with_gradient else None
        for class_ in present:
            open_ = self._rows.may_be(numbers, class_, unions)
            plane = probability[class_]
            scores = ClassScores(
                plane if open_ is None else plane.masked_fill(open_, 0),
                self._rows.belongs(numbers, class_),
                _either(open_, nothing),
            )
            for term, share in self._regions:
                value, slope = term.evaluate(scores, with_gradient=with_gradient)
                loss += value * (share / len(present))
                if slopes is not None and slope is not None:
                    slopes[class_].add_(slope, alpha=share / len(present))
            if slopes is not None and open_ is not None:
                slopes[class_].masked_fill_(open_, 0)
        if slopes is None:
            return loss, None
        # From probabilities to logits: p·(slope - Σ p·slope).
        slopes *= probability
        return loss, slopes.addcmul_(probability, slopes.sum(0), value=-1)


def _either(one: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def parse_loss(
    text: str,
    *,
    classes: int,
    ignore_index: int,
    class_weights: torch.Tensor | None = None,
    candidates: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> SegmentationLoss:
    """Makes a loss from a sum of names, such as `"cross-entropy + 0.5 dice"`.

    Names, and their options with their defaults: `cross-entropy`, `focal(gamma=2)`,
    `ohem(threshold=0.7, share=0.1)`, `dice`, `tversky(alpha=0.3, beta=0.7, exponent=1)`,
    `lovasz`, `boundary(tolerance=2)`. Boundaries say nothing of what is between them: `boundary`
    is only of use beside another.

    Args:
        text: the sum; a number before a name is its weight.
        classes: C, the channels of the logits; at least 2.
        ignore_index: number of pixels that count for nothing.
        class_weights: floats `[C]`; None: all 1.
        candidates: bool `[K, C]`: the classes that a pixel of each number may be; the first C
            rows are the classes themselves. None: there are no others.
        label_smoothing: share of the truth that is spread over all classes, 0 to below 1.

    Raises:
        UsageError: lists every fault of the text, or of the rest.
    """
    terms = parse_formula(text, _OPTIONS)
    if not 0 <= label_smoothing < 1 or (
        label_smoothing and not any(term.name == _CROSS_ENTROPY for term in terms)
    ):
        raise UsageError(
            "this label smoothing cannot be used",
            where=f"loss {text!r}",
            got=f"label_smoothing={label_smoothing!r}; expected 0 to below 1, with cross-entropy",
            fix="set it to 0, or add cross-entropy to the loss",
        )
    rows = make_target_rows(classes, ignore_index, candidates, class_weights)
    weights = None if class_weights is None else class_weights.detach().float()
    return SegmentationLoss(terms, rows, weights, label_smoothing)
