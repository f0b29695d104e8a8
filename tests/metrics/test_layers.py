from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import ArrayError
from pixelwise.metrics import LayerOverlap
from pixelwise.metrics import figures as formulas


def pictures_of(seed, count=4, classes=3):
    random = np.random.default_rng(seed)
    return [
        (
            random.random((classes, 5, 6)) < 0.4,
            random.random((classes, 5, 6)) < 0.5,
            random.random((5, 6)) < 0.2,
        )
        for _ in range(count)
    ]


def test_figures_are_those_of_each_class_by_itself():
    truth = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]], bool)
    found = np.array([[[1, 0, 1, 0]], [[0, 0, 0, 0]], [[1, 1, 1, 1]]], bool)
    metric = LayerOverlap(3)
    metric.update(truth, found)
    scores = metric.compute()
    np.testing.assert_allclose(scores.iou, [1 / 3, np.nan, 1 / 4])
    np.testing.assert_allclose(scores.dice, [1 / 2, np.nan, 2 / 5])
    np.testing.assert_allclose(scores.precision, [1 / 2, np.nan, 1 / 4])
    np.testing.assert_allclose(scores.recall, [1 / 2, np.nan, 1])
    np.testing.assert_allclose(scores.accuracy, [1 / 2, 1, 1 / 4])
    assert scores.mean_iou == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert scores.mean_dice == pytest.approx((1 / 2 + 2 / 5) / 2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)), st.integers(0, 4))
def test_counts_add_up_over_pictures_in_any_order_and_parts(seed, order, cut):
    pictures = pictures_of(seed)
    whole = LayerOverlap(3)
    for picture in pictures:
        whole.update(*picture)
    parts = LayerOverlap(3), LayerOverlap(3)
    for number, place in enumerate(order):
        parts[number < cut].update(*pictures[place])
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(parts[0].counts, whole.counts)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_what_is_predicted_where_the_truth_is_ignored_changes_nothing(seed):
    ((truth, found, ignore),) = pictures_of(seed, count=1)
    first, second = LayerOverlap(3), LayerOverlap(3)
    first.update(truth, found, ignore)
    second.update(truth ^ ignore, found ^ ignore, ignore)
    np.testing.assert_array_equal(first.counts, second.counts)
    assert (first.counts[3] == np.count_nonzero(~ignore)).all()


def test_nothing_counted_has_no_figures():
    metric = LayerOverlap(2)
    metric.update(*(np.ones((2, 3, 4), bool) for _ in range(2)), np.ones((3, 4), bool))
    scores = metric.compute()
    for values in vars(scores).values():
        assert np.isnan(values).all()


def test_accuracy_of_layers_counts_what_is_rightly_not_there():
    # 10 pixels: 3 right, 4 in the truth, 5 found; so 1 missed, 2 wrong, 4 rightly not there.
    sums = np.array([[3, 0], [4, 0], [5, 0], [10, 0]])
    np.testing.assert_array_equal(formulas.layer_accuracy(sums), [0.7, np.nan])
    both = formulas.layer_accuracy(np.stack([sums, 2 * sums]))
    np.testing.assert_array_equal(both, [[0.7, np.nan]] * 2)


@pytest.mark.parametrize(
    ("truth", "found", "ignore", "told"),
    [
        (np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), bool), None, "truth uint8"),
        (np.zeros((2, 3, 4), bool), np.zeros((3, 4), bool), None, "found bool [3, 4]"),
        (np.zeros((2, 3, 4), bool), np.zeros((2, 3, 5), bool), None, "found [2, 3, 5]"),
        (np.zeros((3, 3, 4), bool), np.zeros((3, 3, 4), bool), None, "truth [3, 3, 4]"),
        (np.zeros((2, 3, 4), bool), np.zeros((2, 3, 4), bool), np.zeros((3, 5), bool), "[3, 5]"),
        ([[[True]]], np.zeros((2, 3, 4), bool), None, "truth is list"),
    ],
)
def test_other_arrays_are_refused_and_nothing_is_added(truth, found, ignore, told):
    metric = LayerOverlap(2)
    with pytest.raises(ArrayError) as caught:
        metric.update(truth, found, ignore)
    assert told in caught.value.got
    assert not metric.counts.any()


def test_counts_of_other_classes_are_not_merged():
    with pytest.raises(ArrayError, match="same classes"):
        LayerOverlap(2).merge(LayerOverlap(3))
    with pytest.raises(ArrayError, match="one class at least"):
        LayerOverlap(0)
