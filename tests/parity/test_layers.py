"""Classes that lie over each other, beside torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from pixelwise.evaluation.layer_measures import PixelPrecision
from pixelwise.evaluation.layers import JudgedLayers, StoredAnswer
from pixelwise.metrics import LayerOverlap
from pixelwise.metrics.tags import tag_precision

CLASSES = 4


@pytest.fixture(scope="module")
def picture():
    """Probabilities that say something, their truth, and what is ignored."""
    random = np.random.default_rng(0)
    logits = random.normal(-1, 3, (CLASSES, 60, 70))
    truth = random.logistic(0, 1.5, logits.shape) < logits
    truth[3, 8:] = False
    ignore = random.random((60, 70)) < 0.1
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth, ignore


def test_overlap_equals_torchmetrics(picture):
    classification = pytest.importorskip("torchmetrics.classification")
    probabilities, truth, ignore = picture
    metric = LayerOverlap(CLASSES)
    metric.update(truth, probabilities >= np.float32(0.5), ignore)
    scores = metric.compute()
    target = np.where(ignore, -1, truth)[None]
    given = [torch.from_numpy(array) for array in (probabilities[None], target)]
    for name, values in {
        "MultilabelJaccardIndex": scores.iou,
        "MultilabelF1Score": scores.dice,
        "MultilabelPrecision": scores.precision,
        "MultilabelRecall": scores.recall,
        "MultilabelAccuracy": scores.accuracy,
    }.items():
        peer = getattr(classification, name)(CLASSES, average=None, ignore_index=-1)
        np.testing.assert_allclose(values, peer(*given).numpy(), atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("joined", "off"), [(1, 5e-4), (4, 1e-3), (32, 0.01)])
def test_average_precision_of_pixels_equals_scikit_learn_but_for_the_bins(picture, joined, off):
    probabilities, truth, ignore = picture
    answer = StoredAnswer(probabilities >= np.float32(0.5), probabilities)
    judged = JudgedLayers(0, "a", truth, ignore, None, answer, np.arange(CLASSES))
    measure = PixelPrecision(joined)
    found = measure.values(measure.counts(judged)[None].astype(np.float64))
    expected = [
        average_precision_score(own[~ignore], layer[~ignore])
        for own, layer in zip(truth, probabilities, strict=True)
    ]
    np.testing.assert_allclose(found["average_precision"][0], expected, atol=off)
    assert found["mean_average_precision"][0] == pytest.approx(np.mean(expected), abs=off)


def test_average_precision_of_yes_and_no_is_exact(picture):
    probabilities, truth, ignore = picture
    coarse = np.round(probabilities)
    answer = StoredAnswer(coarse >= np.float32(0.5), coarse)
    judged = JudgedLayers(0, "a", truth, ignore, None, answer, np.arange(CLASSES))
    measure = PixelPrecision()
    found = measure.values(measure.counts(judged)[None].astype(np.float64))
    for channel, value in enumerate(found["average_precision"][0]):
        expected = average_precision_score(truth[channel][~ignore], coarse[channel][~ignore])
        assert value == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_tags_equals_scikit_learn():
    random = np.random.default_rng(2)
    scores = random.integers(0, 9, (30, CLASSES)) / 9
    present = random.random((30, CLASSES)) < 0.3
    expected = [average_precision_score(present[:, c], scores[:, c]) for c in range(CLASSES)]
    np.testing.assert_allclose(tag_precision(scores, present), expected)
