from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_guided


@st.composite
def cases(draw):
    """Values, a guide, a radius and the pixels that count."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    bands = draw(st.sampled_from([1, 2, 3, 5]))
    values = rng.normal(size=(draw(st.integers(1, 4)), height, width)).astype(np.float32)
    guide = rng.integers(0, 256, (height, width, bands), np.uint8)
    if draw(st.booleans()):
        guide = (guide / 60).astype(np.float32)
    keep = rng.random((height, width)) < draw(st.sampled_from([0, 0.6, 1]))
    return values, guide, draw(st.integers(0, 20)), keep


def by_definition(values, guide, radius, smoothing, keep):
    """Every window by itself: least squares with a penalty on the slope."""
    size, bands = keep.shape, guide.shape[2]
    guide = guide.astype(float)
    total, windows = np.zeros(size), np.zeros(size)
    for y, x in zip(*np.nonzero(keep), strict=True):
        window = np.s_[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        inside = keep[window]
        colours, wanted = guide[window][inside], values[window][inside].astype(float)
        centred = colours - colours.mean(0)
        penalty = smoothing * len(wanted) * np.eye(bands)
        slope = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (wanted - wanted.mean()))
        told = guide[window] @ slope + wanted.mean() - colours.mean(0) @ slope
        total[window] += np.where(inside, told, 0)
        windows[window] += inside
    return np.where(keep, total / np.maximum(windows, 1), values)


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1e-3, 0.1, 10]))
def test_values_follow_the_definition_and_the_twin(case, smoothing):
    values, guide, radius, keep = case
    scaled = guide / np.float32(255) if guide.dtype == np.uint8 else guide
    expected = [by_definition(each, scaled, radius, smoothing, keep) for each in values]
    found = kernels.guided_filter(values, guide, radius=radius, smoothing=smoothing, keep=keep)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    twin = reference_guided.guided_filter(values, scaled, radius, smoothing, keep)
    np.testing.assert_allclose(found, twin, atol=2e-5)


def test_values_take_the_edge_of_the_guide():
    guide = np.zeros((40, 40, 3), np.uint8)
    guide[:, 20:] = (200, 90, 30)
    values = np.zeros((1, 40, 40), np.float32)
    values[:, :, 23:] = 1
    found = kernels.guided_filter(values, guide, radius=8, smoothing=1e-4)[0]
    assert found[20, 18:22].round(2).tolist() != values[0, 20, 18:22].tolist()
    assert abs(np.diff(found[20])).argmax() == 19


def test_without_edges_it_is_a_box_twice_over():
    values = np.random.default_rng(0).normal(size=(1, 30, 30)).astype(np.float32)
    found = kernels.guided_filter(values, np.zeros((30, 30, 1), np.uint8), radius=2)
    counts = reference_guided.box_sums(np.ones((30, 30)), 2)
    box = reference_guided.box_sums(values[0].astype(float), 2) / counts
    expected = reference_guided.box_sums(box, 2) / counts
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_threads_change_nothing():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 90, 120)).astype(np.float32)
    guide = rng.integers(0, 256, (90, 120, 3), np.uint8)
    one, three = (kernels.guided_filter(values, guide, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    "options", [{"radius": -1}, {"radius": 1.5}, {"smoothing": 0}, {"smoothing": np.nan}]
)
def test_parameters_have_limits(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        kernels.guided_filter(np.zeros((1, 3, 4), "f4"), np.zeros((3, 4, 3), "u1"), **options)


@pytest.mark.parametrize(
    ("values", "guide", "keep", "said"),
    [
        (np.zeros((1, 3, 4)), np.zeros((3, 4, 3), "u1"), None, "wrong type"),
        (np.zeros((1, 3, 4), "f4"), np.zeros((4, 3, 3), "u1"), None, "does not go with"),
        (np.zeros((1, 3, 4), "f4"), np.zeros((3, 4, 17), "u1"), None, "at most 16 bands"),
        (np.full((1, 3, 4), np.nan, "f4"), np.zeros((3, 4, 3), "u1"), None, "values hold"),
        (np.zeros((1, 3, 4), "f4"), np.full((3, 4, 3), np.inf, "f4"), None, "guide hold"),
        (np.zeros((1, 3, 4), "f4"), np.zeros((3, 4, 3), "u1"), np.ones((4, 3), bool), "another"),
    ],
)
def test_other_arrays_are_refused(values, guide, keep, said):
    with pytest.raises(ArrayError, match=said):
        kernels.guided_filter(values, guide, keep=keep)
