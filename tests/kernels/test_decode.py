from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import Axis, reference

FEW = settings(max_examples=60, deadline=None)


def smooth_scores(rng, classes, height, width):
    coarse = rng.normal(size=(classes, height // 6 + 2, width // 6 + 2)).astype(np.float32)
    rows, columns = Axis.corners(height, coarse.shape[1]), Axis.corners(width, coarse.shape[2])
    return reference.decode_scores(coarse, rows, columns)


@st.composite
def cases(draw, most_classes=300, most_pixels=40):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(
        st.sampled_from([1, 2, 3, 19, 256, 257, 300]).filter(lambda c: c <= most_classes)
    )
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    sizes = st.integers(1, most_pixels)
    kind = draw(st.sampled_from(["noise", "smooth", "steps"]))
    if kind == "noise":
        scores = rng.normal(size=(classes, height, width)).astype(np.float32)
    else:
        scores = smooth_scores(rng, classes, height, width)
    if kind == "steps" or draw(st.booleans()):
        scores = np.round(scores * 2) / 2  # many equal scores
    make = draw(st.sampled_from([Axis.half_pixel, Axis.corners]))
    return scores, make(draw(sizes), height), make(draw(sizes), width)


def windows_of(data, axis):
    first = data.draw(st.integers(0, axis.size - 1))
    return first, data.draw(st.integers(first + 1, axis.size))


def plain_labels(scores, rows, columns):
    """Interpolate everything, then argmax: NumPy's takes the lowest index of equal values."""
    return reference.decode_scores(scores, rows, columns).argmax(axis=0)


@FEW
@given(cases())
def test_labels_are_the_argmax_of_all_interpolated_scores(case):
    labels = kernels.decode_labels(*case)
    assert labels.dtype == (np.uint8 if len(case[0]) <= 256 else np.uint16)
    np.testing.assert_array_equal(labels, plain_labels(*case))
    np.testing.assert_array_equal(reference.decode_labels(*case), labels)


@settings(max_examples=15, deadline=None)
@given(cases(most_pixels=300))
def test_strong_enlargement_takes_the_same_labels_on_every_path(case):
    np.testing.assert_array_equal(kernels.decode_labels(*case), plain_labels(*case))


@FEW
@given(cases(), st.data())
def test_a_window_is_a_slice_of_the_whole(case, data):
    scores, rows, columns = case
    (top, bottom), (left, right) = windows_of(data, rows), windows_of(data, columns)
    window = (scores, rows.window(top, bottom), columns.window(left, right))
    inside = np.s_[top:bottom, left:right]
    np.testing.assert_array_equal(
        kernels.decode_labels(*window), kernels.decode_labels(*case)[inside]
    )
    np.testing.assert_array_equal(
        kernels.decode_confidence(*window), kernels.decode_confidence(*case)[inside]
    )


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(7)
    scores = smooth_scores(rng, 30, 60, 60)
    scores[:, 20:40] = rng.normal(size=(30, 20, 60))
    case = (scores, Axis.half_pixel(501, 60), Axis.half_pixel(703, 60))
    for function in (kernels.decode_labels, kernels.decode_confidence):
        alone = function(*case, threads=1)
        for threads in (0, 2, 3, 7):
            np.testing.assert_array_equal(function(*case, threads=threads), alone)


def test_two_halves_meet_halfway_and_noise_between_them_is_computed():
    rng = np.random.default_rng(3)
    scores = np.zeros((5, 48, 64), np.float32)
    scores[1, :, :32] = 1
    scores[2, :, 32:] = 1
    scores[:, 20:28] = rng.normal(size=(5, 8, 64))
    rows, columns = Axis.half_pixel(384, 48), Axis.half_pixel(512, 64)
    labels = kernels.decode_labels(scores, rows, columns)
    assert (labels[:148, :256] == 1).all()
    assert (labels[:148, 256:] == 2).all()
    np.testing.assert_array_equal(labels, plain_labels(scores, rows, columns))


def test_ties_take_the_lowest_id():
    rows, columns = Axis.half_pixel(50, 7), Axis.half_pixel(60, 9)
    assert not kernels.decode_labels(np.ones((4, 7, 9), np.float32), rows, columns).any()
    scores = np.zeros((4, 7, 9), np.float32)
    scores[[1, 3]] = 2
    assert (kernels.decode_labels(scores, rows, columns) == 1).all()


@pytest.mark.parametrize("value", [1.1, -700.3, 3e5])
def test_leads_within_the_rounding_error_are_decided_as_in_the_full_loop(value):
    # Class 1 leads class 0 by the last bit everywhere, and rounding swallows that at some pixels.
    scores = np.full((3, 40, 40), value, np.float32)
    scores[1] = np.nextafter(scores[0], np.float32(np.inf))
    scores[2] = value - 9 * abs(value)
    scores[2, 12:20, 15:30] = value + 9 * abs(value)
    case = (scores, Axis.half_pixel(301, 40), Axis.half_pixel(333, 40))
    expected = plain_labels(*case)
    assert all((expected == label).any() for label in range(3))
    np.testing.assert_array_equal(kernels.decode_labels(*case), expected)


@pytest.mark.parametrize("value", [1.1, -700.3, 3e5])
def test_candidates_within_the_rounding_error_stay_candidates(value):
    # As above, but only inside cells on the border of class 2, which is far ahead elsewhere.
    scores = np.full((3, 40, 40), value, np.float32)
    scores[1] = np.nextafter(scores[0], np.float32(np.inf))
    scores[2] = value + 9 * abs(value)
    scores[2, 5:35:7, 3:36:20] = value - 99 * abs(value)
    case = (scores, Axis.half_pixel(301, 40), Axis.half_pixel(333, 40))
    expected = plain_labels(*case)
    assert all((expected == label).any() for label in range(3))
    np.testing.assert_array_equal(kernels.decode_labels(*case), expected)


@pytest.mark.parametrize("exponent", [-44, -36, 0, 37])
def test_tiny_and_huge_scores_keep_their_order(exponent):
    rng = np.random.default_rng(5)
    scores = (smooth_scores(rng, 6, 24, 24) * 10.0**exponent).astype(np.float32)
    case = (scores, Axis.half_pixel(150, 24), Axis.half_pixel(150, 24))
    np.testing.assert_array_equal(kernels.decode_labels(*case), plain_labels(*case))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_never_the_best_where_they_make_nan(value):
    rng = np.random.default_rng(9)
    scores = smooth_scores(rng, 8, 40, 40)
    scores[rng.random(scores.shape) < 0.01] = value
    case = (scores, Axis.half_pixel(211, 40), Axis.half_pixel(223, 40))
    np.testing.assert_array_equal(kernels.decode_labels(*case), reference.decode_labels(*case))
    values = reference.decode_scores(*case)
    values[np.isnan(values)] = -np.inf
    np.testing.assert_array_equal(kernels.decode_labels(*case), values.argmax(axis=0))


def test_where_no_score_is_a_number_the_label_is_0_and_nothing_is_probable():
    case = (np.full((3, 4, 4), np.nan, np.float32), Axis.half_pixel(9, 4), Axis.half_pixel(9, 4))
    for module in (kernels, reference):
        assert not module.decode_labels(*case).any()
        assert not module.decode_confidence(*case).any()
        assert not module.decode_probabilities(*case).any()


@FEW
@given(cases(most_classes=19))
def test_interpolated_scores_are_those_of_the_definition_bit_for_bit(case):
    np.testing.assert_array_equal(kernels.decode_scores(*case), reference.decode_scores(*case))


@FEW
@given(cases(), st.floats(0.1, 30))
def test_softmax_values_agree_with_the_definition(case, spread):
    scores, rows, columns = case
    scores = scores * np.float32(spread)
    exact = reference.decode_scores(scores, rows, columns).astype(np.float64)
    exact = np.exp(exact - exact.max(axis=0))
    exact /= exact.sum(axis=0)
    for module in (kernels, reference):
        everything = module.decode_probabilities(scores, rows, columns)
        tolerance = 1.2e-7 * (5 + len(scores) ** 0.5)
        # A score 80 below the largest is known to a float32 step of 80, 7.6e-6.
        np.testing.assert_allclose(everything, exact, rtol=tolerance + 80 * 1.2e-7, atol=1e-36)
        np.testing.assert_allclose(everything.sum(axis=0), 1, atol=1e-5)
        confidence = module.decode_confidence(scores, rows, columns)
        np.testing.assert_allclose(confidence, exact.max(axis=0), rtol=tolerance)
        np.testing.assert_allclose(confidence, everything.max(axis=0), rtol=1e-6)
        last = len(scores) - 1
        one = module.decode_probability(scores, last, rows, columns)
        np.testing.assert_allclose(one, everything[last], rtol=1e-6, atol=1e-36)


def test_equal_scores_share_the_probability_of_many_classes():
    case = (np.ones((65535, 1, 2), np.float32), Axis.half_pixel(3, 1), Axis.half_pixel(5, 2))
    np.testing.assert_allclose(kernels.decode_confidence(*case), 1 / 65535, rtol=1e-6)
    assert kernels.decode_labels(*case).dtype == np.uint16


def test_scores_in_another_order_give_the_same_labels():
    scores = np.random.default_rng(1).normal(size=(20, 30, 4)).astype(np.float32)
    turned = scores.transpose(2, 0, 1)
    rows, columns = Axis.half_pixel(50, 20), Axis.half_pixel(70, 30)
    np.testing.assert_array_equal(
        kernels.decode_labels(turned, rows, columns),
        kernels.decode_labels(np.ascontiguousarray(turned), rows, columns),
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 90), (64, 64), (133, 250)])
def test_torch_interpolates_to_the_same_values(align_corners, size):
    torch = pytest.importorskip("torch")
    scores = np.random.default_rng(2).normal(size=(21, 33, 31)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None], size, mode="bilinear", align_corners=align_corners
    )[0].numpy()
    make = Axis.corners if align_corners else Axis.half_pixel
    rows, columns = make(size[0], 33), make(size[1], 31)
    # torch computes positions in float32: at position 30 they are off by up to 4e-6.
    np.testing.assert_allclose(kernels.decode_scores(scores, rows, columns), theirs, atol=3e-5)
    labels = kernels.decode_labels(scores, rows, columns)
    chosen = np.take_along_axis(theirs, labels[None].astype(np.int64), axis=0)[0]
    assert (theirs.max(axis=0) - chosen < 3e-5).all()


@pytest.mark.skipif(not kernels.COMPILED, reason="the kernels are not compiled")
@settings(max_examples=25, deadline=None)
@given(cases(most_pixels=120))
def test_every_instruction_set_and_the_full_loop_give_the_same_bits(case):
    from pixelwise.kernels import _native

    scores, rows, columns = case
    tables = (*rows.table(scores.shape[1]), *columns.table(scores.shape[2]))
    expected = plain_labels(*case)
    likely = kernels.decode_confidence(*case)
    for variant in _native.variants():
        for full in (False, True):
            labels = np.empty(expected.shape, np.uint8 if len(scores) <= 256 else np.uint16)
            _native.decode_labels(scores, *tables, labels, 2, full, variant)
            np.testing.assert_array_equal(labels, expected)
        confidence = np.empty(expected.shape, np.float32)
        _native.decode_values("confidence", scores, *tables, confidence, 0, 2, variant)
        np.testing.assert_array_equal(confidence, likely)


AXES = (Axis.half_pixel(4, 2), Axis.half_pixel(4, 2))
FUNCTIONS = [
    kernels.decode_labels,
    kernels.decode_confidence,
    kernels.decode_scores,
    kernels.decode_probabilities,
    lambda scores, *axes, **options: kernels.decode_probability(scores, 0, *axes, **options),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, 2, 2)),
        np.zeros((2, 2, 2), np.float16),
        np.zeros((2, 2), np.float32),
        np.zeros((1, 2, 2, 2), np.float32),
        np.zeros((0, 2, 2), np.float32),
        np.zeros((2, 0, 2), np.float32),
        np.zeros((65536, 1, 1), np.float32),
        np.zeros((2, 2, 2), ">f4"),
        [[[0.0]]],
    ],
)
def test_other_arrays_are_refused(function, scores):
    with pytest.raises(ArrayError, match="scores"):
        function(scores, *AXES)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_other_arguments_are_refused(function):
    scores = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(UsageError, match="rows"):
        function(scores, 4, AXES[1])
    with pytest.raises(UsageError, match="columns"):
        function(scores, AXES[0], None)
    for threads in (-1, 1.5, 5000, None):
        with pytest.raises(UsageError, match="threads"):
            function(scores, *AXES, threads=threads)


@pytest.mark.parametrize("class_index", [-1, 2, 0.5, None])
def test_classes_without_scores_are_refused(class_index):
    with pytest.raises(UsageError, match="class_index"):
        kernels.decode_probability(np.zeros((2, 2, 2), np.float32), class_index, *AXES)
