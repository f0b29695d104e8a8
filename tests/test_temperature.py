from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.temperature as module
from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.geometry import Geometry, Window
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation
from pixelwise.temperature import LocalTemperature, fits_classes, local_features, tempered

IDS = (0, 3, 7, 200)
PER_CLASS = (0.5, 1.0, 2.0, 4.0)
LOCAL = LocalTemperature(0.5, -0.4, 0.1, 0.8)
PROVENANCE = Provenance("toy", "0" * 64, "none", (8, 8), "a.png", "0")


@pytest.fixture(scope="module")
def make(make_table):
    def build(temperature=1.0, *, seed=0, set_threshold=None):
        scores = np.random.default_rng(seed).normal(0, 3, (len(IDS), 5, 6)).astype(np.float32)
        return Segmentation(
            scores=scores,
            classes=make_table(*IDS),
            geometry=Geometry(Axis.half_pixel(19, 5), Axis.half_pixel(23, 6)),
            provenance=PROVENANCE,
            threads=1,
            temperature=temperature,
            set_threshold=set_threshold,
        )

    return build


def softmax(scores):
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)


@settings(max_examples=20)
@given(st.one_of(st.floats(0.05, 20), st.tuples(*[st.floats(0.05, 20)] * 4)), st.integers(0, 99))
def test_probabilities_follow_the_temperature_and_labels_do_not(make, temperature, seed):
    plain, calibrated = make(seed=seed), make(temperature, seed=seed)
    np.testing.assert_array_equal(calibrated.labels, plain.labels)
    np.testing.assert_array_equal(calibrated.logits(), plain.logits())
    divisor = np.reshape(temperature, (-1, 1, 1))
    expected = softmax(plain.logits().astype(np.float64) / divisor)
    np.testing.assert_allclose(calibrated.probabilities(), expected, rtol=2e-4, atol=1e-6)
    channel = np.searchsorted(IDS, plain.labels)
    own = np.take_along_axis(expected, channel[None], 0)[0]
    np.testing.assert_allclose(calibrated.confidence, own, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(calibrated.layer(7).probability, expected[2], rtol=2e-4, atol=1e-6)


def features_by_hand(scores):
    """Cell by cell."""
    height, width = scores.shape[1:]
    out = np.ones((4, height, width))
    for y in range(height):
        for x in range(width):
            second, first = sorted(scores[:, y, x].tolist())[-2:]
            out[1, y, x] = math.log(1 + first - second)
            out[2, y, x] = out[1, y, x] ** 2
            around = [
                scores[:, min(max(y + down, 0), height - 1), min(max(x + across, 0), width - 1)]
                for down in (-1, 0, 1)
                for across in (-1, 0, 1)
            ]
            differing = [own.argmax() != scores[:, y, x].argmax() for own in around]
            out[3, y, x] = sum(differing) / 8
    return out


@pytest.mark.parametrize("size", [(4, 5, 6), (2, 1, 1), (3, 1, 4)])
def test_local_features_are_those_of_the_definition(size):
    scores = np.random.default_rng(1).normal(0, 3, size).astype(np.float32)
    found = local_features(scores)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, features_by_hand(scores), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(local_features(scores[:1])[1], 0)


def test_a_local_temperature_divides_the_networks_own_scores(make):
    calibrated, plain = make(LOCAL), make()
    own = features_by_hand(plain.scores)
    temperature = np.exp(np.tensordot(LOCAL.coefficients, own, 1))
    expected = plain.scores / temperature
    np.testing.assert_allclose(calibrated.calibrated_scores, expected, rtol=1e-4)
    np.testing.assert_array_equal(calibrated.labels, plain.labels)
    np.testing.assert_array_equal(calibrated.logits(), plain.logits())
    probabilities = calibrated.probabilities()
    rows, columns = calibrated.geometry.rows, calibrated.geometry.columns
    scores = kernels.decode_scores(expected.astype(np.float32), rows, columns)
    np.testing.assert_allclose(probabilities, softmax(scores), rtol=1e-3, atol=1e-6)
    channel = np.searchsorted(IDS, plain.labels)
    own = np.take_along_axis(probabilities, channel[None], 0)[0]
    np.testing.assert_allclose(calibrated.confidence, own, rtol=1e-5)
    np.testing.assert_allclose(calibrated.layer(7).probability, probabilities[2], rtol=1e-5)


def test_a_local_temperature_is_held_within_its_limits(make):
    scores = make().scores
    for base, expected in ((50.0, 20), (-50.0, 0.05)):
        found = tempered(scores, LocalTemperature(base, 0.0, 0.0, 0.0))
        np.testing.assert_allclose(found, scores / np.float32(expected), rtol=1e-5)


@pytest.mark.parametrize("given_temperature", [PER_CLASS, LOCAL])
def test_at_and_windows_are_calibrated(make, given_temperature):
    calibrated = make(given_temperature)
    window = calibrated.probabilities(Window(4, 2, 5, 3))[:, 0, 0]
    np.testing.assert_allclose(window, calibrated.probabilities()[:, 2, 4], rtol=1e-5)
    assert sorted(calibrated.at(4, 2).values()) == pytest.approx(sorted(window.tolist()))


def test_bands_change_nothing(make, monkeypatch):
    whole = make(PER_CLASS).confidence
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 200)
    np.testing.assert_allclose(make(PER_CLASS).confidence, whole, rtol=1e-6)


def test_a_temperature_of_one_costs_nothing():
    scores = np.ones((3, 2, 2), np.float32)
    assert tempered(scores, 1.0) is scores
    assert tempered(scores, (1.0, 1.0, 1.0)) is scores


@pytest.mark.parametrize(
    ("temperature", "fits"),
    [
        (1.0, True),
        (PER_CLASS, True),
        ((2.0,), False),
        ((), False),
        (0.0, False),
        (-1.0, False),
        (math.inf, False),
        (math.nan, False),
        ((1.0, 1.0, 1.0, 0.0), False),
        (LOCAL, True),
        (LocalTemperature(0.0, math.nan, 0.0, 0.0), False),
        (LocalTemperature(0.0, 0.0, math.inf, 0.0), False),
        (LocalTemperature(0.0, 0.0, 0.0, 2000.0), False),
    ],
)
def test_a_temperature_is_one_for_all_or_one_for_each(make, temperature, fits):
    assert fits_classes(temperature, 4) == fits
    if not fits:
        with pytest.raises(ArrayError, match=r"temperature .*expected one or 4 above 0"):
            make(temperature)


def test_sets_are_the_label_and_what_is_likely_enough(make):
    for threshold in (0.0, 0.2, 0.6, 1.0):
        result = make(PER_CLASS, set_threshold=threshold)
        sets = result.prediction_sets()
        assert sets.dtype == np.bool_
        expected = (result.probabilities() >= threshold) | result.one_hot().astype(bool)
        np.testing.assert_array_equal(sets, expected)
        window = Window(3, 4, 9, 8)
        np.testing.assert_array_equal(result.prediction_sets(window), expected[:, 4:8, 3:9])
    # Another class may be likelier than the label by its own temperature.
    assert (make(PER_CLASS, set_threshold=1.0).prediction_sets().sum(0) == 1).all()


def test_without_a_threshold_there_are_no_sets(make):
    with pytest.raises(UsageError, match=r"(?s)from which probability.*--coverage"):
        make().prediction_sets()
