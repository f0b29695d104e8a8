from __future__ import annotations

import pickle
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.detection
from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics.detection import AveragePrecision, box_ious
from pixelwise.metrics.objects import Detections, ObjectMasks, TrueObjects


def box_pictures(seed, count=5):
    """Boxes of whole pixels; detections near the true ones and elsewhere, with ties in scores."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        corners = random.integers(0, 40, (random.integers(0, 5), 2))
        boxes = np.concatenate([corners, corners + random.integers(4, 60, corners.shape)], axis=1)
        moved = np.concatenate([boxes + random.integers(-2, 3, boxes.shape), boxes[:1] + 30])
        truth = TrueObjects(
            random.integers(0, 3, len(boxes)), boxes=boxes, crowd=random.random(len(boxes)) < 0.2
        )
        scores = np.round(random.random(len(moved)), 1)
        found.append((truth, Detections(random.integers(0, 3, len(moved)), scores, boxes=moved)))
    return found


def matched(found, numbers=None):
    metric = AveragePrecision(3, kind="box")
    for place, (truth, detections) in enumerate(found):
        metric.update(truth, detections, picture=None if numbers is None else numbers[place])
    return metric


def assert_equal(one, two):
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def one_class(boxes, scores, true_boxes, **facts):
    metric = AveragePrecision(1, kind="box")
    truth = TrueObjects(np.zeros(len(true_boxes), int), boxes=np.array(true_boxes), **facts)
    metric.update(
        truth, Detections(np.zeros(len(boxes), int), np.array(scores), boxes=np.array(boxes))
    )
    return metric.compute()


HERE, THERE = [0, 0, 10, 10], [20, 20, 40, 40]


def test_public_names_are_sorted():
    assert pixelwise.metrics.detection.__all__ == [
        "AveragePrecision",
        "DetectionScores",
        "box_ious",
        "mask_ious",
    ]


def test_the_curve_is_averaged_at_101_recalls():
    # Found, invented, found: precision 1 up to a recall of 1/2, then 2/3.
    scores = one_class([HERE, [60, 0, 70, 9], THERE], [0.9, 0.8, 0.7], [HERE, THERE])
    assert scores.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert scores.ar_1 == 0.5
    assert scores.ar_10 == 1


def test_of_equal_scores_the_first_counts_first():
    assert one_class([HERE, THERE], [0.5, 0.5], [HERE]).ap == 1
    assert one_class([THERE, HERE], [0.5, 0.5], [HERE]).ap == pytest.approx(0.5)


def test_an_object_is_found_once():
    scores = one_class([HERE, HERE, THERE], [0.9, 0.8, 0.7], [HERE, THERE])
    assert scores.ap == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_of_equal_ious_the_last_object_is_taken():
    # Two thirds with both; the second detection reaches the last object only.
    objects = [[0, 0, 10, 10], [4, 0, 14, 10]]
    found = [[2, 0, 12, 10], [5, 0, 15, 10]]
    assert one_class(found, [0.9, 0.8], objects).ap_50 == pytest.approx(51 / 101)
    assert one_class(found, [0.9, 0.8], objects[::-1]).ap_50 == 1


def test_an_iou_at_the_threshold_is_enough():
    scores = one_class([[0, 0, 10, 5]], [1.0], [HERE])
    assert scores.ap_50 == 1
    assert scores.ap == pytest.approx(0.1)


def test_crowds_take_any_number_and_are_never_missed():
    crowd = np.array([True, False])
    inside = [[1, 1, 3, 3], [4, 4, 6, 6], THERE]
    assert one_class(inside, [0.9, 0.8, 0.7], [HERE, THERE], crowd=crowd).ap == 1
    assert np.isnan(one_class(inside, [0.9, 0.8, 0.7], [HERE], crowd=crowd[:1]).ap)


def test_areas_may_be_given():
    scores = one_class([HERE, THERE], [0.9, 0.8], [HERE, THERE], areas=np.array([50.0, 5000.0]))
    # To be found in its own range alone, and in another no reason to call a detection invented.
    assert scores.ap_small == 1
    assert scores.ap_medium == 1
    assert np.isnan(scores.ap_large)


def test_classes_without_objects_are_left_out():
    metric = matched([])
    truth = TrueObjects(np.array([1]), boxes=np.array([HERE]))
    metric.update(truth, Detections(np.array([1, 2]), np.ones(2), boxes=np.array([HERE, HERE])))
    scores = metric.compute()
    assert scores.ap == 1
    assert np.isnan(scores.class_ap[[0, 2]]).all()
    metric.update(truth, Detections(np.array([], int), np.array([])))
    assert metric.compute().ar_100 == 0.5


def test_nothing_counted_scores_nan():
    scores = matched([]).compute()
    assert all(np.isnan(getattr(scores, field.name)).all() for field in fields(scores))
    nothing = (TrueObjects([]), Detections([], []))
    assert np.isnan(matched([nothing]).compute().ap)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_parts_merge_to_the_whole_in_any_order(seed, random):
    found = box_pictures(seed)
    whole = matched(found).compute()
    order = random.sample(range(5), 5)
    first, second, third = (
        matched([found[n] for n in part], part) for part in (order[:2], order[2:4], order[4:])
    )
    second.merge(third)
    second.merge(pickle.loads(pickle.dumps(first)))
    assert second.pictures.tolist() == [0, 1, 2, 3, 4]
    assert_equal(second.compute(), whole)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_times_are_as_good_as_pictures_added_again(seed):
    random = np.random.default_rng(seed)
    found = [
        (truth, Detections(d.classes, random.random(len(d)), boxes=d.boxes))
        for truth, d in box_pictures(seed)
    ]
    times = random.integers(0, 3, 5)
    repeated = [pair for pair, n in zip(found, times, strict=True) for _ in range(n)]
    metric = matched(found)
    assert_equal(metric.compute(times), matched(repeated).compute())
    assert_equal(metric.compute(np.ones(5)), metric.compute())


def test_the_most_detections_that_count_can_be_chosen():
    boxes = np.repeat([[0.0, 0, 9, 9]], 3, axis=0) + np.arange(0, 90, 30)[:, None]
    truth = TrueObjects(np.zeros(3, int), boxes=boxes)
    found = Detections(np.zeros(3, int), np.ones(3), boxes=boxes)
    scores = []
    for most in (2, 100, None):
        metric = AveragePrecision(1, kind="box", most_detections=most)
        metric.update(truth, found)
        scores.append(metric.compute())
    assert [each.ar_100 for each in scores] == pytest.approx([2 / 3, 1, 1])
    assert [each.ap for each in scores] == pytest.approx([67 / 101, 1, 1])
    with pytest.raises(ArrayError, match="one protocol"):
        metric.merge(AveragePrecision(1, kind="box"))
    with pytest.raises(UsageError):
        AveragePrecision(1, most_detections=0)


def test_ious_of_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], float)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], float)
    crowd = np.zeros(3, np.bool_)
    np.testing.assert_allclose(box_ious(boxes, others, crowd), [[1, 1 / 3, 0], [0, 0, 0]])
    np.testing.assert_allclose(box_ious(boxes, others, ~crowd), [[1, 1 / 2, 0], [0, 0, 0]])


def test_faults_are_told():
    with pytest.raises(UsageError, match="1 to 65,535 classes"):
        AveragePrecision(0)
    with pytest.raises(UsageError, match="masks or boxes"):
        AveragePrecision(3, kind="keypoints")
    boxes = np.array([HERE])
    truth = TrueObjects(np.array([7]), boxes=boxes)
    found = Detections(np.array([-1]), np.ones(1), boxes=boxes)
    with pytest.raises(ArrayError, match="do not fit") as raised:
        AveragePrecision(3).update(truth, found)
    for part in ("truth of classes [7]", "detections of classes [-1]", "detections without masks"):
        assert part in raised.value.got
    masks = [ObjectMasks.from_arrays(np.ones((1, *size), np.bool_)) for size in ((3, 4), (4, 3))]
    with pytest.raises(ArrayError, match="do not fit") as raised:
        AveragePrecision(3).update(
            TrueObjects(np.zeros(1, int), masks[0]),
            Detections(np.zeros(1, int), np.ones(1), masks[1]),
        )
    assert "truth of (3, 4), detections of (4, 3)" in raised.value.got
    with pytest.raises(ArrayError, match="one protocol"):
        AveragePrecision(3).merge(AveragePrecision(3, kind="box"))
    for times in ([1], [1, -1], [1, np.nan], [1, 0.5]):
        with pytest.raises(ArrayError, match="how often"):
            matched(box_pictures(0, 2)).compute(times)
