from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.augment import Augmented, ClassMix, CutMix, paste
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import ArrayError, UsageError

FEW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def sample_of(rng, height, width, kind="multi_class"):
    """A sample whose image holds its ids."""
    mask = rng.choice([1, 4, 5, 9, 255], (height, width)).astype(np.uint8)
    image = np.stack([mask, mask + 1.0]).astype(np.float32)
    if kind == "multi_class":
        return Augmented(image, MultiClassTarget(mask))
    if kind == "instance":
        return Augmented(image, InstanceTarget(mask, (mask % 5).astype(np.int32)))
    layers = np.stack([mask == number for number in (1, 4, 5, 9)])
    return Augmented(image, MultiLabelTarget(layers, mask == 255))


@FEW
@given(SEEDS, st.integers(1, 40), st.integers(1, 40))
def test_a_cut_is_a_rectangle_of_its_share(seed, height, width):
    rng = np.random.default_rng(seed)
    target = sample_of(rng, height, width).target
    region = CutMix(0.2, 0.5, stretch=1.5, chance=1).region(target, rng, ignore_index=255)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    assert region.sum() == len(rows) * len(columns) > 0
    assert np.ptp(rows) + 1 == len(rows)
    assert np.ptp(columns) + 1 == len(columns)
    if min(height, width) >= 20:
        assert 0.15 < region.mean() < 0.57


@FEW
@given(SEEDS, st.integers(1, 20), st.integers(1, 20), st.sampled_from(["multi_class", "instance"]))
def test_half_of_the_classes_are_taken_whole(seed, height, width, kind):
    rng = np.random.default_rng(seed)
    target = sample_of(rng, height, width, kind).target
    region = ClassMix(chance=1).region(target, rng, ignore_index=255)
    present = set(np.unique(target.mask)) - {255}
    if not present:
        assert region is None
        return
    taken = set(np.unique(target.mask[region]))
    assert len(taken) == (len(present) + 1) // 2
    assert taken <= present
    np.testing.assert_array_equal(region, np.isin(target.mask, list(taken)))


def test_ignored_pixels_of_layers_are_not_taken():
    ignore = np.zeros((6, 6), bool)
    ignore[2:] = True
    target = MultiLabelTarget(np.ones((3, 6, 6), bool), ignore)
    region = ClassMix(1).region(target, np.random.default_rng(0), ignore_index=255)
    np.testing.assert_array_equal(region, ~ignore)


def test_every_class_is_taken_at_times():
    rng = np.random.default_rng(0)
    target = sample_of(rng, 9, 9).target
    taken = [
        set(np.unique(target.mask[ClassMix(1).region(target, rng, ignore_index=255)]))
        for _ in range(60)
    ]
    assert set().union(*taken) == {1, 4, 5, 9}


@FEW
@given(
    SEEDS,
    st.sampled_from(["multi_class", "instance", "multi_label"]),
    st.sampled_from([CutMix(chance=1), ClassMix(chance=1)]),
)
def test_pixels_and_labels_move_together_and_nothing_is_invented(seed, kind, mix):
    rng = np.random.default_rng(seed)
    first, second = (sample_of(rng, 12, 15, kind) for _ in range(2))
    before = first.image.copy()
    region = mix.region(second.target, rng, ignore_index=255)
    mixed = paste(first, second, region)
    np.testing.assert_array_equal(first.image, before)
    np.testing.assert_array_equal(mixed.image, np.where(region, second.image, first.image))
    ids = mixed.image[0]
    if kind == "multi_label":
        layers = [ids == number for number in (1, 4, 5, 9)]
        np.testing.assert_array_equal(mixed.target.layers, layers)
        np.testing.assert_array_equal(mixed.target.ignore, ids == 255)
        return
    np.testing.assert_array_equal(mixed.target.mask, ids)
    if kind == "instance":
        objects = mixed.target.instances
        assert not set(np.unique(objects[region])) - {0} & set(np.unique(objects[~region]))
        np.testing.assert_array_equal(objects == 0, ids % 5 == 0)


@pytest.mark.parametrize("mix", [CutMix(chance=0), ClassMix(chance=0)])
def test_a_chance_of_0_is_never(mix):
    rng = np.random.default_rng(0)
    target = sample_of(rng, 9, 9).target
    assert all(mix.region(target, rng, ignore_index=255) is None for _ in range(20))


def test_the_same_generator_gives_the_same_region():
    target = sample_of(np.random.default_rng(3), 30, 30).target
    for mix in (CutMix(chance=1), ClassMix(chance=1)):
        regions = [mix.region(target, np.random.default_rng(4), ignore_index=255) for _ in range(2)]
        np.testing.assert_array_equal(*regions)


def test_samples_that_are_not_alike_are_refused():
    rng = np.random.default_rng(0)
    first = sample_of(rng, 4, 4)
    for second in (sample_of(rng, 4, 5), sample_of(rng, 4, 4, "instance")):
        with pytest.raises(ArrayError, match="alike"):
            paste(first, second, np.ones(second.target.size, bool))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CutMix(low=0),
        lambda: CutMix(low=0.6, high=0.5),
        lambda: CutMix(stretch=9),
        lambda: ClassMix(chance=2),
    ],
)
def test_other_limits_are_refused(make):
    with pytest.raises(UsageError, match="limits"):
        make()
