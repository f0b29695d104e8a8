from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.stratify import stratify

FRACTIONS = np.array([0.7, 0.15, 0.15])


def groups_of(seed, count, classes=4):
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 6, (count, classes))
    pixels = pictures * random.integers(1, 2000, (count, classes))
    return pictures.max(axis=1) + random.integers(1, 4, count), pixels, pictures


def cost(samples, pixels, pictures, split_of):
    """The sum that is to be low, as the docstring has it."""
    total = 0.0
    columns = [samples, *pixels.T, *pictures.T]
    weights = [2 * pixels.shape[1]] + [1] * (len(columns) - 1)
    for column, weight in zip(columns, weights, strict=True):
        for split, fraction in enumerate(FRACTIONS):
            share = column[split_of == split].sum() / column.sum()
            total += weight * (share - fraction) ** 2 / fraction
    return total


@pytest.mark.parametrize("seed", range(6))
def test_few_groups_are_dealt_nearly_as_well_as_possible(seed):
    samples, pixels, pictures = groups_of(seed, 7)
    split_of = stratify(samples, pixels, pictures, fractions=FRACTIONS, seed=0)
    all_ways = (np.array(way) for way in itertools.product(range(3), repeat=7))
    best = min(cost(samples, pixels, pictures, way) for way in all_ways if len(set(way)) == 3)
    assert cost(samples, pixels, pictures, split_of) <= 1.25 * best + 1e-9


@given(seed=st.integers(0, 10**6), count=st.integers(3, 60))
def test_no_split_is_empty_and_the_seed_alone_decides(seed, count):
    given_groups = groups_of(seed, count)
    first = stratify(*given_groups, fractions=FRACTIONS, seed=seed)
    assert set(first.tolist()) == {0, 1, 2}
    assert first.tolist() == stratify(*given_groups, fractions=FRACTIONS, seed=seed).tolist()


def test_single_pictures_reach_their_shares():
    random = np.random.default_rng(1)
    pictures = (random.random((2000, 8)) < np.linspace(0.05, 0.9, 8)).astype(np.int64)
    pixels = pictures * random.integers(1, 10_000, pictures.shape)
    split_of = stratify(np.ones(2000, np.int64), pixels, pictures, fractions=FRACTIONS, seed=3)
    assert np.abs(np.bincount(split_of) / 2000 - FRACTIONS).max() < 0.002
    for counts in (pixels, pictures):
        shares = np.stack([counts[split_of == s].sum(axis=0) for s in range(3)]) / counts.sum(
            axis=0
        )
        assert np.abs(shares - FRACTIONS[:, None]).max() < 0.02


def test_a_rare_class_is_in_every_split_that_it_can_reach():
    pictures = np.zeros((400, 2), np.int64)
    pictures[:, 0] = 1
    pictures[:3, 1] = 1
    split_of = stratify(
        np.ones(400, np.int64), pictures * 100, pictures, fractions=np.full(3, 1 / 3), seed=0
    )
    assert sorted(split_of[:3].tolist()) == [0, 1, 2]


def test_other_seeds_give_other_splits():
    given_groups = groups_of(5, 300)
    ways = {tuple(stratify(*given_groups, fractions=FRACTIONS, seed=s)) for s in range(4)}
    assert len(ways) == 4


def test_groups_without_classes_are_dealt_by_size():
    nothing = np.zeros((10, 0), np.int64)
    split_of = stratify(np.full(10, 5), nothing, nothing, fractions=np.array([0.6, 0.4]), seed=0)
    assert np.bincount(split_of).tolist() == [6, 4]
