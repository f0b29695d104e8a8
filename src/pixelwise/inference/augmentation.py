"""Test-time augmentation: the mean of a network's answers over views of one picture.

Views are the picture mirrored, turned upside down, or at other scales. The scores of each are
brought back to the grid of the first before they are added, so that geometry stays exact.

Of a softmax the scores are averaged. Of a sigmoid the probabilities are, and what is given are the
logits of their mean: a logit has no bound, so in a mean of logits one view that is very sure would
outvote all others, and thresholds, which are set on probabilities, would mean another thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.errors import UsageError
from pixelwise.inference.card import Card
from pixelwise.inference.preprocess import InputPlan, prepare, score_geometry

__all__ = ["AUGMENTATIONS", "View", "mean_scores", "views_of"]

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """One look at a picture.

    Attributes:
        upside_down, mirrored: which sides are flipped.
        scale: how much larger the network sees it.
    """

    upside_down: bool = False
    mirrored: bool = False
    scale: float = 1.0


AUGMENTATIONS: dict[str, tuple[View, ...]] = {
    "none": (View(),),
    "mirror": (View(), View(mirrored=True)),
    "flips": tuple(View(down, mirrored) for down in (False, True) for mirrored in (False, True)),
    "scales": (View(), View(scale=0.75), View(scale=1.25)),
}


def views_of(tta: str) -> tuple[View, ...]:
    """The views of an augmentation, the picture as it is first.

    Raises:
        UsageError: there is no such augmentation.
    """
    if tta not in AUGMENTATIONS:
        raise UsageError(
            "there is no such test-time augmentation",
            where="argument tta",
            got=repr(tta),
            fix=f"one of {', '.join(AUGMENTATIONS)}",
        )
    return AUGMENTATIONS[tta]


def mean_scores(
    pictures: list[NDArray[Any]],
    plans: list[InputPlan],
    card: Card,
    views: tuple[View, ...],
    run: Callable[[Scores], Scores],
    *,
    step: int | None = None,
    threads: int = 1,
) -> Scores:
    """Mean scores of several pictures, float32 `[B, C, h, w]`, on the grid of the first view.

    Args:
        pictures: each `[H, W, bands]`.
        plans: of the first view of each; their inputs have one size.
        card: of the network.
        views: the first is the picture as it is.
        run: the network.
        step: of tiles, which have one size at each scale, multiples of this apart; None for whole
            pictures, which are padded as the card says.
        threads: cores that may be used.
    """
    inputs = _prepared(pictures, plans, card, threads)
    first = run(inputs)
    if len(views) == 1:
        return first
    sigmoid = card.postprocessing.activation == "sigmoid"
    mean = _MeanProbability(first) if sigmoid else _MeanScore(first)
    for view in views[1:]:
        if view.scale == 1:
            mean.add(_flipped(run(_flipped(inputs, view)), view))
            continue
        scaled = [_scaled(plan, card, view.scale, step) for plan in plans]
        # Pictures padded to one size may differ in theirs at another scale.
        together = len(pictures) if len({plan.padded for plan in scaled}) == 1 else 1
        enlarged = np.empty_like(first)
        for start in range(0, len(pictures), together):
            members = slice(start, start + together)
            scores = run(_prepared(pictures[members], scaled[members], card, threads))
            for index, maps in enumerate(scores, start):
                rows, columns = _between(
                    plans[index], first.shape[2:], scaled[index], maps.shape[1:], card
                )
                enlarged[index] = kernels.decode_scores(maps, rows, columns, threads=threads)
        mean.add(enlarged)
    return mean.scores()


class _MeanScore:
    """The mean of the scores of views."""

    def __init__(self, scores: Scores) -> None:
        self._total = scores
        self._views = 1

    def add(self, scores: Scores) -> None:
        """One more view."""
        self._total += scores
        self._views += 1

    def scores(self) -> Scores:
        """Their mean."""
        self._total /= np.float32(self._views)
        return self._total


class _MeanProbability:
    """The logits of the mean probability of views.

    Of p and of 1 - p the logarithms are summed, so that logits beyond 17, where p is 1 in float32,
    keep their size.
    """

    def __init__(self, logits: Scores) -> None:
        self._yes = _log_sigmoid(logits)
        self._no = _log_sigmoid(-logits)

    def add(self, logits: Scores) -> None:
        """One more view."""
        np.logaddexp(self._yes, _log_sigmoid(logits), out=self._yes)
        np.logaddexp(self._no, _log_sigmoid(-logits), out=self._no)

    def scores(self) -> Scores:
        """log(p / (1 - p)): what both were divided by for the mean falls out."""
        return self._yes - self._no


def _log_sigmoid(logits: Scores) -> Scores:
    found: Scores = -np.logaddexp(np.float32(0), -logits)
    return found


def _prepared(
    pictures: list[NDArray[Any]], plans: list[InputPlan], card: Card, threads: int
) -> Scores:
    prepared = [
        prepare(picture, plan, card.preprocessing, threads=threads)
        for picture, plan in zip(pictures, plans, strict=True)
    ]
    return prepared[0][None] if len(prepared) == 1 else np.stack(prepared)


def _flipped(batch: Scores, view: View) -> Scores:
    # The whole input is flipped, padding and all: the grid of scores then falls on itself.
    rows, columns = (-1 if flip else 1 for flip in (view.upside_down, view.mirrored))
    return np.ascontiguousarray(batch[:, :, ::rows, ::columns])


def _scaled(plan: InputPlan, card: Card, scale: float, step: int | None) -> InputPlan:
    """Sizes of a view at another scale."""
    rule = card.preprocessing
    resized, padded = [], []
    for side, full in zip(plan.resized, plan.padded, strict=True):
        wanted = max(1, round(side * scale))
        if step is None:
            resized.append(wanted)
            padded.append(wanted + (rule.remainder - wanted) % rule.multiple)
            continue
        # One size for all tiles, at the rim of the picture or not: engines prepare for each size.
        extent = full + step * round((full * scale - full) / step)
        extent = extent if extent > 0 else full
        # Zeros inside a picture, where a tile ends, would be seen as a border.
        resized.append(extent if side == full else min(wanted, extent))
        padded.append(extent)
    return replace(plan, resized=(resized[0], resized[1]), padded=(padded[0], padded[1]))


def _between(
    plan: InputPlan,
    cells: tuple[int, ...],
    other: InputPlan,
    other_cells: tuple[int, ...],
    card: Card,
) -> tuple[kernels.Axis, kernels.Axis]:
    """Where the scores of one view fall on those of another of the same picture."""
    here = score_geometry(plan, (cells[0], cells[1]), card.postprocessing)
    there = score_geometry(other, (other_cells[0], other_cells[1]), card.postprocessing)
    axes = []
    for size, axis, target in zip(
        cells, (here.rows, here.columns), (there.rows, there.columns), strict=True
    ):
        # A single score stands for all pixels.
        scale = target.scale / axis.scale if axis.scale > 0 else 0.0
        axes.append(kernels.Axis(size, scale, target.offset - scale * axis.offset))
    return axes[0], axes[1]
