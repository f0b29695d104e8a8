"""The temperatures of least negative log-likelihood over a sample of pixels.

One for all classes (Guo et al., ICML 2017, section 4.2), one for each class, or one for each place
(after Ding et al., ICCV 2021; see `LocalTemperature`). Where several classes of the model are one
class of the truth, its likelihood is the sum of theirs.

Found by Fisher scoring: Newton's method with the expected second derivatives, which are never
negative. For a temperature of all or of each class they are the true ones in 1 / temperature, in
which the likelihood is convex, as long as no two classes are one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError
from pixelwise.evaluation.pixels import Corners, PixelSample
from pixelwise.temperature import (
    LEAST_TEMPERATURE,
    MOST_TEMPERATURE,
    LocalTemperature,
    Temperature,
)

__all__ = ["TemperatureKind", "fit_temperature", "judged_probabilities", "probabilities_of"]

TemperatureKind: TypeAlias = Literal["global", "per-class", "local"]

_Values: TypeAlias = NDArray[np.floating]

# Holds a class that hardly occurs near the temperature of all.
_RIDGE = 1e-3
# Keeps features that hardly differ, and coefficients that a card would not hold, at rest.
_LOCAL_RIDGE = 1e-6
_MOST_COEFFICIENT = 100.0
_ROUNDING = 1e-12
_ROUNDS = 50
_CLOSE = 1e-7


def fit_temperature(sample: PixelSample, kind: TemperatureKind = "global") -> Temperature:
    """The temperature of least negative log-likelihood, 0.05 … 20.

    Classes that are nowhere the truth take the temperature of all; those that hardly are stay near
    it. The same input gives the same answer.

    Args:
        sample: of pictures that the model did not learn from.
        kind: one for all classes, one for each, or one for each place.

    Raises:
        UsageError: for one of each place, the sample was drawn without corners.
    """
    classes = sample.logits.shape[2]
    whole = _Scaled(sample, np.ones((classes, 1)), np.zeros(classes))
    limits = (1 / MOST_TEMPERATURE, 1 / LEAST_TEMPERATURE)
    every = _least(whole, np.ones(1), limits, ridge=0.0)
    if kind == "global":
        return float(1 / every[0])
    if kind == "local":
        local = _Local(sample, _corners_of(sample))
        features = local.corners.features.shape[2]
        start = np.zeros(features)
        start[0] = -math.log(every[0])
        limits = (-_MOST_COEFFICIENT, _MOST_COEFFICIENT)
        return LocalTemperature(*_least(local, start, limits, ridge=_LOCAL_RIDGE).tolist())
    seen = np.bincount(sample.truth.reshape(-1), minlength=sample.judged_as.max() + 1)
    present = seen[sample.judged_as] > 0
    basis = np.eye(classes)[:, present]
    rest = np.where(present, 0, every[0])
    start = np.full(basis.shape[1], every[0])
    found = rest + basis @ _least(_Scaled(sample, basis, rest), start, limits, ridge=_RIDGE)
    return tuple((1 / found).tolist())


def probabilities_of(sample: PixelSample, temperature: Temperature) -> NDArray[np.float32]:
    """Calibrated probabilities of the model's classes, float32 `[N, P, C]`.

    Raises:
        UsageError: the temperature is local, and the sample was drawn without corners.
    """
    if isinstance(temperature, LocalTemperature):
        corners = _corners_of(sample)
        scores: Iterator[_Values] = (
            _interpolated(corners, place, temperature.at(corners.features[place].swapaxes(0, 1)))
            for place in range(len(sample.names))
        )
    else:
        scale = np.broadcast_to(1 / np.asarray(temperature), sample.logits.shape[2])[:, None]
        scores = (own.T * scale for own in sample.logits)
    return np.stack([_softmax(own).T.astype(np.float32) for own in scores])


def judged_probabilities(
    sample: PixelSample, probabilities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The sum over the model's classes of each judged class, float32 `[N, P, G or G + 1]`.

    There is a class more where classes of the model are of none.
    """
    return _summed(np.moveaxis(probabilities, 2, 0), sample.judged_as).transpose(1, 2, 0)


def _corners_of(sample: PixelSample) -> Corners:
    if sample.corners is None:
        raise UsageError(
            "a local temperature goes by the scores around each pixel",
            got="a sample without corners",
            fix="sample_pixels(…, corners=True)",
        )
    return sample.corners


class _Family(Protocol):
    """Scores of each picture as a smooth function of some parameters."""

    @property
    def sample(self) -> PixelSample:
        """Whose pixels they are."""
        ...

    def scores(self, place: int, parameters: _Values) -> _Values:
        """`[C, P]` of the picture of that place."""
        ...

    def derivatives(
        self, place: int, parameters: _Values, surplus: _Values, model: _Values
    ) -> tuple[_Values, _Values]:
        """Gradient `[J]` and expected second derivatives `[J, J]` of a picture's summed NLL.

        `surplus` `[C, P]` is the probability of each class less that given its truth, `model` the
        former.
        """
        ...


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Scores times `rest + basis @ parameters`: of all classes, or of each."""

    sample: PixelSample
    basis: _Values
    rest: _Values

    def scores(self, place: int, parameters: _Values) -> _Values:
        scale = self.rest + self.basis @ parameters
        scores: _Values = self.sample.logits[place].T * scale[:, None]
        return scores

    def derivatives(
        self, place: int, parameters: _Values, surplus: _Values, model: _Values
    ) -> tuple[_Values, _Values]:
        del parameters
        scores = self.sample.logits[place].T.astype(np.float64)
        weighed = scores * model
        curvature = -weighed @ weighed.T
        judged_as = self.sample.judged_as
        alone = np.bincount(judged_as)[judged_as] == 1
        curvature[np.diag_indices_from(curvature)] += np.where(alone, (weighed * scores).sum(1), 0)
        for group in np.unique(judged_as[~alone]):
            own = np.flatnonzero(judged_as == group)
            shares = weighed[own] / np.maximum(model[own].sum(0), np.finfo(np.float64).tiny)
            curvature[np.ix_(own, own)] += shares @ weighed[own].T
        gradient = (scores * surplus).sum(1)
        slopes: _Values = self.basis.T @ gradient
        bends: _Values = self.basis.T @ curvature @ self.basis
        return slopes, bends


@dataclass(frozen=True, eq=False)
class _Local:
    """Scores over a temperature at each of the four corners, then interpolated."""

    sample: PixelSample
    corners: Corners

    def scores(self, place: int, parameters: _Values) -> _Values:
        return _interpolated(self.corners, place, self._temperatures(place, parameters))

    def derivatives(
        self, place: int, parameters: _Values, surplus: _Values, model: _Values
    ) -> tuple[_Values, _Values]:
        temperatures = self._temperatures(place, parameters)
        # What is held is a rounding away from its limit.
        free = (temperatures > LEAST_TEMPERATURE * (1 + _ROUNDING)) & (
            temperatures < MOST_TEMPERATURE * (1 - _ROUNDING)
        )
        slopes = [
            -_interpolated(self.corners, place, temperatures, by=np.where(free, feature, 0))
            for feature in self.corners.features[place].swapaxes(0, 1)
        ]
        gradient = np.array([float((slope * surplus).sum()) for slope in slopes])
        judged_as = self.sample.judged_as
        known = np.maximum(_summed(model, judged_as), np.finfo(np.float64).tiny)
        parts = np.stack([_summed(slope * model, judged_as) for slope in slopes])
        wholes = parts.sum(1)
        curvature: _Values = np.einsum("jgp,kgp->jk", parts / known, parts) - wholes @ wholes.T
        return gradient, curvature

    def _temperatures(self, place: int, parameters: _Values) -> _Values:
        features = self.corners.features[place].astype(np.float64).swapaxes(0, 1)
        return LocalTemperature(*parameters.tolist()).at(features)


def _interpolated(
    corners: Corners, place: int, temperatures: _Values, *, by: _Values | None = None
) -> _Values:
    """Scores `[C, P]` of a picture, of corners over temperatures `[4, P]`, and times `by`."""
    weights = corners.weights[place] / temperatures
    if by is not None:
        weights = weights * by
    scores: _Values = np.einsum("kp,kcp->cp", weights, corners.scores[place], dtype=np.float64)
    return scores


def _least(
    family: _Family, start: _Values, limits: tuple[float, float], *, ridge: float
) -> _Values:
    """Parameters of least NLL within the limits, near the start.

    A step is halved until it lowers the loss.
    """
    place, loss = start, _nll(family, start)
    for _ in range(_ROUNDS):
        slope, bend = _derivatives(family, place)
        slope = slope + ridge * (place - start)
        bend = bend + (ridge + 1e-9) * np.eye(len(place))
        found = _step(
            lambda x: _nll(family, x) + ridge / 2 * float(((x - start) ** 2).sum()),
            place,
            loss,
            np.linalg.solve(bend, slope),
            limits,
        )
        if found is None:
            break
        moved = np.abs(found[0] - place).max()
        place, loss = found
        if moved < _CLOSE:
            break
    return place


def _step(
    loss_at: Callable[[_Values], float],
    place: _Values,
    loss: float,
    step: _Values,
    limits: tuple[float, float],
) -> tuple[_Values, float] | None:
    """The next place and its loss; None where no part of the step is better."""
    for _ in range(_ROUNDS):
        tried = np.clip(place - step, *limits)
        lower = loss_at(tried)
        if lower <= loss:
            return tried, lower
        step = step / 2
    return None


def _nll(family: _Family, parameters: _Values) -> float:
    """Mean over pixels."""
    sample = family.sample
    total = 0.0
    for place, truth in enumerate(sample.truth):
        scores = family.scores(place, parameters)
        right = np.where(_members(sample, truth), scores, -np.inf)
        total += float((_log_sum(scores) - _log_sum(right)).sum())
    return total / sample.truth.size


def _derivatives(family: _Family, parameters: _Values) -> tuple[_Values, _Values]:
    """Of the mean NLL: gradient `[J]` and expected second derivatives `[J, J]`."""
    sample = family.sample
    gradient, curvature = np.zeros(len(parameters)), np.zeros((len(parameters),) * 2)
    for place, truth in enumerate(sample.truth):
        scores = family.scores(place, parameters)
        model = _softmax(scores)
        given = _softmax(np.where(_members(sample, truth), scores, -np.inf))
        own = family.derivatives(place, parameters, model - given, model)
        gradient += own[0]
        curvature += own[1]
    return gradient / sample.truth.size, curvature / sample.truth.size


def _members(sample: PixelSample, truth: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which classes of the model are the truth of each pixel, bool `[C, P]`."""
    found: NDArray[np.bool_] = sample.judged_as[:, None] == truth[None]
    return found


def _summed(values: NDArray[np.floating], judged_as: NDArray[np.intp]) -> NDArray[np.floating]:
    """Over the model's classes of each judged class, `[C, …]` to `[G, …]`."""
    if np.array_equal(judged_as, np.arange(len(judged_as))):
        return values
    out = np.zeros((judged_as.max() + 1, *values.shape[1:]), values.dtype)
    for place, layer in zip(judged_as.tolist(), values, strict=True):
        out[place] += layer
    return out


def _log_sum(scores: _Values) -> _Values:
    highest = scores.max(0)
    found: _Values = np.log(np.exp(scores - highest).sum(0)) + highest
    return found


def _softmax(scores: _Values) -> _Values:
    """Over the first axis: NumPy reduces a short last one slowly."""
    powers = np.exp(scores - scores.max(0))
    shares: _Values = powers / powers.sum(0)
    return shares
