from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.object_sizes import (
    AREAS,
    DISTANCES,
    by_border_distance,
    by_object_size,
)


def test_planted_objects_are_found_by_their_size():
    truth = np.zeros((80, 90), np.uint16)
    truth[2:9, 2:9] = 1  # 49 pixels, missed
    truth[20:28, 2:10] = 1  # 64 pixels, three quarters found
    truth[40:72, 30:62] = 2  # 1024 pixels, all found
    labels = truth.copy()
    labels[2:9, 2:9] = 0
    labels[20:22, 2:10] = 0
    counts = by_object_size(truth, labels, background=0)
    assert counts[0].tolist() == [1, 0, 49, 0]
    assert counts[1].tolist() == [1, 1, 64, 48]
    assert counts[3].tolist() == [1, 1, 1024, 1024]
    assert counts.sum(0)[0] == 3
    assert by_object_size(truth, labels).sum(0)[0] == 4


def test_objects_that_touch_are_told_apart_where_the_truth_does():
    truth = np.ones((8, 16), np.uint16)
    instances = np.repeat([[1] * 8 + [2] * 8], 8, axis=0).astype(np.int32)
    labels = truth.copy()
    labels[:, :8] = 0
    assert by_object_size(truth, labels, instances=instances)[1].tolist() == [2, 1, 128, 64]
    assert by_object_size(truth, labels)[1].tolist() == [1, 1, 128, 64]
    instances[:, :8] = 0
    assert by_object_size(truth, labels, instances=instances)[1].tolist() == [1, 1, 64, 64]


def test_ignored_pixels_are_in_no_object():
    truth = np.full((9, 9), IGNORED, np.uint16)
    assert by_object_size(truth, np.zeros((9, 9), np.uint16)).sum() == 0
    assert by_border_distance(truth, np.zeros((9, 9), np.uint16)).sum() == 0
    assert len(by_object_size(truth, np.zeros((9, 9), np.uint16))) == len(AREAS) + 1


def test_errors_planted_at_a_distance_are_found_there():
    truth = np.zeros((10, 100), np.uint16)
    truth[:, 50:] = 1
    labels = truth.copy()
    labels[:, 44] = 1  # 6 pixels from the border: between 5 and 8
    counts = by_border_distance(truth, labels)
    assert counts[:, 0].tolist() == [20, 20, 40, 80, 160, 320, 360]
    assert (counts[:, 0] - counts[:, 1]).tolist() == [0, 0, 0, 10, 0, 0, 0]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_distances_are_those_to_the_nearest_border(seed):
    random = np.random.default_rng(seed)
    truth = (random.random((9, 11)) < 0.1).astype(np.uint16)
    truth[random.random(truth.shape) < 0.1] = IGNORED
    counts = by_border_distance(truth, truth)
    borders = []
    for row in range(9):
        for column in range(11):
            for r, c in ((row + 1, column), (row, column + 1)):
                if r < 9 and c < 11 and {truth[row, column], truth[r, c]} == {0, 1}:
                    borders += [(row, column), (r, c)]
    expected = np.zeros(len(DISTANCES) + 1, int)
    for row, column in zip(*np.nonzero(truth != IGNORED), strict=True):
        nearest = min((max(abs(r - row), abs(c - column)) + 1 for r, c in borders), default=99)
        expected[np.searchsorted(DISTANCES, nearest)] += 1
    assert counts[:, 0].tolist() == counts[:, 1].tolist() == expected.tolist()
