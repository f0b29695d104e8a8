from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from pixelwise.classical.assignment import assign, counts_of
from pixelwise.metrics import figures


def mean_iou(confusion, regions):
    return figures.mean_of_defined(figures.iou(counts_of(confusion, regions)))


def test_regions_go_to_the_classes_that_they_cover():
    confusion = np.array([[0, 90, 10, 0], [50, 0, 0, 0], [0, 5, 30, 0]])
    np.testing.assert_array_equal(assign(confusion), [1, 0, 2])
    np.testing.assert_array_equal(
        counts_of(confusion, assign(confusion)), [[90, 50, 30], [100, 50, 35], [95, 50, 40]]
    )


@pytest.mark.parametrize("seed", range(10))
def test_no_assignment_has_a_higher_mean_iou(seed):
    confusion = np.random.default_rng(seed).integers(0, 50, (3, 5))
    confusion[:, -1] = 0
    best = max(mean_iou(confusion, np.array(each)) for each in permutations(range(4), 3))
    assert mean_iou(confusion, assign(confusion)) == pytest.approx(best)


def test_classes_without_a_region_of_their_own_have_none():
    np.testing.assert_array_equal(assign(np.array([[10, 0], [5, 0], [3, 0]])), [0, -1, -1])
    # A region that meets no pixel of the class would only be wrong there.
    np.testing.assert_array_equal(assign(np.array([[10, 4, 0], [0, 0, 0]])), [0, -1])


def test_pixels_in_no_region_count_as_missed():
    confusion = np.array([[0, 0, 20], [4, 0, 4]])
    assert assign(confusion).tolist() == [-1, 0]
    np.testing.assert_array_equal(
        counts_of(confusion, assign(confusion)), [[0, 4], [20, 8], [0, 4]]
    )
