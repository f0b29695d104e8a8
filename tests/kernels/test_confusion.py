from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_metrics
from pixelwise.kernels.confusion import check_ids, check_pair

TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64]
NATIVE_TYPES = [np.uint8, np.uint16, np.int32, np.int64]


@st.composite
def pairs(draw, types):
    """Truth and prediction in runs or as noise, of more and fewer pixels than a register holds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, size = draw(st.sampled_from([1, 2, 19, 100])), draw(st.integers(0, 400))
    lines = []
    for ids in (classes + 1, classes):
        line = rng.integers(0, ids, size)
        if draw(st.booleans()):
            line = line[np.arange(size) // draw(st.integers(1, 90))]
        lines.append(line.astype(draw(st.sampled_from(types))))
    return *lines, classes


def by_hand(truth, prediction, classes, ignored):
    counts = np.zeros((classes, classes), np.int64)
    for of_truth, found in zip(truth.tolist(), prediction.tolist(), strict=True):
        if of_truth != ignored:
            counts[of_truth, found] += 1
    return counts


@settings(max_examples=50)
@given(pairs(TYPES))
def test_every_pair_is_counted_once_in_every_type(pair):
    truth, prediction, classes = pair
    expected = by_hand(truth, prediction, classes, classes)
    found = kernels.confusion_counts(truth, prediction, classes, ignore_index=classes)
    np.testing.assert_array_equal(found, expected)
    twin = reference_metrics.confusion_counts(truth, prediction, classes, classes)
    np.testing.assert_array_equal(twin, expected)
    assert found.dtype == twin.dtype == np.int64


@pytest.mark.skipif(not kernels.COMPILED, reason="the variants are compiled")
@settings(max_examples=40)
@given(pairs(NATIVE_TYPES))
def test_all_variants_and_threads_count_alike(pair):
    from pixelwise.kernels import _native

    truth, prediction, classes = pair
    expected = by_hand(truth, prediction, classes, classes)
    for variant in _native.variants():
        counts = np.empty((classes, classes), np.int64)
        line = (truth, prediction, True, classes, counts)
        assert not _native.confusion_counts(*line, 1, variant)
        np.testing.assert_array_equal(counts, expected)


def test_threads_share_the_pixels():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 7, (2, 1100, 1000), np.uint8)
    one = kernels.confusion_counts(truth, prediction, 7, threads=1)
    np.testing.assert_array_equal(kernels.confusion_counts(truth, prediction, 7, threads=5), one)
    assert one.sum() == truth.size
    prediction[-1, -1] = 7
    with pytest.raises(ArrayError, match=r"prediction holds ids .*\n  ids \[7\]"):
        kernels.confusion_counts(truth, prediction, 7, threads=5)


def test_arrays_in_any_order_of_memory_are_read_in_theirs():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, (2, 31, 47)).astype(">i4")
    expected = kernels.confusion_counts(truth.astype("<i8"), prediction.astype("<i8"), 5)
    for change in (np.asfortranarray, np.transpose, lambda ids: ids[::-1, ::-1]):
        found = kernels.confusion_counts(change(truth), change(prediction), 5)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("ignored", [-1, 255, 300, -(2**40)])
def test_an_ignored_id_may_be_any_number(ignored):
    truth, prediction = np.array([0, 1, ignored]), np.array([0, 0, -7])
    found = kernels.confusion_counts(truth, prediction, 2, ignore_index=ignored)
    assert found.tolist() == [[1, 0], [1, 0]]
    narrow = kernels.confusion_counts(
        truth[:2].astype(np.uint8), prediction[:2], 2, ignore_index=ignored
    )
    assert narrow.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("kind", TYPES)
def test_an_id_outside_is_found_wherever_it_stands(kind):
    limit = int(np.iinfo(kind).max)
    for place in (0, 63, 64, 130):
        for side in (0, 1):
            lines = np.zeros((2, 131), kind)
            lines[side, place] = limit
            with pytest.raises(ArrayError, match=rf"outside the class table\n  ids \[{limit}\]"):
                kernels.confusion_counts(*lines, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": 0}, "classes"),
        ({"classes": 65_536}, "classes"),
        ({"threads": -1}, "threads"),
        ({"ignore_index": 0.5}, "ignore_index"),
        ({"ignore_index": 2**63}, "ignore_index"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments, said):
    ids = np.zeros(4, np.uint8)
    with pytest.raises(UsageError, match=said):
        kernels.confusion_counts(ids, ids, **{"classes": 2, **arguments})


def test_pairs_that_do_not_fit_are_refused():
    ids = np.zeros(4, np.uint8)
    with pytest.raises(ArrayError, match="differ in size"):
        check_pair(ids, ids[:3])
    with pytest.raises(ArrayError, match="truth must hold integer class ids"):
        check_pair(ids > 0, ids)
    with pytest.raises(ArrayError, match=r"ids \[0\], expected 0 … 2 or 0 \(ignored\)|outside"):
        check_ids(ids + 3, ids, 3, 0)
    check_ids(ids, ids + 9, 3, 0)


@pytest.mark.skipif(not kernels.COMPILED, reason="the guards are compiled")
def test_the_compiled_loop_guards_its_memory():
    from pixelwise.kernels import _native

    ids, counts = np.zeros(4, np.uint8), np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match="different sizes"):
        _native.confusion_counts(ids, ids[:3], False, 0, counts, 1)
    with pytest.raises(ValueError, match="a count for each pair"):
        _native.confusion_counts(ids, ids, False, 0, np.zeros((2, 3), np.int64), 1)
    with pytest.raises(ValueError, match="variant"):
        _native.confusion_counts(ids, ids, False, 0, counts, 1, "none")
