from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.metrics import ranking as module
from pixelwise.metrics.bootstrap import interval_of, paired_of
from pixelwise.metrics.detection import AveragePrecision
from pixelwise.metrics.objects import Detections, TrueObjects
from pixelwise.metrics.ranking import ResampledPrecision, ranked

CLASSES = 3


def matched(seed, pictures=7):
    """Boxes near the true ones and elsewhere; some pictures and classes are empty."""
    random = np.random.default_rng(seed)
    metric = AveragePrecision(CLASSES, kind="box")
    for _ in range(pictures):
        count = random.choice([0, 0, 3])
        boxes = np.repeat(random.uniform(0, 50, (count, 2)), 2, axis=0).reshape(-1, 4)
        boxes[:, 2:] += random.uniform(5, 20, (count, 2))
        found = boxes[random.random(count) < 0.7]
        found = np.concatenate([found + random.normal(0, 1, found.shape), [[60, 60, 70, 70]]])
        classes = random.integers(0, 2, count)
        metric.update(
            TrueObjects(classes, boxes=boxes),
            Detections(random.integers(0, CLASSES, len(found)), random.random(len(found)),
                       boxes=np.sort(found.reshape(-1, 2, 2), axis=1).reshape(-1, 4)),
        )  # fmt: skip
    return metric


def row_of(scores):
    return np.array([scores.ap, scores.ap_50, scores.ap_75, *scores.class_ap])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_left_out_and_drawn_pictures_are_those_that_count_so_often(seed):
    metric = matched(seed)
    groups = np.array([4, 1, 4, 0, 0, 9, 1])
    resampled = ResampledPrecision(metric.ranking, groups)
    np.testing.assert_allclose(resampled.whole(), row_of(metric.compute()), atol=1e-12)
    without = [row_of(metric.compute((groups != group).astype(int))) for group in (0, 1, 4, 9)]
    np.testing.assert_allclose(resampled.without_each(), without, atol=1e-12)
    times = np.array([[2, 0, 1, 1], [0, 0, 0, 3]])
    drawn = [row_of(metric.compute(row[[2, 1, 2, 0, 0, 3, 1]])) for row in times]
    np.testing.assert_allclose(resampled.drawn(times), drawn, atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    resampled = ResampledPrecision(matched(2).ranking)
    whole = resampled.without_each()
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 15)
    np.testing.assert_array_equal(resampled.without_each(), whole)


def test_an_interval_lies_around_the_value_and_the_better_one_is_found():
    random = np.random.default_rng(0)
    boxes = np.array([[0, 0, 10, 10]], float)
    kinds = {}
    for name, shift in (("near", 1), ("far", 3)):
        metric = AveragePrecision(1, kind="box")
        for _ in range(40):
            found = boxes + np.append(random.normal(0, shift, 2), [0, 0])
            metric.update(
                TrueObjects(np.zeros(1, int), boxes=boxes),
                Detections(np.zeros(1, int), random.random(1), boxes=found),
            )
        kinds[name] = ResampledPrecision(metric.ranking)
    ends = interval_of(kinds["near"])
    assert ends.low[0] < ends.value[0] < ends.high[0]
    assert ends.units == 40
    pair = paired_of(kinds["far"], kinds["near"])
    assert pair.difference[0] == pytest.approx(ends.value[0] - kinds["far"].whole()[0])
    assert 0 < pair.low[0] < pair.difference[0] < pair.high[0]
    assert pair.better[0] > 0.99


def test_pictures_with_neither_objects_nor_detections_are_no_units():
    metric = AveragePrecision(1, kind="box")
    none = np.zeros((0, 4))
    for place in range(5):
        boxes = np.array([[0, 0, 9, 9 + place]], float) if place in (1, 3) else none
        metric.update(
            TrueObjects(np.zeros(len(boxes), int), boxes=boxes),
            Detections(np.zeros(len(boxes), int), np.ones(len(boxes)), boxes=boxes),
        )
    resampled = ResampledPrecision(metric.ranking)
    assert resampled.held.tolist() == [False, True, False, True, False]
    assert interval_of(resampled).units == 2


def test_pictures_come_in_the_order_of_their_numbers():
    metric = AveragePrecision(1, kind="box")
    box = np.array([[0, 0, 9, 9]], float)
    truth = TrueObjects(np.zeros(1, int), boxes=box)
    matches = [
        metric.update(truth, Detections(np.zeros(1, int), np.ones(1), boxes=found), picture=place)
        for place, found in ((8, box + 50), (2, box))
    ]
    ranking = ranked(matches, 1)
    assert ranking.classes[0].outcomes[0, 0].tolist() == [1, 0]
    assert ranking.classes[0].pictures.tolist() == [0, 1]
