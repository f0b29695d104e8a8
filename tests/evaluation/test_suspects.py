"""Labels planted wrong must be the first suspects."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.suspects import suspect_regions


class Model:
    """Sure of what it says, a little less in one corner."""

    def __init__(self, labels, sure=0.97):
        self.labels = labels
        self.confidence = np.full(labels.shape, sure, np.float32)

    def probability_of(self, channel, window):
        part = (slice(window.top, window.bottom), slice(window.left, window.right))
        sure, labels = self.confidence[part], self.labels[part]
        return np.where(labels == channel, sure, (1 - sure) / 2).astype(np.float32)


@pytest.fixture
def scene():
    labels = np.zeros((60, 80), np.uint16)
    labels[:20] = 1
    labels[30:40, 10:20] = 2
    return labels, labels.copy()


def found(truth, model, **options):
    settings = {"classes": 3, "width": 2, "count": 5} | options
    return suspect_regions(truth, model.labels, model.confidence, model.probability_of, **settings)


def test_a_planted_label_is_the_first_suspect(scene):
    labels, truth = scene
    truth[30:40, 10:20] = 0  # the label of the object was forgotten
    truth[50:55, 60:66] = 2  # and one was drawn where nothing is
    first, second = found(truth, Model(labels))
    assert (first.truth, first.found, first.area, first.box) == (0, 2, 100, (10, 30, 20, 40))
    assert first.sure == pytest.approx(0.97, abs=1e-6)
    assert first.left == pytest.approx(0.015, abs=1e-6)
    assert first.doubt == pytest.approx(95.5, abs=1e-3)
    assert (second.truth, second.found, second.area) == (2, 0, 30)


def test_borders_and_unsure_regions_are_no_suspects(scene):
    labels, truth = scene
    truth[20:22] = 1
    assert found(truth, Model(labels)) == ()
    truth[30:40, 10:20] = 0
    assert found(truth, Model(labels, sure=0.7)) == ()


def test_ignored_pixels_and_predictions_of_no_class_are_no_suspects(scene):
    labels, truth = scene
    truth[30:40, 10:20] = IGNORED
    assert found(truth, Model(labels)) == ()
    truth[30:40, 10:20] = 0
    assert found(truth, Model(labels), classes=2) == ()


def test_at_most_so_many(scene):
    labels, truth = scene
    for number in range(4):
        truth[24 + 9 * number : 29 + 9 * number, 40:50] = 2
    assert len(found(truth, Model(labels), count=3)) == 3
    areas = [suspect.area for suspect in found(truth, Model(labels), count=9, width=0)]
    assert areas == [50] * 4
