from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.bootstrap as module
from benchmarks.interval_coverage import KINDS, coverage, mean_iou
from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics.bootstrap import LEAST_GROUPS, groups_suffice, interval, paired


def mean(sums):
    """The share of right ones, of sums `[D, 2]`."""
    with np.errstate(invalid="ignore"):
        return sums[:, 1] / sums[:, 0]


def counted(seed, pictures=30):
    random = np.random.default_rng(seed)
    pixels = random.integers(1, 1000, pictures)
    return np.stack([pixels, random.binomial(pixels, 0.7)], axis=1)


def test_public_names_are_sorted():
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("kind", ["skewed", "even"])
def test_an_interval_holds_the_truth_as_often_as_it_says(kind):
    share, _ = coverage(KINDS[kind], pictures=40, repeats=1500)
    assert 0.93 <= share["jackknife-t"] <= 0.97


def test_of_pictures_of_one_size_it_is_students():
    right = np.array([3, 9, 4, 6, 5, 7, 2, 8])
    found = interval(np.stack([np.full(8, 10), right], 1), mean, bounds=None)
    half = 2.365 * right.std(ddof=1) / 10 / np.sqrt(8)  # t of 7 degrees of freedom
    assert found.value == pytest.approx(right.mean() / 10)
    assert found.high - found.value == pytest.approx(half, rel=2e-3)
    assert found.value - found.low == pytest.approx(half, rel=2e-3)


def test_few_pictures_that_decide_widen_it():
    alike = np.stack([np.full(40, 10), np.tile([4, 6], 20)], 1)
    one = np.array([[10_000, 9_000]])
    assert np.ptp([*_ends(np.concatenate([alike, one]))]) > 3 * np.ptp([*_ends(alike)])


def _ends(units):
    found = interval(units, mean)
    return found.low, found.high


@settings(max_examples=30)
@given(st.integers(0, 1000), st.booleans())
def test_it_lies_within_the_bounds_around_the_value(seed, nearly_perfect):
    units = counted(seed, pictures=8)
    if nearly_perfect:
        units[1:, 1] = units[1:, 0]
    found = interval(units, mean)
    assert 0 <= found.low <= found.value <= found.high <= 1
    again = interval(units[::-1], mean)
    np.testing.assert_allclose([again.low, again.high], [found.low, found.high])


def test_groups_are_left_out_whole():
    units = counted(1)
    parts = np.concatenate([units // 2, units - units // 2])
    groups = [*range(30), *range(30)]
    whole, grouped = interval(units, mean), interval(parts, mean, groups=groups)
    assert grouped.units == 30
    np.testing.assert_allclose([grouped.low, grouped.high], [whole.low, whole.high])


def test_few_groups_and_a_class_in_one_of_them_do_not_suffice():
    of, held = np.arange(2 * LEAST_GROUPS) // 2, np.ones((2 * LEAST_GROUPS, 2), bool)
    assert groups_suffice(of, held)
    assert not groups_suffice(of[2:], held[2:])
    held[2:, 1] = False
    assert not groups_suffice(of, held)
    held[2, 1] = True
    assert groups_suffice(of, held)
    held[:, 1] = False
    assert groups_suffice(of, held)


def test_pictures_without_a_count_are_none():
    units = counted(2)
    more = np.concatenate([units, np.zeros_like(units)])
    assert interval(more, mean).units == 30
    assert interval(more, mean).low == interval(units, mean).low


def test_what_all_pictures_agree_on_is_sure():
    found = interval(np.full((5, 2), 7), mean)
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_values_are_told_apart_and_one_picture_tells_nothing():
    both = np.stack([counted(3), counted(4)], 1)  # [30, 2, 2]
    both[1:, 1] = 0  # the second occurs in one picture alone

    def each(sums):
        return np.stack([mean(sums[:, 0]), mean(sums[:, 1])], 1)

    found = interval(both, each)
    assert found.low[0] < found.value[0] < found.high[0]
    assert np.isnan([found.low[1], found.high[1]]).all()
    assert found.value[1] == pytest.approx(both[0, 1, 1] / both[0, 1, 0])
    alone = interval(counted(3, pictures=1), mean)
    assert np.isnan([alone.low, alone.high]).all()
    assert not np.isnan(alone.value)


def test_no_picture_at_all():
    found = interval(np.zeros((0, 2)), mean)
    assert found.units == 0
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(paired(np.zeros((0, 2)), np.zeros((0, 2)), mean).better)


def test_blocks_change_nothing(monkeypatch):
    units = counted(5)
    whole, pair = interval(units, mean), paired(units, units[::-1], mean)
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 70)
    assert (interval(units, mean).low, interval(units, mean).high) == (whole.low, whole.high)
    assert paired(units, units[::-1], mean).better == pytest.approx(pair.better)


def test_better_is_told_from_the_same_pictures():
    first = counted(6)
    second = first.copy()
    second[:, 1] = np.minimum(first[:, 0], first[:, 1] + first[:, 0] // 100 + 1)
    found = paired(first, second, mean)
    assert found.better == 1
    assert 0 < found.low < found.difference < found.high < 0.05
    turned = paired(second, first, mean)
    assert turned.better == 0
    assert turned.difference == -found.difference
    # Of each alone the intervals overlap: the pictures differ more than the models.
    assert interval(second, mean).low < interval(first, mean).high


def test_the_same_model_is_as_good():
    found = paired(counted(7), counted(7), mean)
    assert (found.difference, found.low, found.high, found.better) == (0, 0, 0, 0.5)


def test_by_chance_better_is_any_share():
    random = np.random.default_rng(8)
    shares = [
        float(paired(counted(random.integers(1e9)), counted(random.integers(1e9)), mean).better)
        for _ in range(60)
    ]
    assert min(shares) < 0.2
    assert max(shares) > 0.8
    assert 0.4 < np.mean(shares) < 0.6


def test_a_mean_iou_has_one():
    random = np.random.default_rng(9)
    found = interval(KINDS["skewed"].pictures(random, 30), mean_iou)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("units", "groups", "said"),
    [
        (np.zeros((3, 2), np.float32), None, r"float32 \[3, 2\]"),
        (np.full((3, 2), np.nan), None, "finite counts"),
        (np.zeros((3, 2)), [0, 1], "one group for each"),
    ],
)
def test_what_are_no_counts_is_refused(units, groups, said):
    with pytest.raises(ArrayError, match=said):
        interval(units, mean, groups=groups)


def test_other_faults_are_told():
    with pytest.raises(UsageError, match="bounds are a low and a high"):
        interval(counted(1), mean, bounds=(1.0, 1.0))
    with pytest.raises(ArrayError, match="same pictures and classes"):
        paired(counted(1), counted(1, pictures=29), mean)
