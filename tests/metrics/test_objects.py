from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.objects
from pixelwise.errors import ArrayError
from pixelwise.formats.rle import column_counts, column_mask
from pixelwise.metrics.objects import (
    Detections,
    ObjectMasks,
    TrueObjects,
    detections_of,
    true_objects_of,
)

THINGS = [True, False, True]


def random_masks(random, count, size):
    return random.random((count, *size)) < random.choice([0, 0.1, 0.5, 1], (count, 1, 1))


def maps(random, size=(9, 11)):
    """Classes (255: ignored) and numbers, in patches."""
    classes = np.repeat(random.choice([0, 1, 2, 255], (9, 4)), 3, axis=1)[:, : size[1]]
    numbers = np.repeat(random.integers(0, 4, (9, 4)), 3, axis=1)[:, : size[1]]
    return classes.astype(np.uint8), numbers.astype(np.int32)


def test_public_names_are_sorted():
    assert pixelwise.metrics.objects.__all__ == [
        "Detections",
        "ObjectMasks",
        "TrueObjects",
        "detections_of",
        "true_objects_of",
    ]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 7))
def test_areas_boxes_and_overlaps_are_those_of_the_pixels(seed, height, width):
    random = np.random.default_rng(seed)
    one, two = (random_masks(random, 3, (height, width)) for _ in range(2))
    masks, others = ObjectMasks.from_arrays(one), ObjectMasks.from_arrays(two)
    assert masks.areas.tolist() == one.sum((1, 2)).tolist()
    expected = (one[:, None] & two[None]).sum((2, 3))
    assert masks.overlaps(others).tolist() == expected.tolist()
    for mask, box in zip(one, masks.boxes, strict=True):
        y, x = np.nonzero(mask)
        filled = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(y) else [0, 0, 0, 0]
        assert box.tolist() == filled


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_true_objects_are_the_pairs_of_class_and_number(seed):
    classes, numbers = maps(np.random.default_rng(seed))
    found = true_objects_of(classes, numbers, things=THINGS)
    expected = [
        (class_, number == 0, (classes == class_) & (numbers == number))
        for class_ in (0, 2)
        for number in range(4)
    ]
    expected = [entry for entry in expected if entry[2].any()]
    by_area = sorted(
        (class_, crowd, column_counts(mask).tolist()) for class_, crowd, mask in expected
    )
    actual = zip(found.classes.tolist(), found.crowd.tolist(), found.masks.counts, strict=True)
    assert sorted((c, crowd, counts.tolist()) for c, crowd, counts in actual) == by_area


def test_a_crowd_of_several_numbers_is_one_object():
    classes, numbers = np.zeros((2, 6), np.uint8), np.array([[1, 1, 2, 2, 3, 3]] * 2)
    found = true_objects_of(classes, numbers, things=[True], crowd=numbers > 1)
    assert found.masks.areas.tolist() == [8, 4]
    assert found.crowd.tolist() == [True, False]


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_detections_have_their_numbers_scores_and_most_frequent_class(seed):
    random = np.random.default_rng(seed)
    classes, numbers = maps(random)
    scores = random.random(3)
    found = detections_of(classes, numbers, scores, things=THINGS)
    is_thing = (classes == 0) | (classes == 2)
    present = [n for n in (1, 2, 3) if ((numbers == n) & is_thing).any()]
    assert found.scores.tolist() == [scores[n - 1] for n in present]
    for place, number in enumerate(present):
        mask = (numbers == number) & is_thing
        np.testing.assert_array_equal(column_mask(found.masks.counts[place], classes.shape), mask)
        assert found.classes[place] == np.bincount(classes[mask]).argmax()


def test_maps_without_objects_give_none():
    classes, numbers = np.full((3, 4), 255, np.uint8), np.ones((3, 4), np.int32)
    assert len(true_objects_of(classes, numbers, things=THINGS)) == 0
    found = detections_of(classes, numbers, [], things=THINGS)
    assert len(found) == 0
    assert found.masks.size == (3, 4)


def test_faults_are_told():
    with pytest.raises(ArrayError, match=r"bool \[N, H, W\]"):
        ObjectMasks.from_arrays(np.zeros((2, 3, 4)))
    for counts in ([5, 6], [13, -1], [6.0, 6.0], [[12]]):
        with pytest.raises(ArrayError, match="do not fill"):
            ObjectMasks((3, 4), (np.array(counts),))
    masks = ObjectMasks.from_arrays(np.zeros((1, 3, 4), np.bool_))
    with pytest.raises(ArrayError, match="different sizes"):
        masks.overlaps(ObjectMasks.from_arrays(np.zeros((1, 4, 3), np.bool_)))
    with pytest.raises(ArrayError, match="no detections") as raised:
        Detections(
            np.zeros(2, int), np.array([np.nan, 1]), masks, np.array([[0, 0, 1, 1], [3, 0, 1, 1]])
        )
    for part in ("1 masks for 2", "1 boxes", "1 of the scores"):
        assert part in raised.value.got
    with pytest.raises(ArrayError, match="neither masks nor boxes"):
        Detections(np.zeros(2, int), np.ones(2))
    with pytest.raises(ArrayError, match="expected integers"):
        Detections(np.zeros(2), np.ones(2), masks)
    with pytest.raises(ArrayError, match="no true objects") as raised:
        TrueObjects(np.zeros(1, int), masks, np.zeros(4), np.zeros(1), np.zeros(2))
    for part in ("boxes are [4]", "crowd is [1]", "areas are float64 [2]"):
        assert part in raised.value.got
    classes, numbers = np.zeros((3, 4), np.uint8), np.full((3, 4), 2, np.int32)
    with pytest.raises(ArrayError, match="one size"):
        true_objects_of(classes, numbers.T, things=THINGS)
    with pytest.raises(ArrayError, match="crowd is bool"):
        true_objects_of(classes, numbers, things=THINGS, crowd=numbers)
    for wrong in (numbers, -numbers):
        with pytest.raises(ArrayError, match="without a score"):
            detections_of(classes, wrong, [0.5], things=THINGS)
