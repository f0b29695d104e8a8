from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data import open as open_dataset
from pixelwise.errors import MaskFileError
from pixelwise.evaluation import layers
from pixelwise.evaluation.evaluate import evaluate_layers
from pixelwise.evaluation.layer_measures import layer_measures_of
from pixelwise.evaluation.layer_opening import layer_subject
from pixelwise.evaluation.layer_sources import ModelLayers
from pixelwise.evaluation.layers import JudgedLayers, LabelAnswer, StoredAnswer
from pixelwise.evaluation.opening import set_truth
from pixelwise.inference.predictor import load
from pixelwise.metrics.thresholds import Thresholds


def picture(seed=0, classes=3, size=(7, 9)):
    random = np.random.default_rng(seed)
    probabilities = random.random((classes, *size), np.float32)
    truth = random.random((classes, *size)) < probabilities
    return probabilities, truth, random.random(size) < 0.2


def judged(probabilities, truth, ignore, channels=None):
    channels = np.arange(len(truth)) if channels is None else np.array(channels)
    answer = StoredAnswer(probabilities >= np.float32(0.5), probabilities)
    return JudgedLayers(0, "a", truth, ignore, None, answer, channels)


def test_a_tally_counts_pixels_histograms_and_the_likeliest():
    probabilities, truth, ignore = picture()
    tally = judged(probabilities, truth, ignore).tally
    found, kept = probabilities >= 0.5, ~ignore
    for channel in range(3):
        own, seen = truth[channel][kept], found[channel][kept]
        expected = [(own & seen).sum(), own.sum(), seen.sum(), kept.sum()]
        assert tally.overlap[:, channel].tolist() == expected
        counts = Thresholds()
        counts.update(probabilities[channel][kept], own.astype(np.uint8))
        np.testing.assert_array_equal(tally.histogram[channel], counts.counts)
    np.testing.assert_array_equal(tally.likeliest, probabilities[:, kept].max(1))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_ignored_pixels_count_nowhere(seed):
    probabilities, truth, ignore = picture(seed)
    other = judged(np.where(ignore, 1 - probabilities, probabilities), truth ^ ignore, ignore)
    for name, values in vars(judged(probabilities, truth, ignore).tally).items():
        np.testing.assert_array_equal(getattr(other.tally, name), values)


def test_a_picture_of_which_nothing_counts_has_no_score():
    probabilities, truth, _ = picture()
    tally = judged(probabilities, truth, np.ones((7, 9), bool)).tally
    assert not tally.overlap.any()
    assert not tally.histogram.any()
    assert np.isnan(tally.likeliest).all()


def test_bands_change_nothing(monkeypatch):
    whole = judged(*picture()).tally
    monkeypatch.setattr(layers, "_BAND_VALUES", 60)
    for name, values in vars(judged(*picture()).tally).items():
        np.testing.assert_array_equal(values, getattr(whole, name))


def test_predicted_classes_that_are_one_are_there_where_any_of_them_is():
    probabilities, truth, ignore = picture()
    one = truth[:1]
    tally = judged(probabilities, one, ignore, channels=[0, 0, 1]).tally
    either = np.maximum(probabilities[0], probabilities[1])[None]
    alone = judged(either, one, ignore).tally
    for name, values in vars(alone).items():
        np.testing.assert_array_equal(getattr(tally, name), values)


def test_labels_are_layers_of_which_one_alone_is_there(same_classes):
    classes = same_classes("sky", "road", "car").classes
    ids = np.array([[0, 1, 2], [9, 1, 1]], np.uint8)
    band = LabelAnswer(ids, classes, None).band(layers.Window(0, 0, 3, 2))
    assert band.probabilities is None
    assert band.masks.sum(0).tolist() == [[1, 1, 1], [0, 1, 1]]
    assert band.masks[1].tolist() == [[False, True, False], [False, True, True]]


@pytest.fixture
def subject(layered):
    truth = set_truth(open_dataset(layered / "data"), None)
    return layer_subject(truth, ModelLayers(load(layered / "sigmoid.onnx", threads=1)))


def test_a_model_is_judged_at_the_thresholds_of_its_card(subject):
    evaluation = evaluate_layers(subject, layer_measures_of(subject))
    assert evaluation.classes.names == ("bright", "dark", "red")
    assert [each.value for each in evaluation.by_class["threshold"]] == [0.5] * 3
    assert evaluation.by_class["threshold"][0].low is None
    sums = np.zeros((3, 3), int)
    for place in range(12):
        image = subject.truths.read_layers(place).image
        own = subject.predictions.model.predict_multi_label(image)
        for channel, name in enumerate(evaluation.classes.names):
            truth = subject.truths.read_layers(place).layers[channel]
            found = own.masks()[own.classes.index(name)]
            sums[:, channel] += [(truth & found).sum(), truth.sum(), found.sum()]
    expected = sums[0] / (sums[1] + sums[2] - sums[0])
    found = [each.value for each in evaluation.by_class["iou"]]
    np.testing.assert_allclose(found, expected)
    assert evaluation.overall["mean_iou"].value == pytest.approx(expected.mean())
    for key in ("mean_iou", "mean_dice", "mean_average_precision"):
        estimate = evaluation.overall[key]
        assert estimate.low < estimate.value < estimate.high
    assert evaluation.by_picture.shape == (12,)


def test_sizes_that_differ_are_refused(subject, monkeypatch):
    small = StoredAnswer(np.zeros((3, 5, 6), bool), None)
    monkeypatch.setattr(ModelLayers, "read", lambda *_: small)
    with pytest.raises(MaskFileError, match="differ in size") as caught:
        subject.read(0)
    assert "6×5" in caught.value.got
