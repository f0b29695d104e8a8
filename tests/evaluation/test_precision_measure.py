from __future__ import annotations

import numpy as np
import pytest

from pixelwise import data
from pixelwise.data.drawing import IGNORED
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.shapes import Pixels
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.compare import compare
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.object_measures import Objects
from pixelwise.evaluation.opening import set_subjects, set_truth, source_of
from pixelwise.evaluation.precision_measure import ObjectPrecision, detected, objects_in
from pixelwise.evaluation.sources import LooseObjects, NumberedObjects
from pixelwise.evaluation.tables import csv_text, markdown, plain_data
from pixelwise.geometry import Axis, Geometry
from pixelwise.inference.predictor import load
from pixelwise.segmentation import Provenance, Segmentation

THINGS = (False, True)
PLACES = [(row, column) for row in (4, 24, 44) for column in (4, 24, 44, 64)]
FALSE = (18, 18)  # between the squares
ALL_BUT_ONE = 92 / 101  # of 12 objects 11 are found: recalls up to 0.91
SIDE = 10


def squares(places, size=(60, 80), side=SIDE):
    """Labels and object numbers; later squares lie over earlier ones."""
    labels, numbers = np.zeros(size, np.uint16), np.zeros(size, np.int32)
    for number, (row, column) in enumerate(places, 1):
        labels[row : row + side, column : column + side] = 1
        numbers[row : row + side, column : column + side] = number
    return labels, numbers


def loose(found):
    """Squares of (row, column, score)."""
    mask = np.ones((SIDE, SIDE), np.bool_)
    return LooseObjects(
        tuple(Pixels(mask, row, column) for row, column, _ in found),
        np.ones(len(found), np.uint16),
        np.array([score for _, _, score in found], float),
    )


def figures(*judged):
    """The overall figures of pictures, by key."""
    measure = ObjectPrecision(THINGS)
    counts = np.stack([measure.counts(each, None) for each in judged])
    chosen = measure.figures[:6]
    values = measure.resampled(counts, chosen, None).whole()
    return dict(zip([figure.key for figure in chosen], values.tolist(), strict=True))


@pytest.fixture
def truth():
    return squares(PLACES)


@pytest.fixture
def of_labels(judged_of, truth):
    """A picture of twelve squares and a label map."""

    def make(places):
        return judged_of(truth[0], squares(places)[0], instances=truth[1])

    return make


@pytest.fixture
def of_objects(judged_of, truth):
    """A picture of twelve squares, drawn, and loose objects of (row, column, score)."""

    def make(found):
        drawn = [
            AnnotatedObject(1, Pixels(np.ones((SIDE, SIDE), np.bool_), row, column), False, n)
            for n, (row, column) in enumerate(PLACES, 1)
        ]
        return judged_of(truth[0], truth[0], drawn=tuple(drawn), objects=loose(found))

    return make


def test_what_is_right_has_all(of_labels, of_objects):
    for judged in (of_labels(PLACES), of_objects([(*place, 0.5) for place in PLACES])):
        assert set(figures(judged).values()) == {1.0}


def test_a_missed_object_costs_the_recalls_that_it_takes(of_labels, of_objects):
    for judged in (of_labels(PLACES[1:]), of_objects([(*place, 0.5) for place in PLACES[1:]])):
        assert [*figures(judged).values()] == pytest.approx([ALL_BUT_ONE] * 6)


def test_a_false_object_costs_as_much_as_it_is_sure(of_objects):
    right = [(*place, 0.5) for place in PLACES]
    costs = {score: figures(of_objects([*right, (*FALSE, score)])) for score in (0.1, 0.9)}
    assert set(costs[0.1].values()) == {1.0}
    assert [*costs[0.9].values()] == pytest.approx([12 / 13] * 6)


def test_an_object_out_of_place_is_right_at_low_thresholds_alone(of_objects):
    # An IoU of 70 / 130 of each: right at 0.50 alone.
    found = figures(of_objects([(row + 3, column, 0.5) for row, column in PLACES]))
    assert found["mean_mask_ap_50"] == found["mean_box_ap_50"] == 1
    assert found["mean_mask_ap_75"] == 0
    assert found["mean_mask_ap"] == pytest.approx(1 / 10)


def test_boxes_are_those_around_the_masks(judged_of, truth):
    labels, _ = squares(PLACES)
    for row, column in PLACES:  # frames: their boxes are right, their masks are not
        labels[row + 1 : row + SIDE - 1, column + 1 : column + SIDE - 1] = 0
    found = figures(judged_of(truth[0], labels, instances=truth[1]))
    assert found["mean_box_ap"] == 1
    assert found["mean_mask_ap"] == 0


def test_predictions_under_what_is_ignored_change_nothing(judged_of, truth):
    labels, instances = truth
    ignored = np.zeros(labels.shape, np.bool_)
    ignored[:, 30:50] = True
    true = np.where(ignored, IGNORED, labels)
    seen = []
    for seed in range(4):
        noise = np.random.default_rng(seed).integers(0, 3, labels.shape)
        found = np.where(ignored, noise, labels)
        seen.append(figures(judged_of(true, found, instances=instances)))
    assert all(each == seen[0] for each in seen)
    assert seen[0]["mean_mask_ap"] == 1


def test_objects_under_what_is_ignored_take_no_place_of_others(of_objects, judged_of):
    whole = of_objects([*[(5, 60, 0.9)] * 150, *[(*place, 0.5) for place in PLACES]])
    true = whole.truth.copy()
    true[:, 40:] = IGNORED
    cut = judged_of(true, whole.labels, drawn=whole.drawn, objects=whole.objects)
    assert figures(cut)["mean_mask_ap"] == 1


def test_drawn_objects_end_where_the_truth_is_ignored(of_objects, judged_of):
    whole = of_objects([(*place, 0.5) for place in PLACES])
    true = whole.truth.copy()
    true[:, :40] = IGNORED
    cut = judged_of(true, whole.labels, drawn=whole.drawn, objects=whole.objects)
    found = objects_in(cut, THINGS)
    assert len(found) == len(detected(cut, found, THINGS)) == 6
    assert figures(cut)["mean_mask_ap"] == 1


def test_pixels_of_things_without_an_object_are_crowds(judged_of, truth):
    instances = np.where(truth[1] <= 2, truth[1], 0)
    found = figures(judged_of(truth[0], squares(PLACES)[0], instances=instances))
    assert set(found.values()) == {1.0}


def test_overlapping_objects_count_whole(judged_of):
    near = [(10, 10), (10, 15)]
    drawn = tuple(
        AnnotatedObject(1, Pixels(np.ones((SIDE, SIDE), np.bool_), *place), False, n)
        for n, place in enumerate(near, 1)
    )
    labels, numbers = squares(near)
    judged = judged_of(labels, labels, drawn=drawn, objects=loose([(*at, 0.7) for at in near]))
    assert figures(judged)["mean_mask_ap"] == 1
    # One number a pixel cannot say so: half of the first square is hidden.
    painted = NumberedObjects(numbers, np.ones(2))
    assert figures(judged_of(labels, labels, drawn=drawn, objects=painted))["mean_mask_ap"] < 0.7


def test_numbered_objects_that_touch_are_two(judged_of):
    labels, numbers = squares([(10, 10), (10, 20)])
    objects = NumberedObjects(numbers, np.array([0.3, 0.4]))
    judged = judged_of(labels, labels, instances=numbers, objects=objects)
    assert figures(judged)["mean_mask_ap"] == 1
    assert detected(judged, objects_in(judged, THINGS), THINGS).scores.tolist() == [0.3, 0.4]
    assert Objects(THINGS, "segments").counts(judged, None)[1:, 1].tolist() == [2, 0, 0]
    assert Objects(THINGS).counts(judged_of(labels, labels, instances=numbers), None)[1, 1] == 0


def test_as_many_count_as_the_truth_has_and_a_hundred_at_least(judged_of):
    many = [(row, column) for row in range(0, 60, 4) for column in range(0, 80, 4)]
    labels, instances = squares(many, side=2)
    assert len(many) == 300
    assert figures(judged_of(labels, labels, instances=instances))["mean_mask_ap"] == 1
    few = np.where(instances <= 2, instances, 0)
    true = np.where(few > 0, 1, 0)
    judged = judged_of(true, labels, instances=few)
    assert len(detected(judged, objects_in(judged, THINGS), THINGS)) == 100


def test_a_region_is_as_sure_as_its_pixels_are_on_average(judged_of, make_table):
    scores = np.zeros((2, 6, 8), np.float32)
    scores[1] = -4
    scores[1, 1:3, 1:3] = 3
    scores[1, 1:3, 5:7] = 2
    scores[1, 1, 5] = 1
    segmentation = Segmentation(
        scores,
        make_table(0, 1),
        Geometry(Axis.half_pixel(6, 6), Axis.half_pixel(8, 8)),
        Provenance("toy", "", "", (6, 8), "", "0"),
        threads=1,
    )
    labels = segmentation.labels
    judged = judged_of(labels, labels, segmentation=segmentation)
    found = detected(judged, objects_in(judged, THINGS), THINGS)
    expected = [
        segmentation.confidence[1:3, columns].mean() for columns in (slice(1, 3), slice(5, 7))
    ]
    assert found.scores == pytest.approx(expected, rel=1e-6)
    assert found.scores[0] > found.scores[1]


def test_without_objects_there_is_no_figure(judged_of):
    nothing = np.zeros((9, 9), int)
    assert np.isnan([*figures(judged_of(nothing, nothing)).values()]).all()


@pytest.fixture
def from_set(write_coco, write_maps):
    """Evaluates label maps of pictures of squares; each picture has its own predicted places."""

    root = write_coco(
        [
            [((numbers == n), 1, False) for n in range(1, numbers.max() + 1)]
            for _, numbers in (squares(PLACES[: 6 + n]) for n in range(6))
        ]
    )
    truth = set_truth(data.open(root), None)

    def make(folder, found):
        maps = {f"p{n}": squares(places)[0].astype(np.uint8) for n, places in enumerate(found)}
        source = source_of(str(write_maps(folder, maps)))
        (subject,) = set_subjects([source], truth, loaded=load)
        return evaluate(subject, measures_of(subject, borders=False))

    return make


def test_it_is_told_in_every_form_and_compared(from_set):
    one = from_set("one", [PLACES[n % 2 : 6 + n] for n in range(6)])
    two = from_set("two", [PLACES[n % 3 : 5 + n] for n in range(6)])
    found = one.overall["mean_mask_ap"]
    assert found.low < found.value < found.high
    assert found.value == one.by_class["mask_ap"][1].value
    assert one.by_class["box_ap"][0].value is None
    facts = plain_data(one)
    assert facts["figures"]["mean_box_ap_75"]["value"] == one.overall["mean_box_ap_75"].value
    assert any("Lin et al." in line for line in facts["protocol"]["averaging"])
    assert ",mean_mask_ap_50," in csv_text(one)
    assert "AP75 box" in markdown(one)
    comparison = compare(one, two)
    pair = comparison.overall["mean_mask_ap"]
    assert (pair.a, pair.b) == (found.value, two.overall["mean_mask_ap"].value)
    assert pair.low <= pair.difference <= pair.high
    assert pair.difference < 0
    assert pair.better < 0.2
