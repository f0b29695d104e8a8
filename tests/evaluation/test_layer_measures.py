from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.evaluation.layer_measures import (
    LayerOverlaps,
    PixelPrecision,
    TagPrecision,
    bins_joined,
    joined_for,
)
from pixelwise.evaluation.layers import JudgedLayers, StoredAnswer
from pixelwise.metrics import tag_precision


def pictures(seed, count=6, classes=2):
    random = np.random.default_rng(seed)
    made = []
    for place in range(count):
        scores = random.random((classes, 6, 5), np.float32)
        truth = random.random(scores.shape) < scores**2
        truth[0] &= place % 3 > 0
        answer = StoredAnswer(scores >= np.float32(0.5), scores)
        channels = np.arange(classes)
        ignore = random.random((6, 5)) < 0.1
        made.append(JudgedLayers(place, f"p{place}", truth, ignore, None, answer, channels))
    return made


def counts_of(measure, judged):
    return np.stack([measure.counts(each) for each in judged])


@pytest.mark.parametrize(
    "measure", [LayerOverlaps((0.5, 0.5)), PixelPrecision(), PixelPrecision(4), TagPrecision()]
)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_figures_are_the_same_in_any_order_of_the_pictures(measure, seed):
    judged = pictures(seed)
    order = np.random.default_rng(seed).permutation(len(judged))
    counts = counts_of(measure, judged)
    whole = [
        measure.resampled(own, measure.figures, None).whole() for own in (counts, counts[order])
    ]
    np.testing.assert_allclose(*whole, rtol=1e-12)


def test_figures_of_pictures_as_one_are_those_of_their_counts_added_up():
    judged = pictures(4)
    parts = [each.answer.masks for each in judged], [each.answer.probabilities for each in judged]
    masks, scores = (np.concatenate(part, axis=1) for part in parts)
    joined = JudgedLayers(
        place=0,
        name="all",
        truth=np.concatenate([each.truth for each in judged], axis=1),
        ignore=np.concatenate([each.ignore for each in judged]),
        image=None,
        answer=StoredAnswer(masks, scores),
        channels=np.arange(2),
    )
    for measure in (LayerOverlaps((0.5, 0.5)), PixelPrecision()):
        own = counts_of(measure, judged).sum(0)
        np.testing.assert_array_equal(own, measure.counts(joined))


def test_tags_go_by_the_highest_probability():
    judged = pictures(5)
    measure = TagPrecision()
    counts = counts_of(measure, judged)
    found = measure.resampled(counts, measure.figures, None).whole()
    kept = [~each.ignore for each in judged]
    scores = [
        each.answer.probabilities[:, own].max(1) for each, own in zip(judged, kept, strict=True)
    ]
    present = [each.truth[:, own].any(1) for each, own in zip(judged, kept, strict=True)]
    expected = tag_precision(np.stack(scores), np.stack(present))
    np.testing.assert_allclose(found[1:], expected)
    assert found[0] == pytest.approx(expected.mean())
    chosen = measure.resampled(counts, measure.figures[1:], None)
    assert chosen.whole().shape == (2,)
    assert chosen.without_each().shape == (6, 2)
    assert chosen.drawn(np.ones((3, 6), int)).shape == (3, 2)


def test_the_words_say_what_decides_and_how_fine_the_bins_are():
    nothing = float("nan")
    assert "threshold of probability" in LayerOverlaps((0.5,)).told
    assert "one of each" in LayerOverlaps((nothing,), exclusive=True).told
    assert "masks say" in LayerOverlaps((nothing,)).told
    assert "1,472 bins, 32 for each doubling" in PixelPrecision().told
    assert "46 bins, 1 for each doubling" in PixelPrecision(32).told


def test_many_pictures_are_counted_in_fewer_bins():
    assert joined_for(500, 20) == 1
    assert joined_for(10_000, 20) == 32
    assert joined_for(10**7, 80) == 32
    counts = np.random.default_rng(0).integers(0, 9, (3, 2, 1472))
    joined = bins_joined(counts, 32)
    assert joined.shape == (3, 2, 46)
    np.testing.assert_array_equal(joined[..., 23:].sum(-1), counts[..., 736:].sum(-1))
