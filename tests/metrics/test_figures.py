from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pixelwise.errors import ArrayError
from pixelwise.metrics import figures

OF_THREE = [figures.iou, figures.dice, figures.precision, figures.recall]
OVERALL = [figures.pixel_accuracy, figures.frequency_weighted_iou]
OF_FOUR = [
    figures.boundary_precision,
    figures.boundary_recall,
    figures.boundary_f_score,
    figures.average_distance,
    figures.hausdorff_95,
    figures.layer_accuracy,
]


def test_public_names_are_sorted():
    assert figures.__all__ == sorted(figures.__all__)
    assert {f.__name__ for f in (*OF_THREE, *OVERALL, *OF_FOUR, figures.mean_of_defined)} == {
        *figures.__all__
    }


@settings(max_examples=30)
@given(arrays(np.int64, (2, 3, 4, 5), elements=st.integers(0, 9)))
def test_many_sums_at_once_are_each_by_itself(numbers):
    for parts, functions in ((3, OF_THREE + OVERALL), (4, OF_FOUR)):
        # Sorted: no more is right, or near, than there is.
        sums = np.sort(numbers[..., :parts, :], axis=-2)
        for function in functions:
            whole = function(sums)
            assert whole.dtype == np.float64
            for place in np.ndindex(2, 3):
                np.testing.assert_array_equal(whole[place], function(sums[place]))


def test_figures_of_known_sums():
    sums = np.array([[6, 0, 0], [8, 2, 0], [10, 0, 0]])
    assert figures.iou(sums)[:2].tolist() == [0.5, 0]
    assert figures.dice(sums)[:2].tolist() == [12 / 18, 0]
    assert figures.precision(sums)[0] == 0.6
    assert figures.recall(sums)[:2].tolist() == [0.75, 0]
    for function in OF_THREE:
        assert np.isnan(function(sums)[2])
    assert np.isnan(figures.precision(sums)[1])
    assert figures.pixel_accuracy(sums) == 0.6
    assert figures.frequency_weighted_iou(sums) == 0.4
    assert figures.mean_of_defined(figures.iou(sums)) == 0.25


def test_contours_in_one_map_only_score_zero():
    sums = np.array([[3, 0, 0, 0], [4, 0, 5, 0], [1, 0, 0, 0], [2, 7, 0, 0]])
    assert figures.boundary_f_score(sums)[:3].tolist() == [2 * 0.75 * 0.5 / 1.25, 0, 0]
    assert np.isnan(figures.boundary_f_score(sums)[3])
    np.testing.assert_array_equal(figures.boundary_precision(sums), [0.75, np.nan, 0, np.nan])
    np.testing.assert_array_equal(figures.boundary_recall(sums), [0.5, 0, np.nan, np.nan])


def test_distances_are_means_over_the_pictures_that_have_one():
    sums = np.array([[6.0, 0], [9.0, 0], [3, 0], [1, 5]])
    np.testing.assert_array_equal(figures.average_distance(sums), [2, np.nan])
    np.testing.assert_array_equal(figures.hausdorff_95(sums), [3, np.nan])


def test_nothing_defined_has_no_mean():
    assert np.isnan(figures.mean_of_defined(np.full((2, 3), np.nan))).all()
    assert np.isnan(figures.pixel_accuracy(np.zeros((3, 2))))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (3, 2, 2)])
def test_other_sums_are_refused(shape):
    with pytest.raises(ArrayError, match="not sums of this metric"):
        figures.iou(np.zeros(shape))
