from __future__ import annotations

import numpy as np
import pytest

import pixelwise.evaluation.quality as module
from pixelwise.errors import ArrayError
from pixelwise.evaluation.quality import expected_iou, expected_mean_iou, rank_correlation
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation


def drawn(seed, pixels=4000, sharp=3.0):
    """Probabilities `[P, C]`, labels, and a truth drawn by the probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, sharp, (pixels, 4))
    powers = np.exp(logits)
    probabilities = powers / powers.sum(1, keepdims=True)
    truth = np.argmax(logits + random.gumbel(size=logits.shape), axis=1)
    return probabilities, logits.argmax(1), truth


def mean_iou(labels, truth):
    values = [
        np.count_nonzero((labels == index) & (truth == index))
        / np.count_nonzero((labels == index) | (truth == index))
        for index in np.unique(labels)
    ]
    return np.mean(values)


@pytest.mark.parametrize("sharp", [0.5, 2.0, 6.0])
def test_where_probabilities_are_true_it_is_the_score(sharp):
    probabilities, labels, truth = drawn(1, sharp=sharp)
    assert expected_iou(probabilities, labels) == pytest.approx(mean_iou(labels, truth), abs=0.02)


def test_it_ranks_pictures_by_their_score():
    random = np.random.default_rng(2)
    sets = [drawn(seed, 500, random.gamma(2, 1)) for seed in range(40)]
    estimates = [expected_iou(values, labels) for values, labels, _ in sets]
    scores = [mean_iou(labels, truth) for _, labels, truth in sets]
    found = rank_correlation(np.array(estimates), np.array(scores))
    assert found.value > 0.9
    assert found.low < found.value < found.high <= 1


def test_of_a_segmentation_it_is_that_of_its_pixels(make_table, monkeypatch):
    scores = np.random.default_rng(3).normal(0, 2, (3, 5, 6)).astype(np.float32)
    segmentation = Segmentation(
        scores,
        make_table(4, 9, 300),
        Geometry(Axis.half_pixel(20, 5), Axis.half_pixel(31, 6)),
        Provenance("toy", "", "", (8, 8), "", "0"),
        threads=1,
        temperature=2.0,
    )
    labels = np.searchsorted([4, 9, 300], segmentation.labels).ravel()
    expected = expected_iou(segmentation.probabilities().reshape(3, -1).T, labels)
    assert expected_mean_iou(segmentation) == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(module, "_BAND_VALUES", 300)
    assert expected_mean_iou(segmentation) == pytest.approx(expected, rel=1e-6)


def test_ranks_are_spearmans():
    # By hand: ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3.
    found = rank_correlation(np.array([1, 2, 2, 9]), np.array([0.1, 0.5, 0.2, 0.6]))
    first, second = np.array([-1.5, 0, 0, 1.5]), np.array([-1.5, 0.5, -0.5, 1.5])
    assert found.value == pytest.approx(first @ second / np.sqrt(first @ first * second @ second))
    assert found.pictures == 4
    assert rank_correlation(np.arange(9), -np.arange(9)).value == pytest.approx(-1)


def test_without_spread_or_with_few_pictures_it_is_open():
    assert np.isnan(rank_correlation(np.ones(9), np.arange(9)).value)
    few = rank_correlation(np.arange(3), np.arange(3))
    assert few.value == pytest.approx(1)
    assert np.isnan([few.low, few.high]).all()


@pytest.mark.parametrize("scores", [[1.0, 2.0], [1.0, np.nan, 2.0], [[1.0, 2.0, 3.0]]])
def test_what_does_not_fit_is_refused(scores):
    with pytest.raises(ArrayError, match="one of each for every picture"):
        rank_correlation(np.arange(3.0), np.array(scores))
