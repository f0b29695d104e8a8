from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.thresholds as module
from pixelwise.errors import ArrayError
from pixelwise.kernels.reference_calibration import threshold_bins
from pixelwise.metrics.bootstrap import interval
from pixelwise.metrics.thresholds import Thresholds

EDGES = Thresholds.edges


def sorted_oracle(probability, truth):
    """Average precision, AUC and best Dice by sorting, as scikit-learn defines them."""
    thresholds = np.unique(probability)[::-1]
    found = probability[None] >= thresholds[:, None]
    right, wrong = (found & truth).sum(1), (found & ~truth).sum(1)
    precision, recall = right / (right + wrong), right / truth.sum()
    average = np.sum(np.diff(np.concatenate([[0], recall])) * precision)
    fall_out = np.concatenate([[0], wrong / (~truth).sum()])
    area = np.trapezoid(np.concatenate([[0], recall]), fall_out)
    return average, area, (2 * right / (right + wrong + truth.sum())).max()


def drawn(seed, count=300):
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.3
    truth[:2] = 0, 1
    logit = random.normal(np.where(truth, 2, -2), 3)
    return (1 / (1 + np.exp(-logit))).astype(np.float32), truth


def filled(probability, truth, **options):
    thresholds = Thresholds(**options)
    thresholds.update(probability, truth.astype(np.uint8))
    return thresholds


def test_public_names_are_sorted():
    assert module.__all__ == sorted(module.__all__)


def test_every_probability_is_in_the_bin_that_begins_at_or_below_it():
    random = np.random.default_rng(0)
    spread = 1 / (1 + np.exp(-random.normal(0, 8, 5000)))
    edges = np.float32(EDGES)
    near = [np.nextafter(edges, np.float32(side)) for side in (0, 1)]
    values = np.concatenate([spread, edges, *near, [0, 0.5, 1, 1e-30]]).astype(np.float32)
    expected = np.searchsorted(EDGES, values.astype(np.float64), side="right") - 1
    np.testing.assert_array_equal(threshold_bins(values), expected)
    assert (np.diff(EDGES) > 0).all()
    assert EDGES[0] == 0


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_figures_of_probabilities_at_edges_are_those_of_sorting(seed):
    probability, truth = drawn(seed)
    at_edges = EDGES[threshold_bins(probability)]
    scores = filled(at_edges, truth).compute()
    figures = scores.average_precision, scores.auc, scores.best_dice
    assert figures == pytest.approx(sorted_oracle(at_edges, truth))
    assert scores.dice[scores.thresholds == scores.best_threshold] == scores.best_dice


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_figures_of_any_probabilities_are_near_those_of_sorting(seed):
    probability, truth = drawn(seed)
    scores = filled(probability, truth).compute()
    figures = scores.average_precision, scores.auc, scores.best_dice
    assert figures == pytest.approx(sorted_oracle(probability, truth), abs=0.01)


def test_each_threshold_gives_what_a_mask_gives():
    probability, truth = drawn(3)
    scores = filled(probability, truth).compute()
    for place in (0, 200, 736, 1100, 1471):
        found = probability >= EDGES[place]
        right = np.count_nonzero(found & truth)
        assert scores.recall[place] == pytest.approx(right / truth.sum())
        assert scores.precision[place] == pytest.approx(right / found.sum() if found.any() else 1)
        wrong = np.count_nonzero(found & ~truth)
        assert scores.false_positive_rate[place] == pytest.approx(wrong / (~truth).sum())
        expected = 2 * right / (found.sum() + truth.sum())
        assert scores.dice[place] == pytest.approx(expected)
    assert (scores.foreground, scores.background) == (truth.sum(), (~truth).sum())


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 299))
def test_counts_add_up_in_any_parts(seed, cut):
    probability, truth = drawn(seed)
    merged = filled(probability[cut:], truth[cut:])
    merged.merge(filled(probability[:cut], truth[:cut]))
    np.testing.assert_array_equal(merged.counts, filled(probability, truth).counts)


def test_ignored_pixels_do_not_count():
    probability, truth = drawn(4)
    ids = np.where(np.arange(300) % 3 == 0, 255, truth).astype(np.uint8)
    thresholds = Thresholds(ignore_index=255)
    thresholds.update(probability, ids)
    kept = ids != 255
    np.testing.assert_array_equal(thresholds.counts, filled(probability[kept], truth[kept]).counts)


def test_bands_change_nothing(monkeypatch):
    probability, truth = drawn(5)
    whole = filled(probability, truth).counts
    monkeypatch.setattr(module, "_BAND_PIXELS", 7)
    np.testing.assert_array_equal(filled(probability.astype(np.float64), truth).counts, whole)


@pytest.mark.parametrize("only", [0, 1])
def test_truth_of_one_kind_leaves_figures_open(only):
    scores = filled(np.array([0.2, 0.7]), np.full(2, only)).compute()
    assert np.isnan(scores.auc)
    assert np.isnan(scores.average_precision) == (only == 0)
    assert np.isnan(scores.best_threshold) == (only == 0)
    if only:
        assert (scores.average_precision, scores.best_dice) == (1, 1)


def test_counts_of_pictures_have_an_interval():
    units = np.stack([filled(*drawn(seed)).counts for seed in range(12)])
    found = interval(units, Thresholds.values)
    assert found.value.shape == (3,)
    assert ((found.low < found.value) & (found.value < found.high)).all()


@pytest.mark.parametrize(
    ("probability", "truth", "said"),
    [
        ([0.5, np.nan], [0, 1], "1 values are NaN"),
        ([0.5, 1.5], [0, 1], "values from 0.5 to 1.5"),
        ([0.5, -1], [0, 1], "values from -1 to"),
        ([0.5], [0, 1], r"probability \[1\] · truth \[2\]"),
        ([0.5, 0.5], [0, 255], r"ids \[255\], expected 0 … 1"),
        ([0.5, 0.5], [0.0, 1.0], "dtype float64"),
    ],
)
def test_what_cannot_be_counted_is_refused(probability, truth, said):
    thresholds = Thresholds()
    with pytest.raises(ArrayError, match=said):
        thresholds.update(np.array(probability), np.array(truth))
    assert not thresholds.counts.any()


def test_only_one_protocol_merges():
    with pytest.raises(ArrayError, match="ignore None · ignore 255"):
        Thresholds().merge(Thresholds(ignore_index=255))


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_average_precision_of_bins_is_the_mean_over_orders_within_them(seed):
    random = np.random.default_rng(seed)
    sums = random.integers(0, 3, (2, 5))
    sums[:, [0, -1]] = 0
    sums[1, 2] = 2
    own = np.repeat(np.arange(5), sums.sum(0))
    truth = np.concatenate([np.repeat([0, 1], sums[:, place]) for place in range(5)])
    values = []
    for _ in range(500):
        order = np.lexsort([random.random(len(own)), -own])
        right = truth[order]
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        values.append(precision[right == 1].mean())
    spread = np.std(values) / np.sqrt(len(values))
    found = Thresholds.average_precision(sums)
    assert found == pytest.approx(np.mean(values), abs=5 * spread + 1e-3)
    many = Thresholds.average_precision(np.stack([sums, 7 * sums]))
    assert many.shape == (2,)
    assert many[0] == found


def test_average_precision_of_bins_of_one_pixel_each_is_that_of_sorting():
    random = np.random.default_rng(0)
    truth = random.random(200) < 0.3
    sums = np.zeros((2, 202))
    sums[truth.astype(int), 1 + np.arange(200)] = 1
    expected = sorted_oracle(np.arange(200), truth)[0]
    assert Thresholds.average_precision(sums) == pytest.approx(expected, abs=1e-6)


def test_probabilities_of_0_and_1_count_as_equal():
    sums = np.array([[3, 0, 4], [1, 0, 5]])
    expected = 5 / 6 * 5 / 9 + 1 / 6 * 6 / 13
    assert Thresholds.average_precision(sums) == pytest.approx(expected)
    assert np.isnan(Thresholds.average_precision(np.array([[3, 4], [0, 0]])))
