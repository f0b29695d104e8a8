from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.boundary
from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics import BoundaryFScore, BoundaryIoU

CLASSES, IGNORED = 4, 255


@st.composite
def pairs(draw, ignored=True):
    """Truth and prediction in blocks; a part of the truth is ignored."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1), (1, 30), (30, 1), (2, 3), (17, 24), (40, 33)]))
    block = draw(st.sampled_from([1, 4, 9, 50]))
    grid = tuple(np.arange(side) // block for side in shape)
    truth, prediction = rng.integers(0, draw(st.integers(1, CLASSES)), (2, *shape))[
        (slice(None), *np.ix_(*grid))
    ].astype(np.uint8)
    if draw(st.booleans()):
        prediction = np.roll(truth, draw(st.integers(0, 3)), draw(st.integers(0, 1)))
    if ignored and draw(st.booleans()):
        truth = truth.copy()
        truth[rng.random(shape)[np.ix_(*grid)] < draw(st.sampled_from([0.2, 1.0]))] = IGNORED
    return truth, prediction


def eroded(mask):
    """By 3×3, with nothing around the picture."""
    wide = np.pad(mask, 1)
    height, width = mask.shape
    return np.all([wide[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def band_of(mask, distance):
    inner = mask
    for _ in range(distance):
        inner = eroded(inner)
    return mask & ~inner


def boundary_iou_counts(truth, prediction, distance):
    """The authors' steps, class by class."""
    counts = []
    for id_ in range(CLASSES):
        bands = [
            band_of((ids == id_) & (truth != IGNORED), distance) for ids in (truth, prediction)
        ]
        counts.append([(bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()])
    return np.array(counts).T


def contour_of(mask):
    wide = np.pad(mask, 1)
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.argwhere(mask & ~inner)


def contour_counts(truth, prediction, tolerance):
    """All pairs of contour pixels, class by class."""
    counts = np.zeros((4, CLASSES), int)
    for id_ in range(CLASSES):
        true, found = (contour_of((ids == id_) & (truth != IGNORED)) for ids in (truth, prediction))
        counts[1, id_], counts[3, id_] = len(found), len(true)
        if len(true) and len(found):
            apart = np.sqrt(((true[:, None] - found[None]) ** 2).sum(2))
            counts[0, id_] = (apart.min(0) <= tolerance).sum()
            counts[2, id_] = (apart.min(1) <= tolerance).sum()
    return counts


def test_public_names_are_sorted():
    names = pixelwise.metrics.boundary.__all__
    assert names == sorted(names)


@settings(max_examples=50)
@given(pairs(), st.integers(1, 5))
def test_boundary_iou_counts_as_its_definition(pair, distance):
    metric = BoundaryIoU(CLASSES, ignore_index=IGNORED, pixels=distance)
    metric.update(*pair)
    np.testing.assert_array_equal(metric.class_counts, boundary_iou_counts(*pair, distance))


@settings(max_examples=50)
@given(pairs(), st.sampled_from([0.5, 1, 1.5, 3]))
def test_contours_are_counted_by_their_definition(pair, tolerance):
    metric = BoundaryFScore(CLASSES, ignore_index=IGNORED, pixels=tolerance)
    metric.update(*pair)
    np.testing.assert_array_equal(metric.class_counts, contour_counts(*pair, tolerance))


@pytest.mark.parametrize("kind", [BoundaryIoU, BoundaryFScore])
@settings(max_examples=20)
@given(pair=pairs(), seed=st.integers(0, 2**32 - 1))
def test_predictions_under_ignored_pixels_change_nothing(kind, pair, seed):
    truth, prediction = pair
    noise = np.random.default_rng(seed).integers(-9, 999, truth.shape)
    one, other = (kind(CLASSES, ignore_index=IGNORED, pixels=2) for _ in range(2))
    one.update(truth, prediction)
    other.update(truth, np.where(truth == IGNORED, noise, prediction))
    np.testing.assert_array_equal(one.class_counts, other.class_counts)


@pytest.mark.parametrize("kind", [BoundaryIoU, BoundaryFScore])
def test_batches_and_merges_add_up(kind):
    rng = np.random.default_rng(3)
    truth, prediction = rng.integers(0, CLASSES, (2, 5, 8, 9))
    whole, by_picture, merged = kind(CLASSES), kind(CLASSES), kind(CLASSES)
    whole.update(truth, prediction)
    for pair in zip(truth, prediction, strict=True):
        by_picture.update(*pair)
        alone = kind(CLASSES)
        alone.update(*pair)
        merged.merge(alone)
    np.testing.assert_array_equal(whole.class_counts, by_picture.class_counts)
    np.testing.assert_array_equal(whole.class_counts, merged.class_counts)
    assert whole.class_counts.dtype == np.int64


def test_widths_follow_the_diagonal_of_each_picture():
    truth = np.zeros((300, 400), np.uint8)  # diagonal 500
    for arguments, width in (({}, 10), ({"ratio": 0.005}, 2), ({"ratio": 1e-6}, 1)):
        metric = BoundaryIoU(1, **arguments)
        metric.update(truth, truth)
        ring = truth.size - (300 - 2 * width) * (400 - 2 * width)
        assert metric.class_counts[:, 0].tolist() == [ring] * 3
    apart = np.zeros((2, 300, 400), np.uint8)
    apart[0, 50, 50] = apart[1, 50, 53] = 1
    near, far = BoundaryFScore(2), BoundaryFScore(2, ratio=0.0059)  # 3.75 and 2.95 pixels
    near.update(*apart)
    far.update(*apart)
    assert near.class_counts[:, 1].tolist() == [1, 1, 1, 1]
    assert far.class_counts[:, 1].tolist() == [0, 1, 0, 1]


def test_scores_and_their_means():
    truth = np.zeros((12, 12), np.uint8)
    truth[:, 6:] = 1
    for metric, name in ((BoundaryIoU(3), "boundary_iou"), (BoundaryFScore(3), "f_score")):
        assert np.isnan(getattr(metric.compute(), f"mean_{name}"))
        metric.update(truth, truth)
        scores = metric.compute()
        assert getattr(scores, name)[:2].tolist() == [1, 1]
        assert np.isnan(getattr(scores, name)[2])
        assert getattr(scores, f"mean_{name}") == 1
    assert BoundaryIoU(3).compute().width == "0.02 of the diagonal"
    scores = BoundaryFScore(3, pixels=2).compute()
    assert scores.tolerance == "2 pixels"
    assert np.isnan([scores.precision, scores.recall]).all()


def test_a_shifted_border_lowers_boundary_scores_more_than_iou():
    truth, prediction = np.zeros((2, 60, 60), np.uint8)
    truth[:, 30:] = prediction[:, 32:] = 1
    metric = BoundaryIoU(2, pixels=3)
    metric.update(truth, prediction)
    assert metric.compute().mean_boundary_iou < 0.95
    strict, loose = BoundaryFScore(2, pixels=1), BoundaryFScore(2, pixels=2)
    strict.update(truth, prediction)
    loose.update(truth, prediction)
    assert strict.compute().mean_f_score < 1
    assert loose.compute().mean_f_score == 1


@pytest.mark.parametrize("kind", [BoundaryIoU, BoundaryFScore])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": 0}, "classes"),
        ({"classes": 65_535}, "classes"),
        ({"ratio": 0}, "ratio is not a length"),
        ({"ratio": math.inf}, "ratio is not a length"),
        ({"pixels": 0}, "pixels is not"),
        ({"pixels": "3"}, "pixels is not"),
    ],
)
def test_arguments_outside_their_range_are_refused(kind, arguments, said):
    with pytest.raises(UsageError, match=said):
        kind(**{"classes": 2, **arguments})


def test_bands_are_of_whole_pixels():
    with pytest.raises(UsageError, match="pixels is not a whole number"):
        BoundaryIoU(2, pixels=1.5)


@pytest.mark.parametrize("kind", [BoundaryIoU, BoundaryFScore])
def test_only_counts_of_one_protocol_merge(kind):
    for other in (kind(3), kind(2, ignore_index=255), kind(2, pixels=3), kind(2, ratio=0.5)):
        with pytest.raises(
            ArrayError, match="one protocol can be merged\n  2 classes, ignore None"
        ):
            kind(2).merge(other)


@pytest.mark.parametrize(
    ("truth", "prediction", "said"),
    [
        (np.zeros(4, int), np.zeros(4, int), r"needs pictures\n.*\n  shape \(4,\)"),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), "needs pictures"),
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "differ in size"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "truth must hold integer class ids"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), r"truth holds ids .*\n  ids \[-1\]"),
        (np.zeros((2, 2), int), np.full((2, 2), 255), r"prediction holds ids .*\n  ids \[255\]"),
    ],
)
def test_what_is_no_picture_is_an_error(truth, prediction, said):
    metric = BoundaryIoU(CLASSES, ignore_index=IGNORED)
    with pytest.raises(ArrayError, match=said):
        metric.update(truth, prediction)
    assert not metric.class_counts.any()


def test_many_classes_take_a_wider_type():
    truth = np.array([[0, 300], [300, 299]])
    metric = BoundaryIoU(301, pixels=1)
    metric.update(truth, truth)
    assert metric.class_counts[0, [0, 299, 300]].tolist() == [1, 1, 2]
    edge = BoundaryIoU(255, ignore_index=255, pixels=1)
    edge.update(np.array([[254, 255]]), np.array([[254, 254]]))
    assert edge.class_counts[:, 254].tolist() == [1, 1, 1]
