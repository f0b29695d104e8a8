from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.calibration as module
from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.metrics.bootstrap import interval
from pixelwise.metrics.calibration import Calibration

CLASSES, IGNORED, BINS = 4, 255, 15


def picture(seed, size=(9, 7), classes=CLASSES, ids=(0, 1, 2, 3, IGNORED)):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (classes, *size)).astype(np.float32)
    powers = np.exp(logits)
    return powers / powers.sum(0), random.choice(ids, size).astype(np.uint8)


def filled(pictures, **options):
    calibration = Calibration(CLASSES, **{"ignore_index": IGNORED, "bins": BINS} | options)
    for probabilities, truth in pictures:
        calibration.update(probabilities, truth)
    return calibration


def pixels_of(pictures):
    """Probabilities `[N, C]` in float64 and truth `[N]` of all counted pixels."""
    values = np.concatenate([p.reshape(CLASSES, -1).T for p, _ in pictures]).astype(np.float64)
    truth = np.concatenate([t.ravel() for _, t in pictures])
    return values[truth != IGNORED], truth[truth != IGNORED]


def binary_error(confidence, right):
    """The l1 calibration error as torchmetrics defines it: bins [i / B, (i + 1) / B)."""
    edges = np.linspace(0, 1, BINS + 1)
    places = np.searchsorted(edges, confidence, side="right") - 1
    total = 0.0
    for place in range(BINS + 1):
        own = places == place
        if own.any():
            total += abs(confidence[own].mean() - right[own].mean()) * own.mean()
    return total


def test_public_names_are_sorted():
    assert module.__all__ == sorted(module.__all__)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=3))
def test_figures_are_those_of_the_definitions(seeds):
    pictures = [picture(seed) for seed in seeds]
    values, truth = pixels_of(pictures)
    scores = filled(pictures).compute()
    best = values.argmax(1)
    each = [binary_error(values[:, index], truth == index) for index in range(CLASSES)]
    one_hot = np.eye(CLASSES)[truth]
    assert scores.ece == pytest.approx(binary_error(values.max(1), best == truth), abs=1e-6)
    assert scores.classwise_ece == pytest.approx(np.mean(each), abs=1e-6)
    assert scores.brier == pytest.approx(((values - one_hot) ** 2).sum(1).mean(), rel=1e-5)
    likelihood = -np.log(values[np.arange(len(truth)), truth]).mean()
    assert scores.nll == pytest.approx(likelihood, rel=1e-5)
    assert scores.pixels == len(truth)
    diagram = scores.reliability
    assert diagram.pixels.sum() == len(truth)
    gaps = np.abs(diagram.accuracy - diagram.confidence) * diagram.pixels / len(truth)
    assert np.nansum(gaps) == pytest.approx(scores.ece)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=4), st.randoms())
def test_sums_are_the_same_in_any_parts_and_order(seeds, random):
    pictures = [picture(seed) for seed in seeds]
    whole = filled(pictures)
    random.shuffle(pictures)
    merged = Calibration(CLASSES, ignore_index=IGNORED, bins=BINS)
    for one in pictures:
        merged.merge(filled([one]))
    np.testing.assert_allclose(merged.counts, whole.counts, rtol=1e-12)
    tall = [(np.concatenate([p for p, _ in pictures], 1), np.concatenate([t for _, t in pictures]))]
    np.testing.assert_allclose(filled(tall).counts, whole.counts, rtol=1e-6, atol=1e-5)


def test_bands_change_nothing(monkeypatch):
    probabilities, truth = picture(1)
    whole = filled([(probabilities, truth)])
    monkeypatch.setattr(module, "_BAND_PIXELS", 10)
    for other in (probabilities.astype(np.float64), np.asfortranarray(probabilities)):
        np.testing.assert_allclose(filled([(other, truth)]).counts, whole.counts, rtol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_scores_count_as_their_probabilities(seed):
    random = np.random.default_rng(seed)
    scores = random.normal(0, 4, (5, 3, 4)).astype(np.float32)
    geometry = Geometry(Axis.half_pixel(11, 3), Axis.corners(9, 4))
    truth = random.choice([0, 1, 2, 3, IGNORED], (11, 9))
    groups = np.array([2, 0, 1, 2, 3])
    found = Calibration(CLASSES, ignore_index=IGNORED)
    found.update_scores(scores, geometry, truth, groups=groups)
    own = kernels.decode_probabilities(scores, geometry.rows, geometry.columns)
    summed = np.stack([own[groups == group].sum(0) for group in range(CLASSES)])
    np.testing.assert_allclose(found.counts, filled([(summed, truth)]).counts, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": None}, "5, expected 4"),
        ({"groups": np.array([0, 1, 1, 1, 1])}, "2, expected 4"),
        ({"groups": np.array([0, 1, 3, 3, 3])}, r"groups \[0, 1, 3, 3, 3\]"),
        ({"truth": np.zeros((9, 11), int)}, r"truth \[9, 11\], expected \[11, 9\]"),
        ({"truth": np.zeros((11, 9))}, "dtype float64"),
        ({"truth": np.full((11, 9), 4)}, r"ids \[4\], expected 0 … 3 or 255"),
        ({"scores": np.full((5, 3, 4), np.nan, np.float32)}, "60 values are no finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused_and_nothing_added(change, said):
    calibration = Calibration(CLASSES, ignore_index=IGNORED)
    given = {
        "scores": np.zeros((5, 3, 4), np.float32),
        "geometry": Geometry(Axis.half_pixel(11, 3), Axis.corners(9, 4)),
        "truth": np.zeros((11, 9), int),
        "groups": np.array([0, 1, 2, 3, 3]),
    }
    with pytest.raises(ArrayError, match=said):
        calibration.update_scores(**given | change)
    assert not calibration.counts.any()


def test_what_is_predicted_under_ignored_pixels_changes_nothing():
    probabilities, truth = picture(2)
    changed = probabilities.copy()
    changed[:, truth == IGNORED] = np.array([[1], [0], [0], [0]])
    np.testing.assert_array_equal(
        filled([(changed, truth)]).counts, filled([(probabilities, truth)]).counts
    )


def test_sure_and_right_is_perfect():
    truth = np.array([[0, 1], [2, 3]])
    scores = filled([(np.eye(CLASSES)[truth].transpose(2, 0, 1), truth)]).compute()
    assert (scores.ece, scores.classwise_ece, scores.brier, scores.nll) == (0, 0, 0, 0)
    # 1 is in the last bin, where torchmetrics has one more.
    assert scores.reliability.pixels[-1] == 4


def test_sure_and_wrong_is_the_worst():
    probabilities = np.zeros((CLASSES, 1, 3), np.float32)
    probabilities[1] = 1
    scores = filled([(probabilities, np.zeros((1, 3), int))]).compute()
    assert (scores.ece, scores.brier) == (1, 2)
    assert scores.nll == pytest.approx(-np.log(1e-37))


def test_nothing_counted_is_nan():
    probabilities, _ = picture(3)
    scores = filled([(probabilities, np.full((9, 7), IGNORED, np.uint8))]).compute()
    assert scores.pixels == 0
    assert np.isnan([scores.ece, scores.classwise_ece, scores.brier, scores.nll]).all()
    assert np.isnan(scores.reliability.accuracy).all()


def test_sums_of_pictures_have_an_interval():
    each = [filled([picture(seed)]) for seed in range(20)]
    units = np.stack([calibration.counts for calibration in each])
    found = interval(units, each[0].values, bounds=None)
    whole = filled([picture(seed) for seed in range(20)]).compute()
    assert found.value == pytest.approx([whole.ece, whole.classwise_ece, whole.brier, whole.nll])
    assert (found.low < found.value).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "1 values are NaN"),
        (-0.5, "values from -0.5 to"),
        (3.0, "to 3, expected 0..1"),
        (0.9, "sums over the classes"),
        (np.inf, "to inf"),
    ],
)
def test_what_is_no_probability_is_refused_and_nothing_added(value, said):
    calibration = Calibration(CLASSES)
    probabilities = np.full((CLASSES, 3, 3), 0.25)
    probabilities[1, 2, 2] = value
    with pytest.raises(ArrayError, match=said):
        calibration.update(probabilities, np.zeros((3, 3), int))
    assert not calibration.counts.any()


@pytest.mark.parametrize(
    ("probabilities", "truth", "said"),
    [
        (np.ones((3, 2, 2)) / 3, np.zeros((2, 2), int), r"\[3, 2, 2\] · truth \[2, 2\]"),
        (np.ones((4, 2, 2)) / 4, np.zeros((2, 3), int), r"truth \[2, 3\]"),
        (np.ones((4, 2, 2), int), np.zeros((2, 2)), "int64, expected floating.*truth float64"),
        (np.ones((4, 2, 2)) / 4, np.full((2, 2), 4), r"ids \[4\], expected 0 … 3 or 255"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, truth, said):
    with pytest.raises(ArrayError, match=said):
        filled([(probabilities, truth)])


@pytest.mark.parametrize("options", [{"bins": 0}, {"bins": 1001}, {"classes": 1}])
def test_a_protocol_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError, match="2 to 65,535 classes"):
        Calibration(**{"classes": 4} | options)


def test_only_one_protocol_merges():
    with pytest.raises(ArrayError, match=r"15 bins · 4 classes, ignore 255, 10 bins"):
        filled([]).merge(filled([], bins=10))
