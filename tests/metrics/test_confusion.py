from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.confusion
from pixelwise.errors import ArrayError
from pixelwise.metrics.confusion import ConfusionMatrix, semantic_scores

CLASSES, IGNORED = 4, 255


@st.composite
def pictures(draw, *, ids=(0, 1, 2, 3, IGNORED)):
    """Some pairs of truth and prediction, each of a size of its own."""
    pairs = []
    for _ in range(draw(st.integers(1, 4))):
        height, width = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        generator = np.random.default_rng(draw(st.integers(0, 2**32)))
        truth = generator.choice(ids, (height, width)).astype(np.uint8)
        pairs.append((truth, generator.integers(0, CLASSES, (height, width))))
    return pairs


def counted(pairs, ignore_index=IGNORED):
    matrix = ConfusionMatrix(CLASSES, ignore_index=ignore_index)
    for truth, prediction in pairs:
        matrix.update(truth, prediction)
    return matrix


def brute_force(pairs):
    """The scores from sets of pixels, by their definitions."""
    truth = [t for pair in pairs for t, _ in zip(*map(np.ravel, pair), strict=True)]
    prediction = [p for pair in pairs for _, p in zip(*map(np.ravel, pair), strict=True)]
    pixels = [i for i, id_ in enumerate(truth) if id_ != IGNORED]
    iou, dice, precision, recall, weighed = [], [], [], [], 0
    for id_ in range(CLASSES):
        is_true = {i for i in pixels if truth[i] == id_}
        is_predicted = {i for i in pixels if prediction[i] == id_}
        both, either = len(is_true & is_predicted), len(is_true | is_predicted)
        iou.append(both / either if either else np.nan)
        dice.append(2 * both / (len(is_true) + len(is_predicted)) if either else np.nan)
        precision.append(both / len(is_predicted) if is_predicted else np.nan)
        recall.append(both / len(is_true) if is_true else np.nan)
        weighed += len(is_true) * (both / either if either else 0)
    right = sum(truth[i] == prediction[i] for i in pixels)
    many = len(pixels) or np.nan
    return iou, dice, precision, recall, right / many, weighed / many


def mean_of_present(values):
    present = [value for value in values if not np.isnan(value)]
    return sum(present) / len(present) if present else np.nan


def test_public_names_are_sorted():
    assert pixelwise.metrics.confusion.__all__ == [
        "ConfusionMatrix",
        "SemanticScores",
        "semantic_scores",
    ]


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_scores_equal_their_definitions(pairs):
    scores = counted(pairs).compute()
    iou, dice, precision, recall, pixel_accuracy, weighed = brute_force(pairs)
    np.testing.assert_allclose(scores.iou, iou)
    np.testing.assert_allclose(scores.dice, dice)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.pixel_accuracy, pixel_accuracy)
    np.testing.assert_allclose(scores.frequency_weighted_iou, weighed)
    np.testing.assert_allclose(scores.mean_dice, mean_of_present(dice))
    np.testing.assert_allclose(scores.mean_iou, mean_of_present(iou))
    np.testing.assert_allclose(scores.class_accuracy, mean_of_present(recall))


@settings(max_examples=40, deadline=None)
@given(pictures(), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_change_the_counts(pairs, random):
    expected = counted(pairs).counts
    shuffled = random.sample(pairs, len(pairs))
    np.testing.assert_array_equal(counted(shuffled).counts, expected)
    whole = [tuple(np.concatenate([np.ravel(pair[side]) for pair in pairs]) for side in (0, 1))]
    np.testing.assert_array_equal(counted(whole).counts, expected)
    merged = ConfusionMatrix(CLASSES, ignore_index=IGNORED)
    for pair in pairs:
        merged.merge(counted([pair]))
    np.testing.assert_array_equal(merged.counts, expected)


@settings(max_examples=40, deadline=None)
@given(pictures(), st.integers(0, 2**32))
def test_predictions_under_ignored_pixels_change_nothing(pairs, seed):
    generator = np.random.default_rng(seed)
    # Even ids of no class are allowed there: nobody asks for them.
    changed = [
        (truth, np.where(truth == IGNORED, generator.integers(-9, 999, truth.shape), prediction))
        for truth, prediction in pairs
    ]
    np.testing.assert_array_equal(counted(changed).counts, counted(pairs).counts)


def test_counts_are_truth_by_prediction():
    matrix = counted([(np.array([0, 0, 1]), np.array([0, 2, 1]))])
    assert matrix.counts.dtype == np.int64
    assert matrix.counts[0].tolist() == [1, 0, 1, 0]
    assert matrix.counts[1].tolist() == [0, 1, 0, 0]


def test_class_counts_hold_all_that_the_scores_need():
    matrix = counted([(np.array([0, 0, 1, IGNORED]), np.array([0, 2, 1, 3]))])
    assert matrix.class_counts.tolist() == [[1, 1, 0, 0], [2, 1, 0, 0], [1, 1, 1, 0]]
    scores, computed = semantic_scores(matrix.class_counts), matrix.compute()
    np.testing.assert_array_equal(scores.iou, computed.iou)
    assert scores.mean_iou == computed.mean_iou == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_counts_are_exact_beyond_32_bits():
    whole = ConfusionMatrix(2)
    whole.counts[1, 0] = 2**53
    one = ConfusionMatrix(2)
    one.update(np.array([1]), np.array([0]))
    whole.merge(one)
    assert whole.counts[1, 0] == 2**53 + 1


def test_a_class_that_is_nowhere_is_left_out_of_the_mean():
    scores = counted([(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))]).compute()
    assert np.isnan(scores.iou[2:]).all()
    assert np.isnan(scores.dice[2:]).all()
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_predicted_but_absent_counts_as_zero():
    scores = counted([(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 3]))]).compute()
    assert scores.iou[3] == 0
    assert scores.dice[3] == 0
    assert scores.mean_iou == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert scores.class_accuracy == pytest.approx((1 + 1 / 2) / 2)


def test_the_mean_is_over_the_data_set_not_over_pictures():
    one = (np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]))
    two = (np.array([1]), np.array([1]))
    assert counted([one, two]).compute().mean_iou == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_nothing_counted_scores_nan():
    for matrix in (
        ConfusionMatrix(3),
        counted([(np.full((2, 2), IGNORED), np.zeros((2, 2), int))]),
    ):
        scores = matrix.compute()
        assert np.isnan([scores.mean_iou, scores.pixel_accuracy, scores.class_accuracy]).all()
        assert np.isnan(scores.iou).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.uint64])
def test_every_integer_type_counts_the_same(dtype):
    truth, prediction = np.array([0, 1, 3], dtype), np.array([0, 2, 3], dtype)
    expected = counted([(np.array([0, 1, 3]), np.array([0, 2, 3]))], None).counts
    np.testing.assert_array_equal(counted([(truth, prediction)], None).counts, expected)


def test_small_types_do_not_overflow():
    matrix = ConfusionMatrix(200)
    matrix.update(np.array([199], np.uint8), np.array([198], np.uint8))
    assert matrix.counts[199, 198] == 1


@pytest.mark.parametrize(
    ("truth", "prediction", "said"),
    [
        (
            [0, 4],
            [0, 0],
            r"truth holds ids outside the class table\n  ids \[4\], expected 0 … 3 or 255",
        ),
        ([0, -1], [0, 0], r"ids \[-1\]"),
        ([0, 0], [0, 255], r"prediction holds ids outside .*\n  ids \[255\]"),
        ([0, 0], [0, -2], r"prediction holds ids .*\n  ids \[-2\]"),
        ([0, 0], [0], r"differ in size\n  truth \(2,\) · prediction \(1,\)"),
        ([0.0, 1.0], [0, 1], "truth must hold integer class ids\n  dtype float64"),
        ([0, 1], [True, False], "prediction must hold integer class ids\n  dtype bool"),
    ],
)
def test_what_cannot_be_counted_is_an_error(truth, prediction, said):
    matrix = ConfusionMatrix(CLASSES, ignore_index=IGNORED)
    with pytest.raises(ArrayError, match=said):
        matrix.update(np.array(truth), np.array(prediction))
    assert not matrix.counts.any()


def test_without_an_ignored_id_everything_counts():
    with pytest.raises(ArrayError, match=r"ids \[255\], expected 0 … 3\n"):
        counted([(np.array([255]), np.array([0]))], None)


@pytest.mark.parametrize("classes", [0, -1, 65_536])
def test_the_number_of_classes_is_bounded(classes):
    with pytest.raises(ArrayError, match=f"classes={classes}"):
        ConfusionMatrix(classes)


@pytest.mark.parametrize("other", [ConfusionMatrix(3, ignore_index=255), ConfusionMatrix(4)])
def test_only_matrices_of_one_protocol_merge(other):
    with pytest.raises(ArrayError, match=r"4 classes, ignore 255 · \d classes"):
        ConfusionMatrix(4, ignore_index=255).merge(other)
