from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import ArrayError
from pixelwise.metrics.bootstrap import interval_of
from pixelwise.metrics.tags import ResampledTags, tag_precision


def drawn(seed, pictures=12, classes=2, levels=5):
    """Scores of few levels, so that many are equal."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (pictures, classes)) / levels
    return scores, random.random((pictures, classes)) < 0.4


def by_definition(scores, present):
    """The sum of precision times the step of recall, threshold by threshold."""
    if not present.any():
        return np.nan
    total = recall = 0.0
    for threshold in np.unique(scores)[::-1]:
        found = scores >= threshold
        step = present[found].sum() / present.sum()
        total += (step - recall) * present[found].mean()
        recall = step
    return total


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_it_is_the_sum_over_thresholds_of_its_definition(seed):
    scores, present = drawn(seed)
    expected = [by_definition(*pair) for pair in zip(scores.T, present.T, strict=True)]
    np.testing.assert_allclose(tag_precision(scores, present), expected)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_picture_drawn_twice_counts_as_two(seed):
    scores, present = drawn(seed)
    times = np.random.default_rng(seed).integers(0, 3, (3, len(scores)))
    found = tag_precision(scores, present, times)
    for row, own in zip(found, times, strict=True):
        copies = np.repeat(np.arange(len(scores)), own)
        np.testing.assert_allclose(row, tag_precision(scores[copies], present[copies]))


def test_pictures_that_do_not_count_are_as_if_they_were_not_there():
    scores, present = drawn(3)
    more = np.concatenate([scores, np.full((2, 2), np.nan)])
    held = np.concatenate([present, np.ones((2, 2), bool)])
    np.testing.assert_array_equal(tag_precision(more, held), tag_precision(scores, present))


def test_intervals_are_over_pictures_or_groups():
    scores, present = drawn(8, pictures=20)
    groups = np.arange(20) // 2
    tags = ResampledTags(scores, present, groups)
    whole = tags.whole()
    np.testing.assert_allclose(whole[1:], tag_precision(scores, present))
    assert whole[0] == pytest.approx(whole[1:].mean())
    left_out = tags.without_each()
    assert left_out.shape == (10, 3)
    kept = groups != 4
    np.testing.assert_allclose(left_out[4, 1:], tag_precision(scores[kept], present[kept]))
    found = interval_of(tags)
    assert ((found.low < whole) & (whole < found.high)).all()
    assert found.units == 10


def test_without_pictures_or_without_the_class_there_is_no_figure():
    assert np.isnan(tag_precision(np.zeros((0, 2)), np.zeros((0, 2), bool))).all()
    assert np.isnan(tag_precision(np.full((2, 1), np.nan), np.ones((2, 1), bool))).all()
    assert np.isnan(tag_precision(np.ones((2, 1)), np.zeros((2, 1), bool))).all()


@pytest.mark.parametrize(
    ("scores", "present", "times"),
    [
        (np.zeros((3, 2)), np.zeros((2, 2), bool), None),
        (np.zeros((3, 2)), np.zeros((3, 2)), None),
        (np.zeros((3, 2)), np.zeros((3, 2), bool), np.ones((1, 4), int)),
    ],
)
def test_other_arrays_are_refused(scores, present, times):
    with pytest.raises(ArrayError, match="presence"):
        tag_precision(scores, present, times)
