from __future__ import annotations

from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import cells as door


def twin(*arguments, **options):
    with mock.patch.object(door, "COMPILED", False):
        return kernels.count_cells(*arguments, **options)


WAYS = {"compiled": kernels.count_cells, "twin": twin}


def edges_of(random, length):
    inner = np.sort(random.integers(0, length + 1, random.integers(0, 6)))
    return np.concatenate([[inner[0] if len(inner) else 0], inner, [length]])


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 60)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    threads=st.sampled_from([1, 3]),
)
def test_every_cell_is_counted_by_itself(way, seed, shape, dtype, threads):
    random = np.random.default_rng(seed)
    labels = np.repeat(random.integers(0, 5, shape), 3, axis=1)[:, : shape[1]].astype(dtype)
    rows, columns = edges_of(random, shape[0]), edges_of(random, shape[1])
    found = WAYS[way](labels, rows, columns, 5, threads=threads)
    assert found.dtype == np.int64
    for y, (top, bottom) in enumerate(pairwise(rows)):
        for x, (left, right) in enumerate(pairwise(columns)):
            cell = labels[top:bottom, left:right]
            assert found[y, x].tolist() == [(cell == label).sum() for label in range(5)]


def test_a_large_map_in_threads():
    labels = np.random.default_rng(0).integers(0, 300, (700, 900)).astype(np.uint16)
    edges = np.array([0, 100, 350, 700]), np.array([5, 640, 900])
    found = kernels.count_cells(labels, *edges, 300, threads=2)
    np.testing.assert_array_equal(found, twin(labels, *edges, 300))


@pytest.mark.parametrize("way", WAYS)
def test_a_label_without_a_class_is_refused_where_it_counts(way):
    labels = np.zeros((4, 20), np.uint8)
    labels[3, 19] = 7
    assert WAYS[way](labels, [0, 3], [0, 20], 2).sum() == 60
    with pytest.raises(ArrayError, match="7"):
        WAYS[way](labels, [0, 2, 4], [0, 20], 2)


@pytest.mark.parametrize("edges", [[0], [[0, 4]], [0, 5], [-1, 4], [3, 2], [0.0, 4.0], ["a", "b"]])
def test_edges_that_are_none(edges):
    labels = np.zeros((4, 4), np.uint8)
    for both in ((edges, [0, 4]), ([0, 4], edges)):
        with pytest.raises(ArrayError, match="whole numbers that never fall"):
            kernels.count_cells(labels, *both, 1)


def test_other_arguments_that_cannot_be():
    with pytest.raises(ArrayError, match="wrong type"):
        kernels.count_cells(np.zeros((4, 4)), [0, 4], [0, 4], 1)
    with pytest.raises(UsageError):
        kernels.count_cells(np.zeros((4, 4), np.uint8), [0, 4], [0, 4], 0)
