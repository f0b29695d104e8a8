"""The gate: an export that does not answer as its original is not let out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pixelwise.evaluation.compare import Comparison
from pixelwise.export.network import DEQUANTISED, Network, runner, with_outputs
from pixelwise.export.pictures import Pictures, odd_crops
from pixelwise.inference.card import Drop
from pixelwise.inference.predictor import Model

__all__ = [
    "Agreement",
    "Blame",
    "Compared",
    "Limits",
    "agreement_of",
    "blame",
    "drop_of",
    "faults_of",
]

_OVERALL = "mean_iou"
_TINY = 1e-12


@dataclass(frozen=True)
class Limits:
    """What an export may differ by.

    Attributes:
        agreement: least share of equal labels, of all pictures.
        worst: of the worst picture.
        score_error: largest difference of a score, as a share of the scores' spread.
        drop: most points of mean IoU lost on a data set.
    """

    agreement: float
    worst: float
    score_error: float
    drop: float


@dataclass(frozen=True)
class Compared:
    """A picture that both models were given.

    Attributes:
        name: of the picture.
        size: `(H, W)` of what was given.
        agreement: share of pixels with the same label; of classes that lie over each other: with
            the same ones of all of them.
        score_error: largest difference of a score.
        low, high: lowest and highest score of the original.
    """

    name: str
    size: tuple[int, int]
    agreement: float
    score_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How alike two models answer.

    Attributes:
        pictures: each as it was given, one after the other.
    """

    pictures: tuple[Compared, ...]

    @property
    def share(self) -> float:
        """Of all pixels that have the same label."""
        weights = [each.size[0] * each.size[1] for each in self.pictures]
        return float(np.average([each.agreement for each in self.pictures], weights=weights))

    @property
    def worst(self) -> Compared:
        """The picture of least agreement."""
        return min(self.pictures, key=lambda each: each.agreement)

    @property
    def score_error(self) -> float:
        """Largest difference of a score."""
        return max(each.score_error for each in self.pictures)

    @property
    def score_spread(self) -> float:
        """Between the lowest and the highest score of the original."""
        low = min(each.low for each in self.pictures)
        return max(each.high for each in self.pictures) - low


def agreement_of(
    original: Model,
    exported: Sequence[Model],
    pictures: Pictures,
    *,
    progress: Callable[[int], object] | None = None,
) -> Agreement:
    """Gives both the same pictures at odd sizes.

    Args:
        original: the model before.
        exported: the export, in each engine that it is for; the one that differs most counts.
        pictures: each is given whole and as a part of another shape.
        progress: called with 1 after each picture.

    Raises:
        EngineError: a network cannot be run, or gives scores that are no numbers.
    """
    found = []
    for place, name in enumerate(pictures.names):
        for crop in odd_crops(pictures.read(place)):
            answers = [_answer(model, crop) for model in exported]
            found.append(_compared(name, _answer(original, crop), answers))
        if progress is not None:
            progress(1)
    return Agreement(tuple(found))


@dataclass(frozen=True, eq=False)
class _Answer:
    """What a model says of a picture: which classes `[…, H, W]`, and by which scores."""

    size: tuple[int, int]
    classes: NDArray[np.integer] | NDArray[np.bool_]
    scores: NDArray[np.float32]


def _answer(model: Model, picture: NDArray[Any]) -> _Answer:
    if model.is_multi_label:
        several = model.predict_multi_label(picture)
        return _Answer(several.size, several.masks(), several.scores)
    one = model.predict(picture)
    return _Answer(one.size, one.labels[None], one.scores)


def _compared(name: str, expected: _Answer, others: Sequence[_Answer]) -> Compared:
    same = [(other.classes == expected.classes).all(axis=0) for other in others]
    shares = [float(each.mean()) for each in same]
    errors = [float(np.abs(other.scores - expected.scores).max()) for other in others]
    low, high = float(expected.scores.min()), float(expected.scores.max())
    return Compared(name, expected.size, min(shares), max(errors), low, high)


def drop_of(comparison: Comparison) -> Drop | None:
    """What an export lost on a data set; None where no class is in truth or prediction.

    Args:
        comparison: of the original (A) and the export (B).
    """
    found = comparison.overall[_OVERALL]
    if found.a is None or found.b is None:
        return None
    facts = comparison.a.subject.truths.facts
    units = comparison.a.units
    return Drop(
        before=found.a,
        after=found.b,
        low=found.low,
        high=found.high,
        protocol=f"{facts['data']}, {facts['split']}, {len(comparison.names):,} pictures, the "
        f"difference by the same pictures, interval over {units.count:,} {units.kind}",
    )


def faults_of(
    agreement: Agreement, drop: Drop | None, limits: Limits, *, accepted: bool
) -> list[str]:
    """Why an export may not be let out; nothing where it may.

    Args:
        agreement: on pictures.
        drop: on a data set, if there was one.
        limits: of both.
        accepted: whether somebody set the limit of the drop: then the data set decides alone.
    """
    faults = []
    if drop is not None and drop.points > limits.drop:
        faults.append(f"{drop.describe()}; at most {limits.drop:g} points may be lost")
    if accepted and drop is not None:
        return faults
    worst = agreement.worst
    if agreement.share < limits.agreement:
        faults.append(
            f"{agreement.share:.2%} of the labels agree, at least {limits.agreement:.2%} must"
        )
    if worst.agreement < limits.worst:
        faults.append(
            f"{worst.agreement:.2%} of the labels agree in {worst.name}, at least "
            f"{limits.worst:.2%} must"
        )
    share = agreement.score_error / max(agreement.score_spread, _TINY)
    if share > limits.score_error:
        faults.append(
            f"scores differ by {agreement.score_error:.3g}, {share:.2%} of their spread, at most "
            f"{limits.score_error:.2%} may"
        )
    return faults


@dataclass(frozen=True)
class Blame:
    """How far a layer's answer is from the original's.

    Attributes:
        layer: its name.
        before, after: root of the mean squared error of what it reads and of what it gives, as
            shares of the original's own mean square.
    """

    layer: str
    before: float
    after: float


def blame(
    original: Network, exported: onnx.ModelProto, picture: NDArray[np.float32]
) -> tuple[Blame, ...]:
    """The layers, those first that add most to the error of what they read.

    Args:
        original: the network before.
        exported: after; tensors have the names that they had.
        picture: the network's input `[1, 3, H, W]`.
    """
    produced = {name for node in exported.graph.node for name in node.output}
    shown = {original.output: original.output, original.input: original.input}
    for node in original.nodes:
        for name in node.output:
            whole = f"{name}{DEQUANTISED}"
            if whole in produced or name in produced:
                shown[name] = whole if whole in produced else name
    flows = []
    for layer in original.layers:
        source, result = original.nodes[layer.node].input[0], original.result_of(layer)
        if source in shown and result in shown:
            flows.append((layer.name, source, result))
    wanted = sorted({name for _, *ends in flows for name in ends} - {original.input})
    feed = {original.input: picture}
    expected = dict(zip(wanted, _run(original.model, wanted, feed), strict=True))
    names = [shown[name] for name in wanted]
    given = dict(zip(wanted, _run(exported, names, feed), strict=True))
    errors = {name: _error(expected[name], given[name]) for name in wanted}
    errors[original.input] = 0.0
    found = [Blame(name, errors[source], errors[result]) for name, source, result in flows]
    return tuple(sorted(found, key=lambda each: each.before - each.after))


def _run(
    model: onnx.ModelProto, names: Sequence[str], feed: dict[str, NDArray[np.float32]]
) -> Sequence[NDArray[np.float32]]:
    answers: Sequence[NDArray[np.float32]] = runner(with_outputs(model, names), plain=True).run(
        list(names), feed
    )
    return answers


def _error(expected: NDArray[np.float32], given: NDArray[np.float32]) -> float:
    wide = expected.astype(np.float64)
    scale = float(np.sqrt((wide**2).mean()))
    error = float(np.sqrt(((given - wide) ** 2).mean()))
    return error / max(scale, _TINY) if np.isfinite(error) else np.inf
