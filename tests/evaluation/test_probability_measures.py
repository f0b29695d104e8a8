from __future__ import annotations

import numpy as np
import pytest

import pixelwise as pw
from pixelwise.data.drawing import IGNORED
from pixelwise.errors import ArrayError
from pixelwise.evaluation.matching import match_classes
from pixelwise.evaluation.probability_measures import Calibrations, Curves, probabilities_in
from pixelwise.geometry import Window
from pixelwise.metrics.calibration import Calibration
from pixelwise.metrics.thresholds import Thresholds


@pytest.fixture
def segmentation(make_model, pointwise):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    network = pointwise(weights=np.eye(4, 3, dtype=np.float32) / 60, bias=np.ones(4, np.float32))
    return pw.load(make_model(network=network), engine="onnxruntime").predict(image)


@pytest.fixture
def to_two(segmentation, table_of):
    """Classes 0 and 1 as one, 2 as another, 3 as nothing."""
    truth = table_of("low", "high")
    rules = [("class 0", "low"), ("class 1", "low"), ("class 2", "high"), ("others", "nothing")]
    return match_classes(segmentation.classes, truth, rules)


WHOLE = Window(0, 0, 16, 12)


def test_probabilities_of_classes_that_are_one_are_added(segmentation, to_two):
    own = segmentation.probabilities()
    found = probabilities_in(segmentation, to_two, WHOLE)
    np.testing.assert_allclose(found[0], own[0] + own[1], atol=1e-6)
    np.testing.assert_allclose(found[1:], own[2:], atol=1e-6)
    part = probabilities_in(segmentation, to_two, Window(2, 3, 7, 9))
    np.testing.assert_allclose(part, found[:, 3:9, 2:7], atol=1e-6)


def test_calibration_is_that_of_the_metric(segmentation, to_two, judged_of):
    truth = np.random.default_rng(1).integers(0, 2, (12, 16))
    truth[0, :5] = IGNORED
    labels = to_two.of_prediction[segmentation.labels]
    judged = judged_of(truth, labels, segmentation=segmentation)
    measure = Calibrations(to_two)
    counts = measure.counts(judged, np.zeros((2, 3), np.int64))
    own = Calibration(3, ignore_index=IGNORED)
    own.update(probabilities_in(segmentation, to_two, WHOLE), truth)
    np.testing.assert_allclose(counts, own.counts)
    values = measure.values(np.stack([counts, 2 * counts]))
    assert values["ece"] == pytest.approx([own.compute().ece] * 2)
    assert measure.scores(np.stack([counts, counts])).pixels == 2 * own.compute().pixels


def test_thresholds_are_those_of_the_metric(segmentation, table_of, judged_of):
    truth_table = table_of("low", "high")
    rules = [("class 0", "low"), ("class 1", "high"), ("class 2", "high"), ("class 3", "low")]
    match = match_classes(segmentation.classes, truth_table, rules)
    truth = np.random.default_rng(1).integers(0, 2, (12, 16))
    truth[3] = IGNORED
    judged = judged_of(truth, match.of_prediction[segmentation.labels], segmentation=segmentation)
    for foreground in (0, 1):
        measure = Curves(match, foreground)
        counts = measure.counts(judged, np.zeros((2, 3), np.int64))
        own = Thresholds(ignore_index=IGNORED)
        layer = np.minimum(probabilities_in(segmentation, match, WHOLE)[foreground], 1)
        own.update(layer, np.where(truth == IGNORED, IGNORED, truth == foreground))
        assert np.array_equal(counts, own.counts)
        assert measure.scores(counts[None]).auc == own.compute().auc
        assert match.classes.names[foreground] in measure.told


def test_label_maps_have_no_probabilities(to_two, judged_of):
    with pytest.raises(ArrayError, match="no probabilities"):
        Calibrations(to_two).counts(judged_of([[0]], [[0]]), np.zeros((2, 3), np.int64))
