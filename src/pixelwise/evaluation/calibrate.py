"""Temperatures for a model whose probabilities do not mean what they say.

Scores are divided by a temperature before the softmax: one for all classes (Guo et al., ICML 2017,
section 4.2), or one for each class. It is the one of least negative log-likelihood over a sample of
pixels of pictures that the model did not learn from. In 1 / temperature the likelihood is convex,
and Newton's method finds its least value.

What it brings is measured cross-fitted: pictures are dealt into parts, and each part is judged with
the temperature of the others. Labels are never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import DatasetError
from pixelwise.evaluation.conformal import can_promise, check_coverage, fit_threshold, set_figures
from pixelwise.evaluation.pixels import PixelSample
from pixelwise.evaluation.quality import RankCorrelation, expected_iou, rank_correlation
from pixelwise.inference.card import Card, Conformal, Score
from pixelwise.metrics.bootstrap import interval, paired
from pixelwise.metrics.calibration import Calibration
from pixelwise.version import VERSION

__all__ = [
    "CalibrationKind",
    "CalibrationResult",
    "Coverage",
    "Figure",
    "calibrate",
    "calibrated_card",
    "fit_temperature",
]

CalibrationKind: TypeAlias = Literal["global", "per-class"]
Temperature: TypeAlias = float | tuple[float, ...]

_NAMES = ("ECE", "class-wise ECE", "Brier score", "NLL")
_RANK_NAME = "rank correlation of the expected mean IoU"
_FOLDS = 5
_SEED = 0
_LEAST, _MOST = 0.05, 20.0  # of 1 / temperature
# Holds a class that hardly occurs near the temperature of all.
_RIDGE = 1e-3
_ROUNDS = 50
_CLOSE = 1e-7


@dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval over pictures; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Coverage:
    """Prediction sets of a chosen coverage.

    Attributes:
        wanted: 0..1.
        threshold: calibrated probability from which a class is in a set.
        measured: mean coverage of pictures, each with a threshold of others; None where the others
            are too few for it.
        size: mean number of classes in a set, likewise.
    """

    wanted: float
    threshold: float
    measured: Figure | None
    size: Figure | None


@dataclass(frozen=True)
class CalibrationResult:
    """A temperature and what it brings.

    Attributes:
        kind: whether there is one temperature or one for each class.
        temperature: what scores are to be divided by; the one before where none helped.
        helps: whether the likelihood of pictures that had no part in it rose.
        better: probability that it rises, by drawing pictures anew.
        before, after: by name; `after` is cross-fitted.
        coverage: of prediction sets, where it was asked for.
        quality: how well the expected mean IoU ranks pictures by their true one, cross-fitted.
        pictures, groups, pixels: pictures, groups of them, and pixels drawn of each.
        protocol: in words.
    """

    kind: CalibrationKind
    temperature: Temperature
    helps: bool
    better: float
    before: dict[str, Figure]
    after: dict[str, Figure]
    coverage: Coverage | None
    quality: RankCorrelation
    pictures: int
    groups: int
    pixels: int
    protocol: str


def calibrate(
    sample: PixelSample,
    *,
    data: str,
    current: Temperature = 1.0,
    kind: CalibrationKind = "global",
    coverage: float | None = None,
) -> CalibrationResult:
    """Fits a temperature and measures it.

    Args:
        sample: of pictures that the model did not learn from.
        data: what the pictures are, for the protocol.
        current: the temperature that the model has.
        kind: one for all classes, or one for each.
        coverage: of prediction sets, above 0 and below 1; None for none.

    Raises:
        DatasetError: all pictures belong together, so that none can judge.
        UsageError: the pictures are too few for the coverage, or it is none.
    """
    groups = len(np.unique(sample.groups))
    if groups < 2:
        raise DatasetError(
            "two pictures, or groups of pictures that belong together, are needed at least",
            got=f"{groups}, of {len(sample.names)} pictures",
            fix="add pictures of another video, scene or folder",
        )
    if coverage is not None:
        check_coverage(coverage, groups)
    folds = _folds(sample.groups)
    fitted: list[Temperature] = [
        fit_temperature(sample.logits[folds != fold], sample.truth[folds != fold], kind)
        for fold in range(int(folds.max()) + 1)
    ]
    before = _probabilities(sample.logits, current)
    after = np.concatenate(
        [_probabilities(sample.logits[[place]], fitted[fold]) for place, fold in enumerate(folds)]
    )
    rule = Calibration(sample.logits.shape[2])
    units = [_sums(rule, values, sample.truth) for values in (before, after)]
    figures = [_figures(rule, own, sample.groups) for own in units]
    rises = paired(units[0], units[1], lambda sums: -rule.values(sums)[:, 3], groups=sample.groups)
    helps = figures[1]["NLL"].value < figures[0]["NLL"].value
    temperature = fit_temperature(sample.logits, sample.truth, kind) if helps else current
    judged = after if helps else before
    labels = sample.logits.argmax(2)
    protocol = (
        f"{data}, {len(sample.names):,} pictures in {groups:,} groups, {sample.truth.shape[1]:,} "
        f"pixels drawn of each, {rule.bins} bins"
    )
    if helps:
        protocol += ", each picture judged with a temperature of others"
    return CalibrationResult(
        kind=kind,
        temperature=temperature,
        helps=helps,
        better=float(rises.better),
        before=figures[0],
        after=figures[1],
        coverage=None
        if coverage is None
        else _coverage(
            sample, temperature, fitted if helps else [current] * len(fitted), folds, coverage
        ),
        quality=_quality(sample, judged, labels),
        pictures=len(sample.names),
        groups=groups,
        pixels=sample.truth.shape[1],
        protocol=protocol,
    )


def fit_temperature(
    logits: NDArray[np.float32], truth: NDArray[np.integer], kind: CalibrationKind = "global"
) -> Temperature:
    """The temperature of least negative log-likelihood, 0.05 … 20.

    Classes that are nowhere the truth take the temperature of all; those that hardly are stay near
    it. The same input gives the same answer.

    Args:
        logits: `[N, P, C]`.
        truth: channels `[N, P]`.
        kind: one for all classes, or one for each.
    """
    classes = logits.shape[2]
    whole = np.ones((classes, 1))
    planes = np.ascontiguousarray(logits.transpose(0, 2, 1))
    every = _newton(planes, truth, whole, np.zeros(classes), np.ones(1), ridge=0.0)
    if kind == "global":
        return float(1 / every[0])
    present = np.bincount(truth.reshape(-1), minlength=classes) > 0
    basis = np.eye(classes)[:, present]
    rest = np.where(present, 0, every[0])
    start = np.full(basis.shape[1], every[0])
    found = rest + basis @ _newton(planes, truth, basis, rest, start, ridge=_RIDGE)
    return tuple((1 / found).tolist())


def calibrated_card(card: Card, result: CalibrationResult) -> Card:
    """The card of the calibrated model.

    Figures and the threshold of an earlier calibration are replaced, or go where there is no new
    one.
    """
    conformal = None
    if result.coverage is not None:
        found = result.coverage
        told = ""
        if found.measured is not None and found.size is not None:
            told = (
                f"; measured on pictures that had no part in it: {found.measured.value:.1%} "
                f"covered by sets of {found.size.value:.2f} classes on the mean"
            )
        conformal = Conformal(
            coverage=found.wanted,
            threshold=found.threshold,
            protocol=f"{result.protocol}; mean over pictures of the share of pixels covered{told}",
        )
    measured = result.after if result.helps else result.before
    figures = [
        Score(
            metric=name,
            value=round(figure.value, 5),
            protocol=result.protocol
            + (f"; {result.before[name].value:.4f} before" if result.helps else ""),
        )
        for name, figure in measured.items()
    ]
    if np.isfinite(result.quality.value):
        figures.append(
            Score(
                metric=_RANK_NAME,
                value=round(result.quality.value, 4),
                protocol=f"{result.protocol}; Spearman, with the mean IoU of each picture",
            )
        )
    kept = [score for score in card.scores if score.metric not in (*_NAMES, _RANK_NAME)]
    return card.model_copy(
        update={
            "postprocessing": card.postprocessing.model_copy(
                update={"temperature": result.temperature, "conformal": conformal}
            ),
            "scores": (*kept, *figures),
            "written_by": f"pixelwise {VERSION}",
        }
    )


def _folds(groups: NDArray[np.int64]) -> NDArray[np.intp]:
    """A part for each picture, `[N]`, groups whole and parts about as large."""
    names, places = np.unique(groups, return_inverse=True)
    sizes = np.bincount(places)
    order = np.random.default_rng(_SEED).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(min(_FOLDS, len(names)))
    fold_of = np.zeros(len(names), np.intp)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[places]


def _newton(
    planes: NDArray[np.float32],
    truth: NDArray[np.integer],
    basis: NDArray[np.float64],
    rest: NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    ridge: float,
) -> NDArray[np.float64]:
    """Parameters x of least NLL of logits `[N, C, P]` times `rest + basis @ x`, near the start.

    Damped: a step is halved until it lowers the loss.
    """

    def loss_at(x: NDArray[np.float64]) -> float:
        return _nll(planes, truth, rest + basis @ x) + ridge / 2 * float(((x - start) ** 2).sum())

    place, loss = start, loss_at(start)
    for _ in range(_ROUNDS):
        gradient, curvature = _derivatives(planes, truth, rest + basis @ place)
        slope = basis.T @ gradient + ridge * (place - start)
        bend = basis.T @ curvature @ basis + (ridge + 1e-9) * np.eye(len(place))
        step = np.linalg.solve(bend, slope)
        for _ in range(_ROUNDS):
            tried = np.clip(place - step, _LEAST, _MOST)
            lower = loss_at(tried)
            if lower <= loss:
                break
            step = step / 2
        else:
            break
        moved = np.abs(tried - place).max()
        place, loss = tried, lower
        if moved < _CLOSE:
            break
    return place


def _nll(
    planes: NDArray[np.float32], truth: NDArray[np.integer], scale: NDArray[np.float64]
) -> float:
    """Mean over pixels, of logits `[N, C, P]` times the scale of each class."""
    total = 0.0
    for own, ids in zip(planes, truth, strict=True):
        scores = own * scale[:, None]
        scores -= scores.max(0)
        right = np.take_along_axis(scores, ids[None].astype(np.intp), 0)
        total += float((np.log(np.exp(scores).sum(0)) - right).sum())
    return total / truth.size


def _derivatives(
    planes: NDArray[np.float32], truth: NDArray[np.integer], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the mean NLL by the scale of each class: gradient `[C]` and Hessian `[C, C]`."""
    classes = planes.shape[1]
    gradient, curvature = np.zeros(classes), np.zeros((classes, classes))
    for own, ids in zip(planes, truth, strict=True):
        scores = own.astype(np.float64)
        weighed = scores * _softmax(scores * scale[:, None])
        right = np.take_along_axis(scores, ids[None].astype(np.intp), 0)[0]
        gradient += weighed.sum(1) - np.bincount(ids, right, classes)
        curvature += np.diag((weighed * scores).sum(1)) - weighed @ weighed.T
    return gradient / truth.size, curvature / truth.size


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis: NumPy reduces a short last one slowly."""
    powers = np.exp(scores - scores.max(0))
    shares: NDArray[np.float64] = powers / powers.sum(0)
    return shares


def _probabilities(logits: NDArray[np.float32], temperature: Temperature) -> NDArray[np.float32]:
    """`[N, P, C]`, as the logits are."""
    scale = np.broadcast_to(1 / np.asarray(temperature), logits.shape[2])[:, None]
    return np.stack([_softmax(own.T * scale).T.astype(np.float32) for own in logits])


def _sums(
    rule: Calibration, probabilities: NDArray[np.float32], truth: NDArray[np.uint16]
) -> NDArray[np.float64]:
    """The sums of each picture, `[N, K]`."""
    units = []
    for own, ids in zip(probabilities, truth, strict=True):
        one = Calibration(rule.classes, bins=rule.bins)
        one.update(own.T, ids)
        units.append(one.counts)
    return np.stack(units)


def _figures(
    rule: Calibration, units: NDArray[np.float64], groups: NDArray[np.int64]
) -> dict[str, Figure]:
    found = interval(units, rule.values, groups=groups, bounds=None)
    # None of these figures can be below 0.
    return {
        name: Figure(float(value), max(0.0, float(low)), float(high))
        for name, value, low, high in zip(_NAMES, found.value, found.low, found.high, strict=True)
    }


def _coverage(
    sample: PixelSample,
    temperature: Temperature,
    fitted: list[Temperature],
    folds: NDArray[np.intp],
    wanted: float,
) -> Coverage:
    labels = sample.logits.argmax(2)

    def threshold_of(own: NDArray[np.bool_], by: Temperature) -> float:
        truth = sample.truth[own]
        places = truth[..., None].astype(np.intp)
        right = np.take_along_axis(_probabilities(sample.logits[own], by), places, 2)[..., 0]
        return fit_threshold(right, labels[own], truth, sample.groups[own], coverage=wanted)

    final = threshold_of(np.ones(len(folds), np.bool_), temperature)
    parts = [folds == fold for fold in range(len(fitted))]
    least = min(len(np.unique(sample.groups[~own])) for own in parts)
    if not can_promise(wanted, least):
        return Coverage(wanted, final, None, None)
    covered, size = np.zeros(len(folds)), np.zeros(len(folds))
    for own, by in zip(parts, fitted, strict=True):
        probabilities = _probabilities(sample.logits[own], by)
        figures = set_figures(probabilities, labels[own], sample.truth[own], threshold_of(~own, by))
        covered[own], size[own] = figures.covered, figures.size
    return Coverage(
        wanted,
        final,
        _mean_figure(covered, sample.groups, (0.0, 1.0)),
        _mean_figure(size, sample.groups, None),
    )


def _mean_figure(
    values: NDArray[np.float64], groups: NDArray[np.int64], bounds: tuple[float, float] | None
) -> Figure:
    """The mean over groups of the mean over their pictures."""
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(places, values) / sizes

    def mean(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        share: NDArray[np.float64] = sums[:, 1] / sums[:, 0]
        return share

    found = interval(np.stack([np.ones(len(means)), means], 1), mean, bounds=bounds)
    return Figure(float(found.value), float(found.low), float(found.high))


def _quality(
    sample: PixelSample, judged: NDArray[np.float32], labels: NDArray[np.intp]
) -> RankCorrelation:
    estimates = [expected_iou(own, ids) for own, ids in zip(judged, labels, strict=True)]
    right, true, found = sample.counts.transpose(1, 0, 2).astype(np.float64)
    union = true + found - right
    iou = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
    return rank_correlation(np.array(estimates), iou.sum(1) / (union > 0).sum(1))
