from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.metrics.surface
from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics import SurfaceDistances

CLASSES, IGNORED = 3, 255


@st.composite
def pairs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1), (1, 20), (20, 1), (2, 3), (14, 19)]))
    block = draw(st.sampled_from([1, 4, 30]))
    grid = np.ix_(*(np.arange(side) // block for side in shape))
    truth, prediction = (
        rng.integers(0, draw(st.integers(1, CLASSES)), shape)[grid] for _ in range(2)
    )
    truth[rng.random(shape)[grid] < draw(st.sampled_from([0, 0.2, 1.0]))] = IGNORED
    return truth, prediction


def surface_of(mask, spacing):
    wide = np.pad(mask, 1)
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.argwhere(mask & ~inner) * spacing


def by_all_pairs(truth, prediction, spacing):
    """float64 [4, C] from the distances between all surface pixels."""
    sums = np.zeros((4, CLASSES))
    for id_ in range(CLASSES):
        masks = [(ids == id_) & (truth != IGNORED) for ids in (truth, prediction)]
        true, found = (surface_of(mask, spacing) for mask in masks)
        if len(true) and len(found):
            apart = np.linalg.norm(true[:, None] - found[None], axis=2)
            there, back = apart.min(1), apart.min(0)
            sums[0, id_] = (there.sum() + back.sum()) / (len(there) + len(back))
            sums[1, id_] = max(np.percentile(there, 95), np.percentile(back, 95))
            sums[2, id_] = 1
        elif len(true) or len(found):
            sums[3, id_] = 1
    return sums


def test_public_names_are_sorted():
    assert pixelwise.metrics.surface.__all__ == ["SurfaceDistances", "SurfaceScores"]


@settings(max_examples=50)
@given(pairs(), st.sampled_from([(1.0, 1.0), (0.5, 2.25), (3, 0.1)]))
def test_distances_are_those_of_all_pairs(pair, spacing):
    metric = SurfaceDistances(CLASSES, ignore_index=IGNORED)
    metric.update(*pair, spacing=spacing)
    np.testing.assert_allclose(metric.class_counts, by_all_pairs(*pair, spacing), rtol=1e-12)


def test_known_distances():
    truth, prediction = np.zeros((2, 1, 9), np.uint8)
    truth[0, 2] = prediction[0, 5] = 1
    metric = SurfaceDistances(3)
    metric.update(truth, prediction, spacing=(9.0, 0.5))
    scores = metric.compute()
    assert scores.hausdorff_95[1] == scores.average_distance[1] == 1.5
    assert np.isnan([scores.hausdorff_95[2], scores.average_distance[2]]).all()
    assert scores.mean_average_distance == pytest.approx((1.5 + scores.average_distance[0]) / 2)
    assert scores.pictures.tolist() == [1, 1, 0]
    assert scores.one_sided.tolist() == [0, 0, 0]


def test_a_class_in_one_map_only_is_told_and_in_no_mean():
    there, nowhere = np.ones((4, 4), int), np.zeros((4, 4), int)
    metric = SurfaceDistances(2)
    metric.update(there, nowhere)
    scores = metric.compute()
    assert np.isnan([*scores.hausdorff_95, scores.mean_hausdorff_95]).all()
    assert scores.one_sided.tolist() == [1, 1]
    metric.update(there, there)
    scores = metric.compute()
    assert scores.hausdorff_95[1] == 0
    assert scores.pictures.tolist() == [0, 1]


def test_the_mean_is_over_pictures():
    metric = SurfaceDistances(2)
    for apart, size in ((2, 10), (4, 100)):
        truth, prediction = np.zeros((2, 1, size), int)
        truth[0, 0] = prediction[0, apart] = 1
        metric.update(truth, prediction)
    assert metric.compute().average_distance[1] == 3


@settings(max_examples=20)
@given(st.lists(pairs(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_neither_order_nor_merges_change_a_bit(given_pairs, random):
    def counted(pairs_of_one):
        metric = SurfaceDistances(CLASSES, ignore_index=IGNORED)
        for pair in pairs_of_one:
            metric.update(*pair, spacing=(0.1, 0.7))
        return metric

    expected = counted(given_pairs).class_counts
    shuffled = random.sample(given_pairs, len(given_pairs))
    np.testing.assert_array_equal(counted(shuffled).class_counts, expected)
    middle = len(given_pairs) // 2
    merged = counted(shuffled[middle:])
    merged.merge(counted(shuffled[:middle]))
    np.testing.assert_array_equal(merged.class_counts, expected)


def test_batches_are_pictures_one_by_one():
    truth, prediction = np.random.default_rng(0).integers(0, CLASSES, (2, 3, 6, 7))
    whole, alone = SurfaceDistances(CLASSES), SurfaceDistances(CLASSES)
    whole.update(truth, prediction)
    for pair in zip(truth, prediction, strict=True):
        alone.update(*pair)
    np.testing.assert_array_equal(whole.class_counts, alone.class_counts)


def test_what_cannot_be_measured_is_refused():
    ids = np.zeros((2, 2), int)
    with pytest.raises(UsageError, match="height and width of a pixel"):
        SurfaceDistances(2).update(ids, ids, spacing=(1, 0))
    with pytest.raises(ArrayError, match="needs pictures"):
        SurfaceDistances(2).update(ids[0], ids[0])
    with pytest.raises(UsageError, match="classes"):
        SurfaceDistances(0)
    with pytest.raises(ArrayError, match="one protocol can be merged"):
        SurfaceDistances(2).merge(SurfaceDistances(3))
