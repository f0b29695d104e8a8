from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.evaluate import confusion_of
from pixelwise.evaluation.measures import Overlap
from pixelwise.metrics.confusion import ConfusionMatrix


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_overlap_is_what_the_confusion_matrix_says(judged_of, classes, seed):
    random = np.random.default_rng(seed)
    truth, labels = random.integers(0, classes, (2, 5, 6))
    truth[random.random(truth.shape) < 0.2] = IGNORED
    judged = judged_of(truth, labels)
    matrix = ConfusionMatrix(classes, ignore_index=IGNORED)
    matrix.update(truth, labels)
    scores = matrix.compute()
    measure = Overlap()
    counts = measure.counts(judged, confusion_of(judged, classes))
    values = measure.values(counts[None].astype(np.float64))
    np.testing.assert_allclose(values["iou"][0], scores.iou)
    np.testing.assert_allclose(values["dice"][0], scores.dice)
    np.testing.assert_allclose(values["mean_iou"][0], scores.mean_iou)
    np.testing.assert_allclose(values["pixel_accuracy"][0], scores.pixel_accuracy)
    np.testing.assert_allclose(values["class_accuracy"][0], scores.class_accuracy)


def test_figures_by_hand(judged_of):
    judged = judged_of([[0, 0, 0, 1, 1, IGNORED]], [[0, 0, 1, 1, 2, 0]])
    confusion = confusion_of(judged, 2)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 1]]
    values = Overlap().values(Overlap().counts(judged, confusion)[None].astype(np.float64))
    assert values["iou"][0] == pytest.approx([2 / 3, 1 / 3])
    assert values["precision"][0] == pytest.approx([1, 1 / 2])
    assert values["recall"][0] == pytest.approx([2 / 3, 1 / 2])
    assert values["frequency_weighted_iou"][0] == pytest.approx(3 / 5 * 2 / 3 + 2 / 5 / 3)
    assert values["pixel_accuracy"][0] == pytest.approx(3 / 5)
    assert values["mean_dice"][0] == pytest.approx((4 / 5 + 2 / 4) / 2)


def test_absent_classes_have_no_figure_and_predicted_ones_have_0(judged_of):
    judged = judged_of([[0, 0]], [[0, 1]])
    values = Overlap().values(Overlap().counts(judged, confusion_of(judged, 3))[None] * 1.0)
    assert values["iou"][0][:2].tolist() == [0.5, 0]
    assert np.isnan(values["iou"][0][2])
    assert np.isnan(values["recall"][0][1])
    assert values["mean_iou"][0] == 0.25
    assert values["class_accuracy"][0] == 0.5


def test_every_figure_is_given_with_its_shape():
    values = Overlap().values(np.ones((7, 3, 4)))
    assert set(values) == {figure.key for figure in Overlap().figures}
    for figure in Overlap().figures:
        assert values[figure.key].shape == ((7, 4) if figure.per_class else (7,))
