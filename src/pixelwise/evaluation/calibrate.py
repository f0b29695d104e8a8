"""Temperatures for a model whose probabilities do not mean what they say.

What a temperature brings is measured cross-fitted: pictures are dealt into parts, and each part is
judged with the temperature of the others. Where that does not make the truth likelier, the
temperature stays as it was. Labels are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import DatasetError
from pixelwise.evaluation.conformal import can_promise, check_coverage, fit_threshold, set_figures
from pixelwise.evaluation.pixels import PixelSample, dealt
from pixelwise.evaluation.quality import RankCorrelation, expected_iou, rank_correlation
from pixelwise.evaluation.temperatures import (
    TemperatureKind,
    fit_temperature,
    judged_probabilities,
    probabilities_of,
)
from pixelwise.inference.card import Card, Conformal, Score
from pixelwise.metrics.bootstrap import Paired, interval, paired
from pixelwise.metrics.calibration import Calibration
from pixelwise.temperature import LocalTemperature, Temperature
from pixelwise.version import VERSION

__all__ = [
    "CalibrationKind",
    "CalibrationResult",
    "Coverage",
    "Figure",
    "calibrate",
    "calibrated_card",
    "needs_corners",
]

CalibrationKind: TypeAlias = TemperatureKind | Literal["auto"]

_KINDS: tuple[TemperatureKind, ...] = ("global", "per-class", "local")
_NAMES = ("ECE", "class-wise ECE", "Brier score", "NLL")
_NLL = _NAMES.index("NLL")
_RANK_NAME = "rank correlation of the expected mean IoU"


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
        kind: whether there is one temperature, one for each class, or one for each place.
        temperature: what scores are to be divided by; the one before where none helped.
        helps: whether the likelihood of pictures that had no part in it rose.
        better: probability that it rises, by drawing pictures anew.
        before, after: by name; `after` is cross-fitted.
        tried: `after` of every kind that was tried.
        coverage: of prediction sets, where it was asked for.
        quality: how well the expected mean IoU ranks pictures by their true one, cross-fitted.
        pictures, groups, pixels: pictures, groups of them, and pixels drawn of each.
        protocol: in words.
    """

    kind: TemperatureKind
    temperature: Temperature
    helps: bool
    better: float
    before: dict[str, Figure]
    after: dict[str, Figure]
    tried: Mapping[TemperatureKind, dict[str, Figure]]
    coverage: Coverage | None
    quality: RankCorrelation
    pictures: int
    groups: int
    pixels: int
    protocol: str


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A kind of temperature, cross-fitted.

    Attributes:
        kind: of the temperatures.
        fitted: without each part.
        units: sums of each picture, judged with that of the other parts.
    """

    kind: TemperatureKind
    fitted: tuple[Temperature, ...]
    units: NDArray[np.float64]


def needs_corners(kind: CalibrationKind, current: Temperature) -> bool:
    """Whether the sample must be drawn with corners."""
    return kind in ("local", "auto") or isinstance(current, LocalTemperature)


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
        kind: one for all classes, one for each, or one for each place; "auto": the first of these,
            unless a later one makes the truth likelier by more than chance, which is where the 95 %
            interval of the difference is above 0.
        coverage: of prediction sets, above 0 and below 1; None for none.

    Raises:
        DatasetError: all pictures belong together, so that none can judge, or all classes are
            judged as one.
        UsageError: the pictures are too few for the coverage, or it is none; or a local temperature
            needs a sample with corners.
    """
    groups = len(np.unique(sample.groups))
    if groups < 2:
        raise DatasetError(
            "two pictures, or groups of pictures that belong together, are needed at least",
            got=f"{groups}, of {len(sample.names)} pictures",
            fix="add pictures of another video, scene or folder",
        )
    judged = int(sample.judged_as.max()) + 1
    if judged < 2:
        raise DatasetError(
            "probabilities of a single class are always 1",
            got=f"{len(sample.judged_as)} classes of the model, all judged as one",
            fix="map them to two classes of the truth at least",
        )
    if coverage is not None:
        check_coverage(coverage, groups)
    folds = dealt(sample.groups)
    rule = Calibration(judged)
    before = _sums(rule, sample, probabilities_of(sample, current))
    kinds = _KINDS if kind == "auto" else (kind,)
    candidates = [_cross_fitted(sample, folds, rule, each) for each in kinds]
    best = candidates[0]
    for candidate in candidates[1:]:
        if _rises(rule, best.units, candidate.units, sample.groups).low > 0:
            best = candidate
    figures = [_figures(rule, own, sample.groups) for own in (before, best.units)]
    helps = figures[1]["NLL"].value < figures[0]["NLL"].value
    parts = best.fitted if helps else (current,) * len(best.fitted)
    probabilities = _by_parts(sample, folds, parts)
    temperature = fit_temperature(sample, best.kind) if helps else current
    return CalibrationResult(
        kind=best.kind,
        temperature=temperature,
        helps=helps,
        better=float(_rises(rule, before, best.units, sample.groups).better),
        before=figures[0],
        after=figures[1],
        tried={each.kind: _figures(rule, each.units, sample.groups) for each in candidates},
        coverage=None
        if coverage is None
        else _coverage(sample, temperature, parts, folds, probabilities, coverage),
        quality=_quality(sample, probabilities),
        pictures=len(sample.names),
        groups=groups,
        pixels=sample.truth.shape[1],
        protocol=_protocol(sample, data, groups, rule.bins, kind if helps else None),
    )


def _protocol(
    sample: PixelSample, data: str, groups: int, bins: int, kind: CalibrationKind | None
) -> str:
    """In words; the kind is what was asked for, None where nothing helped."""
    parts = [
        f"{data}, {len(sample.names):,} pictures in {groups:,} groups, {sample.truth.shape[1]:,} "
        f"pixels drawn of each, {bins} bins"
    ]
    if sample.notes:
        parts.append(", ".join(sample.notes))
    if kind is not None:
        parts.append("each picture judged with a temperature of others")
    if kind == "auto":
        parts.append("the kind of temperature chosen on all")
    return "; ".join(parts)


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


def _cross_fitted(
    sample: PixelSample, folds: NDArray[np.intp], rule: Calibration, kind: TemperatureKind
) -> _Candidate:
    fitted = tuple(
        fit_temperature(sample.part(folds != fold), kind) for fold in range(int(folds.max()) + 1)
    )
    return _Candidate(kind, fitted, _sums(rule, sample, _by_parts(sample, folds, fitted)))


def _by_parts(
    sample: PixelSample, folds: NDArray[np.intp], fitted: tuple[Temperature, ...]
) -> NDArray[np.float32]:
    """Probabilities `[N, P, C]`, each part by its temperature."""
    out = np.empty_like(sample.logits)
    for fold, temperature in enumerate(fitted):
        own = folds == fold
        out[own] = probabilities_of(sample.part(own), temperature)
    return out


def _rises(
    rule: Calibration,
    units: NDArray[np.float64],
    others: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> Paired:
    """By how much the likelihood of the others is above that of the units."""
    return paired(units, others, lambda sums: -rule.values(sums)[:, _NLL], groups=groups)


def _sums(
    rule: Calibration, sample: PixelSample, probabilities: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The sums of each picture, `[N, K]`."""
    units = []
    for own, ids in zip(judged_probabilities(sample, probabilities), sample.truth, strict=True):
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
    fitted: tuple[Temperature, ...],
    folds: NDArray[np.intp],
    probabilities: NDArray[np.float32],
    wanted: float,
) -> Coverage:
    def threshold_of(part: PixelSample, by: Temperature) -> float:
        true = part.judged_as == part.truth[..., None]
        likeliest = np.where(true, probabilities_of(part, by), 0).max(2)
        right = part.judged_as[part.logits.argmax(2)] == part.truth
        return fit_threshold(likeliest, right, part.groups, coverage=wanted)

    final = threshold_of(sample, temperature)
    parts = [folds == fold for fold in range(len(fitted))]
    least = min(len(np.unique(sample.groups[~own])) for own in parts)
    if not can_promise(wanted, least):
        return Coverage(wanted, final, None, None)
    covered, size = np.zeros(len(folds)), np.zeros(len(folds))
    for own, by in zip(parts, fitted, strict=True):
        figures = set_figures(
            probabilities[own],
            sample.logits[own].argmax(2),
            sample.truth[own],
            threshold_of(sample.part(~own), by),
            judged_as=sample.judged_as,
        )
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


def _quality(sample: PixelSample, probabilities: NDArray[np.float32]) -> RankCorrelation:
    labels = sample.logits.argmax(2)
    estimates = [expected_iou(own, ids) for own, ids in zip(probabilities, labels, strict=True)]
    right, true, found = sample.counts.transpose(1, 0, 2).astype(np.float64)
    union = true + found - right
    iou = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
    return rank_correlation(np.array(estimates), iou.sum(1) / (union > 0).sum(1))
