from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.evaluation.temperatures as module
from pixelwise.evaluation.temperatures import (
    fit_temperature,
    judged_probabilities,
    probabilities_of,
)
from pixelwise.temperature import LocalTemperature

LOCAL = LocalTemperature(1.2, -0.6, 0.1, 0.8)


def nll(sample, temperature):
    """Mean negative log-likelihood, classes of one truth added up."""
    found = probabilities_of(sample, temperature).astype(np.float64)
    right = np.where(sample.judged_as == sample.truth[..., None], found, 0).sum(2)
    return float(-np.log(np.maximum(right, 1e-30)).mean())


def test_public_names_are_sorted():
    assert module.__all__ == sorted(module.__all__)


@settings(max_examples=5)
@given(st.floats(0.3, 5), st.integers(0, 50))
def test_the_temperature_of_the_truth_is_found(sample_of, temperature, seed):
    sample = sample_of(temperature, seed=seed)
    found = fit_temperature(sample)
    assert found == pytest.approx(temperature, rel=0.1)
    # No other is better: the golden section of the whole range gives no less.
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 40))
    assert nll(sample, found) <= min(nll(sample, other) for other in grid) + 1e-9
    assert fit_temperature(sample) == found


def test_the_temperature_of_each_class_is_found(sample_of):
    sample = sample_of((0.7, 1.5, 3.0), pictures=40)
    found = fit_temperature(sample, "per-class")
    assert found == pytest.approx((0.7, 1.5, 3.0), rel=0.1)
    assert nll(sample, found) < nll(sample, fit_temperature(sample))


def test_a_class_that_is_nowhere_takes_the_temperature_of_all(sample_of):
    sample = sample_of(2.0)
    logits = np.concatenate([sample.logits, sample.logits[..., :1] - 9], axis=2)
    sample = replace(sample, logits=logits, judged_as=np.arange(4))
    every = fit_temperature(sample)
    assert fit_temperature(sample, "per-class")[3] == pytest.approx(every)


def test_perfect_predictions_end_at_the_limit(sample_of):
    logits = np.eye(3, dtype=np.float32)[None, [0, 1, 2, 2]]
    sample = replace(sample_of(1, pictures=1), logits=logits, truth=np.array([[0, 1, 2, 2]]))
    assert fit_temperature(sample) == pytest.approx(0.05)


@settings(max_examples=5)
@given(st.integers(0, 50))
def test_the_local_temperature_of_the_truth_is_found(sample_of, seed):
    sample = sample_of(LOCAL, pictures=40, seed=seed)
    found = fit_temperature(sample, "local")
    grid = np.array([[1.0, lead, lead**2, part] for lead in (0.3, 1, 2) for part in (0, 0.5, 1)]).T
    np.testing.assert_allclose(found.at(grid), LOCAL.at(grid), rtol=0.25)
    assert nll(sample, found) < nll(sample, fit_temperature(sample))
    # No neighbour is better.
    for place in range(4):
        for step in (-0.02, 0.02):
            moved = list(found.coefficients)
            moved[place] += step
            assert nll(sample, found) < nll(sample, LocalTemperature(*moved))


@pytest.mark.parametrize("kind", ["global", "per-class", "local"])
def test_slopes_are_those_of_the_loss(sample_of, kind):
    sample = sample_of(LOCAL, pictures=3, pixels=30, judged_as=(0, 1, 1, 2))
    family = {
        "global": lambda: module._Scaled(sample, np.ones((4, 1)), np.zeros(4)),
        "per-class": lambda: module._Scaled(sample, np.eye(4), np.zeros(4)),
        "local": lambda: module._Local(sample, sample.corners),
    }[kind]()
    place = {"global": [0.8], "per-class": [0.7, 1.2, 0.9, 0.5], "local": [0.3, -0.2, 0.1, 0.4]}
    place = np.array(place[kind])
    slopes, bends = module._derivatives(family, place)
    for index in range(len(place)):
        step = 1e-5 * np.eye(len(place))[index]
        rise = module._nll(family, place + step) - module._nll(family, place - step)
        assert slopes[index] == pytest.approx(rise / 2e-5, rel=1e-4, abs=1e-7)
    assert np.linalg.eigvalsh(bends).min() >= -1e-9
    assert module._nll(family, place) > 0


@pytest.mark.parametrize("kind", ["per-class", "local"])
def test_second_derivatives_are_those_to_be_expected_of_the_truth(sample_of, kind):
    sample = sample_of(LOCAL, pictures=1, pixels=1, judged_as=(0, 1, 1, 2))
    place = np.array([0.7, -0.2, 0.1, 0.4])
    chances = judged_probabilities(sample, probabilities_of(sample, LocalTemperature(*place)))
    if kind == "per-class":
        place = np.array([0.7, 1.2, 0.9, 0.5])
        chances = judged_probabilities(sample, probabilities_of(sample, tuple(1 / place)))
    expected = np.zeros((4, 4))
    for truth, chance in enumerate(chances[0, 0]):
        own = replace(sample, truth=np.array([[truth]], np.uint16))
        family = {
            "per-class": module._Scaled(own, np.eye(4), np.zeros(4)),
            "local": module._Local(own, own.corners),
        }[kind]
        slopes, bends = module._derivatives(family, place)
        expected += chance * np.outer(slopes, slopes)
    np.testing.assert_allclose(bends, expected, rtol=1e-4, atol=1e-7)


def test_where_a_temperature_is_held_nothing_slopes(sample_of):
    sample = sample_of(LOCAL, pictures=2, pixels=20)
    family = module._Local(sample, sample.corners)
    slopes, bends = module._derivatives(family, np.array([9.0, 0.0, 0.0, 0.0]))
    assert not slopes.any()
    assert not bends.any()


def test_second_derivatives_are_true_where_no_classes_are_one(sample_of):
    sample = sample_of(2.0, pictures=3, pixels=30)
    family = module._Scaled(sample, np.eye(3), np.zeros(3))
    place = np.array([0.7, 1.2, 0.9])
    bends = module._derivatives(family, place)[1]
    for index in range(3):
        step = 1e-5 * np.eye(3)[index]
        ends = [module._derivatives(family, place + sign * step)[0] for sign in (-1, 1)]
        np.testing.assert_allclose(bends[index], (ends[1] - ends[0]) / 2e-5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["global", "per-class"])
def test_temperatures_of_classes_that_are_one_are_the_best_there_are(sample_of, kind):
    sample = sample_of(2.5, judged_as=(0, 1, 1, 2), pictures=10)
    found = fit_temperature(sample, kind)
    best = nll(sample, found)
    assert found == pytest.approx(2.5 if kind == "global" else (2.5,) * 4, rel=0.25)
    for factor in (0.97, 1.03):
        each = found if kind == "global" else np.array(found)
        assert best <= nll(sample, tuple(np.full(4, each) * factor)) + 1e-6


def test_local_scores_at_a_corner_are_divided_there(sample_of):
    sample = sample_of(LOCAL, pictures=2, pixels=20)
    corners = sample.corners
    weights = np.zeros_like(corners.weights)
    weights[:, 2] = 1
    sample = replace(sample, corners=replace(corners, weights=weights))
    own = corners.scores[:, 2] / LOCAL.at(corners.features[:, 2].swapaxes(0, 1))[:, None]
    powers = np.exp(own - own.max(1, keepdims=True))
    expected = (powers / powers.sum(1, keepdims=True)).transpose(0, 2, 1)
    np.testing.assert_allclose(probabilities_of(sample, LOCAL), expected, rtol=1e-4, atol=1e-6)


def test_judged_probabilities_are_sums(sample_of):
    sample = sample_of(1.0, judged_as=(2, 0, 1, 2), pictures=2, pixels=5)
    own = probabilities_of(sample, 1.0)
    found = judged_probabilities(sample, own)
    np.testing.assert_allclose(found[..., 2], own[..., 0] + own[..., 3], rtol=1e-6)
    np.testing.assert_array_equal(found[..., :2], own[..., 1:3])
