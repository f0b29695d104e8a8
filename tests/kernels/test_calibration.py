from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import Axis, reference_calibration

compiled = pytest.mark.skipif(not kernels.COMPILED, reason="the variants are compiled")
TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]
IGNORED = 200


def softmax(scores):
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)


@st.composite
def pixels(draw):
    """Probabilities `[C, N]` and truth, of more and fewer pixels than registers and tiles hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([2, 3, 19, 70]))
    size = draw(st.sampled_from([1, 7, 15, 16, 17, 100, 1023, 1024, 1041, 2500]))
    sharp = draw(st.sampled_from([0.01, 1, 4, 100]))
    values = softmax(rng.normal(0, sharp, (classes, size))).astype(np.float32)
    truth = rng.integers(0, classes, size)
    truth[rng.random(size) < draw(st.sampled_from([0, 0.3, 1]))] = IGNORED
    return values, truth.astype(draw(st.sampled_from(TYPES)))


def counts_of(sums, classes, bins):
    """Whole numbers: pixels and right ones of each bin, and pixels."""
    return np.append(sums[:-3].reshape(1 + classes, 3, bins)[:, ::2].ravel(), sums[-3])


def assert_alike(found, expected, classes, bins):
    np.testing.assert_array_equal(
        counts_of(found, classes, bins), counts_of(expected, classes, bins)
    )
    # The logarithm is that of products.
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * (1 + expected[-3]))


def by_hand(values, truth, bins):
    """In Python's own arithmetic, pixel by pixel."""
    classes = len(values)
    sums = np.zeros((1 + classes, 3, bins))
    whole = np.zeros(3)
    for own, id_ in zip(values.T, truth.tolist(), strict=True):
        if id_ == IGNORED:
            continue
        best = int(own.argmax())
        for row, channel in [(0, best), *((1 + c, c) for c in range(classes))]:
            place = min(int(np.float32(own[channel]) * np.float32(bins)), bins - 1)
            sums[row, :, place] += 1, own[channel], channel == id_
        whole += (
            1,
            sum((float(p) - (c == id_)) ** 2 for c, p in enumerate(own)),
            -np.log(max(float(own[id_]), 1e-37)),
        )
    return np.append(sums.ravel(), whole)


@settings(max_examples=50)
@given(pixels(), st.sampled_from([1, 2, 15, 1000]))
def test_sums_are_those_of_the_twin(drawn, bins):
    values, truth = drawn
    found = kernels.calibration_sums(values, truth, bins=bins, ignore_index=IGNORED)
    twin = reference_calibration.calibration_sums(values, truth, bins, IGNORED)
    assert_alike(found, twin, len(values), bins)
    assert found.dtype == twin.dtype == np.float64
    if values.size < 2000:
        assert_alike(twin, by_hand(values, truth, bins), len(values), bins)


def test_edges_and_ties_have_one_place():
    # 1 is in the last bin, an edge in the upper one, and of a tie the lowest class is best.
    values = np.array([[1, 0.5, 0.2], [0, 0.5, 0.8]], np.float32)
    found = kernels.calibration_sums(values, np.array([0, 0, 1]), bins=10)
    pixels, confidence, right = found[:30].reshape(3, 10)
    assert pixels.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert right.tolist() == pixels.tolist()
    assert confidence[9] == 1


@compiled
@settings(max_examples=20)
@given(pixels())
def test_all_variants_give_the_same_bits(drawn):
    from pixelwise.kernels import _native

    values, truth = drawn[0], drawn[1].astype(np.uint16)
    expected = kernels.calibration_sums(values, truth, bins=15, ignore_index=IGNORED)
    for variant in _native.variants():
        sums = np.empty_like(expected)
        assert not _native.calibration_sums(values, truth, True, IGNORED, 15, sums, 1, variant)
        np.testing.assert_array_equal(sums, expected)


def test_threads_give_the_same_bits():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (3, 40, 70)).astype(np.float32)
    axes = Axis.half_pixel(400, 40), Axis.half_pixel(700, 70)
    truth = rng.integers(0, 3, (400, 700))
    one = kernels.calibration_sums_of_scores(scores, *axes, truth, bins=15, threads=1)
    three = kernels.calibration_sums_of_scores(scores, *axes, truth, bins=15, threads=3)
    np.testing.assert_array_equal(three, one)
    values = kernels.decode_probabilities(scores, *axes).reshape(3, -1)
    one = kernels.calibration_sums(values, truth.reshape(-1), bins=15, threads=1)
    three = kernels.calibration_sums(values, truth.reshape(-1), bins=15, threads=3)
    np.testing.assert_array_equal(three, one)


@st.composite
def pictures(draw):
    """Scores, axes, truth and groups; pictures larger, smaller and wider than a tile."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([2, 5, 19]))
    height, width = draw(st.sampled_from([(3, 4), (1, 1), (20, 3), (2, 40)]))
    size = draw(st.sampled_from([(1, 1), (5, 7), (13, 16), (9, 300)]))
    make = draw(st.sampled_from([Axis.half_pixel, Axis.corners]))
    scores = rng.normal(0, draw(st.sampled_from([0.1, 5, 60])), (classes, height, width))
    groups = rng.permutation(np.arange(classes) % draw(st.integers(2, classes)))
    if draw(st.booleans()):
        groups = np.arange(classes)
    truth = rng.choice([*range(groups.max() + 1), IGNORED], size)
    axes = make(size[0], height), make(size[1], width)
    return scores.astype(np.float32), axes, truth.astype(np.uint16), groups


@settings(max_examples=50)
@given(pictures())
def test_scores_count_as_their_probabilities(drawn):
    scores, axes, truth, groups = drawn
    count = int(groups.max()) + 1
    found = kernels.calibration_sums_of_scores(
        scores, *axes, truth, bins=15, groups=groups, ignore_index=IGNORED
    )
    summed = np.zeros((count, *truth.shape), np.float32)
    for group, layer in zip(groups, kernels.decode_probabilities(scores, *axes), strict=True):
        summed[group] += layer
    expected = reference_calibration.calibration_sums(
        summed.reshape(count, -1), truth.reshape(-1), 15, IGNORED
    )
    assert_alike(found, expected, count, 15)
    if np.array_equal(groups, np.arange(count)):
        alone = kernels.calibration_sums_of_scores(
            scores, *axes, truth, bins=15, ignore_index=IGNORED
        )
        np.testing.assert_array_equal(alone, found)
    # The twin's exponential rounds otherwise, so that a pixel may be in the next bin.
    twin = reference_calibration.calibration_sums_of_scores(
        scores, *axes, truth, 15, groups, IGNORED
    )
    np.testing.assert_allclose(found[-3:], twin[-3:], rtol=1e-5, atol=1e-4)


@compiled
@settings(max_examples=15)
@given(pictures())
def test_all_variants_count_scores_alike(drawn):
    from pixelwise.kernels import _native

    scores, (rows, columns), truth, groups = drawn
    count = int(groups.max()) + 1
    tables = (*rows.table(scores.shape[1]), *columns.table(scores.shape[2]))
    answers = []
    for variant in _native.variants():
        sums = np.empty((1 + count) * 45 + 3)
        line = (scores, *tables, groups.astype(np.int32), count, truth, True, IGNORED, 15, sums, 1)
        assert not _native.calibration_sums_of_scores(*line, variant)
        answers.append(sums)
    for sums in answers[1:]:
        assert_alike(sums, answers[0], count, 15)


@pytest.mark.parametrize("place", [0, 16, 1030, 1039])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "1 values are NaN"),
        (-0.5, "values from -0.5 to"),
        (3e38, "expected 0..1"),
        (np.inf, "to inf"),
        (0.9, "sums over the classes"),
    ],
)
def test_what_is_no_probability_is_refused_wherever_it_is(place, value, said):
    values = np.full((4, 1040), 0.25, np.float32)
    values[2, place] = value
    truth = np.zeros(1040, np.uint8)
    for ids in (truth, np.full_like(truth, IGNORED)):
        with pytest.raises(ArrayError, match=said):
            kernels.calibration_sums(values, ids, bins=15, ignore_index=IGNORED)


def test_other_ids_are_refused():
    values = np.full((4, 20), 0.25, np.float32)
    for wrong in (4, -1, 2**40):
        truth = np.zeros(20, np.int64)
        truth[-1] = wrong
        with pytest.raises(ArrayError, match=rf"ids \[{wrong}\], expected 0 … 3"):
            kernels.calibration_sums(values, truth, bins=15)
    with pytest.raises(ArrayError, match=r"truth \[19\]"):
        kernels.calibration_sums(values, truth[1:], bins=15)
    with pytest.raises(UsageError, match="bins"):
        kernels.calibration_sums(values, truth, bins=0)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 1200), st.sampled_from(TYPES))
def test_thresholds_are_counted_as_by_the_twin(seed, size, kind):
    rng = np.random.default_rng(seed)
    values = (1 / (1 + np.exp(-rng.normal(0, 8, size)))).astype(np.float32)
    edges = reference_calibration.threshold_edges().astype(np.float32)
    values[::3] = rng.choice([*edges, 1.0], len(values[::3]))
    truth = rng.choice([0, 1, IGNORED], size).astype(kind)
    found = kernels.threshold_counts(values, truth, ignore_index=IGNORED)
    twin = reference_calibration.threshold_counts(values, truth, IGNORED)
    np.testing.assert_array_equal(found, twin)
    assert found.sum() == np.count_nonzero(truth != IGNORED)
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        for variant in _native.variants():
            counts = np.empty_like(found)
            line = (values, truth.astype(np.int32), True, IGNORED, counts)
            assert not _native.threshold_counts(*line, variant)
            np.testing.assert_array_equal(counts, found)


@pytest.mark.parametrize(
    ("value", "id_", "said"),
    [
        (np.nan, 0, "1 values are NaN"),
        (1.5, 0, "values from 0.5 to 1.5"),
        (-0.1, 1, "values from -0.1"),
        (0.5, 2, r"ids \[2\], expected 0 … 1"),
        (0.5, -1, r"ids \[-1\]"),
    ],
)
def test_what_has_no_threshold_is_refused(value, id_, said):
    values, truth = np.full(30, 0.5, np.float32), np.zeros(30, np.int64)
    values[-1], truth[-1] = value, id_
    with pytest.raises(ArrayError, match=said):
        kernels.threshold_counts(values, truth)
