from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.sampling import Aim, InOrder, Shuffled, Weighted, sample_generator, shard
from pixelwise.data.targets import (
    InstanceTarget,
    MultiClassTarget,
    MultiLabelTarget,
    layers_of,
)
from pixelwise.errors import ArrayError, UsageError

LENGTHS = st.integers(1, 60)


@given(LENGTHS, st.integers(0, 5), st.integers(0, 2**63))
def test_an_epoch_has_each_sample_once(length, epoch, seed):
    order = Shuffled().order(length, epoch, seed)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(length)) == InOrder().order(length, epoch, seed).tolist()


def test_epochs_and_seeds_differ_and_one_seed_repeats():
    orders = [Shuffled().order(50, epoch, seed).tolist() for epoch in (0, 1) for seed in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == Shuffled().order(50, 0, 0).tolist()


def test_global_random_numbers_are_neither_used_nor_changed():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = Shuffled().order(30, 0, 0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    np.testing.assert_array_equal(first, Shuffled().order(30, 0, 0))


def test_no_two_positions_epochs_or_seeds_draw_the_same_numbers():
    keys = [
        (seed, epoch, position) for seed in (0, 1) for epoch in range(4) for position in range(40)
    ]
    drawn = {sample_generator(*key).random() for key in keys}
    assert len(drawn) == len(keys)


@given(st.integers(0, 70), st.integers(1, 9))
def test_shards_hold_each_position_once(count, world):
    shards = [shard(count, rank, world, padded=False) for rank in range(world)]
    assert sorted(np.concatenate(shards)) == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@given(st.integers(1, 70), st.integers(1, 9))
def test_padded_shards_are_of_one_length_and_start_again_at_the_end(count, world):
    shards = [shard(count, rank, world, padded=True) for rank in range(world)]
    assert len({len(one) for one in shards}) == 1
    positions = sorted(np.concatenate(shards))
    assert positions == list(range(len(positions)))
    assert count <= len(positions) < count + world


def test_a_batch_of_all_ranks_is_the_batch_of_one_process():
    one = shard(24, 0, 1, padded=True).reshape(-1, 6)
    two = [shard(24, rank, 2, padded=True).reshape(-1, 3) for rank in range(2)]
    for batch, parts in zip(one, zip(*two, strict=True), strict=True):
        assert sorted(batch) == sorted(np.concatenate(parts))


def test_a_rank_beyond_the_world_is_refused():
    with pytest.raises(UsageError, match="rank"):
        shard(10, 2, 2, padded=True)


def counts_of(*held):
    """Pixel counts: one row per picture, the classes that it holds."""
    counts = np.zeros((len(held), 3), np.int64)
    for row, classes in enumerate(held):
        counts[row, list(classes)] = 9
    return counts


def test_factors_are_those_of_the_paper():
    weighted = Weighted(counts_of({0}, {0, 1}, *[{0}] * 98), threshold=0.25, power=0.5)
    expected = np.ones(100)
    expected[1] = (0.25 / 0.01) ** 0.5
    np.testing.assert_allclose(weighted.factors, expected)
    assert weighted.count(100) == 99 + 5


@given(
    st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=40),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.integers(0, 3),
)
def test_every_picture_comes_as_often_as_its_factor_says(held, threshold, power, epoch):
    weighted = Weighted(counts_of(*held), threshold, power)
    order = weighted.order(len(held), epoch, 11)
    assert len(order) == weighted.count(len(held))
    expected = weighted.factors * len(order) / weighted.factors.sum()
    times = np.bincount(order, minlength=len(held))
    assert (times >= 1).all()
    assert (np.abs(times - expected) < 1 + 1e-9).all()


def test_the_mean_over_epochs_is_the_factor():
    weighted = Weighted(counts_of({0}, {1}, {0, 2}, *[{0}] * 7), threshold=0.35, power=1)
    orders = [weighted.order(10, epoch, 0) for epoch in range(600)]
    times = np.mean([np.bincount(order, minlength=10) for order in orders], axis=0)
    expected = weighted.factors * weighted.count(10) / weighted.factors.sum()
    np.testing.assert_allclose(times, expected, atol=0.1)
    assert expected.max() > 3


def test_counts_of_another_data_set_are_refused():
    with pytest.raises(ArrayError, match="another data set"):
        Weighted(counts_of({0}, {1})).order(3, 0, 0)


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.5}, {"power": -1}])
def test_weights_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        Weighted(counts_of({0}), **options)


def test_counts_that_are_no_table_are_refused():
    with pytest.raises(ArrayError, match=r"\[N, C\]"):
        Weighted(np.zeros(3, np.int64))


PLAZA = np.zeros((200, 300), np.uint8)
PLAZA[50:120, 60:160] = 4
PLAZA[10, 20] = 9


@pytest.fixture
def classes(make_table):
    return make_table(0, 4, 9)


def targets_of(mask, classes):
    return [
        MultiClassTarget(mask),
        MultiClassTarget(mask.astype(np.uint16)),
        InstanceTarget(mask, np.zeros(mask.shape, np.int32)),
        layers_of(mask, classes),
    ]


@given(seed=st.integers(0, 2**32))
def test_the_point_is_of_a_wanted_class(make_table, seed):
    classes = make_table(0, 4, 9)
    aim = Aim((4, 9), (1.0, 1.0), chance=1)
    for target in targets_of(PLAZA, classes):
        y, x = aim.point(target, classes, np.random.default_rng(seed))
        assert PLAZA[y, x] in {4, 9}


def test_a_single_pixel_is_found_where_nothing_else_is_wanted(classes):
    aim = Aim((9,), (1.0,), chance=1)
    for target in targets_of(PLAZA, classes):
        for seed in range(20):
            assert aim.point(target, classes, np.random.default_rng(seed)) == (10, 20)


def test_no_point_without_a_wanted_class(make_table):
    classes = make_table(0, 4, 9, 300)
    for target in targets_of(PLAZA, classes):
        aim = Aim((300,), (1.0,), chance=1)
        assert aim.point(target, classes, np.random.default_rng(0)) is None


def test_ignored_pixels_of_layers_are_not_aimed_at(classes):
    layers = layers_of(PLAZA, classes).layers
    target = MultiLabelTarget(layers, PLAZA == 4)
    aim = Aim((4,), (1.0,), chance=1)
    assert aim.point(target, classes, np.random.default_rng(0)) is None


def test_points_cover_the_whole_class_and_classes_come_by_weight(classes):
    mask = PLAZA.copy()
    mask[150:, :] = 9
    aim = Aim((4, 9), (3.0, 1.0), chance=1)
    generator = np.random.default_rng(1)
    points = [aim.point(MultiClassTarget(mask), classes, generator) for _ in range(2000)]
    ids = np.array([mask[point] for point in points])
    assert abs((ids == 4).mean() - 0.75) < 0.04
    in_four = np.array(points)[ids == 4]
    assert in_four.min(axis=0).tolist() <= [52, 64]
    assert in_four.max(axis=0).tolist() >= [117, 155]


def test_the_chance_says_how_many_crops_are_aimed(classes):
    aim = Aim((4,), (1.0,), chance=0.3)
    generator = np.random.default_rng(1)
    points = [aim.point(MultiClassTarget(PLAZA), classes, generator) for _ in range(2000)]
    assert abs(np.mean([point is not None for point in points]) - 0.3) < 0.04


def test_rare_classes_weigh_more_and_absent_ones_nothing(classes):
    aim = Aim.at_rare(np.array([[50, 0, 1], [49, 0, 0]]), classes, power=0.5, chance=0.2)
    assert aim.wanted == (0, 9)
    np.testing.assert_allclose(aim.weights[1] / aim.weights[0], 99**0.5)
    assert aim.chance == 0.2


def test_counts_that_do_not_fit_the_table_are_refused(classes):
    with pytest.raises(ArrayError, match="pixels of each class"):
        Aim.at_rare(np.array([1, 2]), classes)
    with pytest.raises(ArrayError, match="pixels of each class"):
        Aim.at_rare(np.zeros((4, 3), np.int64), classes)


@pytest.mark.parametrize(
    "fields", [((), (), 1), ((1, 2), (1.0,), 1), ((1,), (0.0,), 1), ((1,), (1.0,), 1.5)]
)
def test_aims_that_contradict_themselves_are_refused(fields):
    with pytest.raises(UsageError, match="an aim is"):
        Aim(*fields)


@pytest.mark.parametrize("counts", [[1, 2], None, np.array([1, 2]), np.zeros((0, 3))], ids=repr)
def test_counts_of_another_kind_are_shown_and_where_to_get_them(counts):
    with pytest.raises(ArrayError, match="a row for each picture") as caught:
        Weighted(counts)
    assert caught.value.got
    assert "statistics.counts" in caught.value.fix
