from __future__ import annotations

import numpy as np
import pytest

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.object_measures import Objects, regions_of_things


def test_regions_are_the_predicted_objects(judged_of):
    truth = np.zeros((12, 20), int)
    truth[2:6, 2:6] = truth[2:6, 10:14] = 1
    instances = np.zeros(truth.shape, np.int32)
    instances[2:6, 2:6], instances[2:6, 10:14] = 1, 2
    labels = truth.copy()
    labels[2:6, 10:14] = 0
    labels[8:10, 8:10] = 1
    measure = Objects((False, True))
    counts = measure.counts(judged_of(truth, labels, instances=instances), None)
    assert counts[1:, 1].tolist() == [1, 1, 1]
    values = measure.values(counts[None])
    assert values["pq"][0][1] == pytest.approx(1 / 2)
    assert values["things_pq"][0] == values["pq"][0][1]
    assert {figure.key for figure in measure.figures} == set(values)


def test_void_and_predictions_of_no_class(judged_of):
    truth = np.full((6, 6), IGNORED)
    truth[:3] = 0
    labels = np.full((6, 6), 2)
    counts = Objects((False, True)).counts(judged_of(truth, labels), None)
    assert counts.shape == (4, 2)
    assert counts[3].tolist() == [1, 0]


def test_objects_that_touch_at_a_corner_are_one():
    labels = np.array([[1, 0], [0, 1]], np.uint16)
    found = regions_of_things(labels)
    assert found[0, 0] == found[1, 1]
    assert found.min() == 1
