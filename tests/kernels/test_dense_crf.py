from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_crf

module = importlib.import_module("pixelwise.kernels.dense_crf")


@st.composite
def cases(draw):
    """Scores, an image and the pixels that count."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    classes, bands = draw(st.sampled_from([1, 2, 4, 5, 9, 17])), draw(st.integers(1, 4))
    scores = rng.normal(size=(classes, height, width)).astype(np.float32)
    image = rng.integers(0, 256, (height, width, bands), np.uint8)
    if draw(st.booleans()):
        image = (image / 7 - 4).astype(np.float32)
    keep = rng.random((height, width)) < draw(st.sampled_from([0, 0.7, 1]))
    return scores, image, keep


def exact(scores, matrices, keep, iterations):
    """Mean field with whole matrices [N, N], of j by i, and their weights."""
    counts = keep.ravel().astype(float)
    total = np.zeros((keep.size, keep.size))
    for weight, matrix in matrices:
        sums = counts @ matrix
        factors = np.where(counts > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1)), 0)
        total += weight * factors[:, None] * matrix * factors
    unary = scores.reshape(len(scores), -1).astype(float)

    def softmax(values):
        terms = np.exp(values - values.max(0))
        return terms / terms.sum(0)

    found = softmax(unary)
    for _ in range(iterations):
        found = softmax(unary + (found * counts) @ total)
    return found.reshape(scores.shape)


def gaussian(features):
    return np.exp(-0.5 * ((features[:, None] - features) ** 2).sum(-1))


@settings(max_examples=50, deadline=None)
@given(cases(), st.integers(0, 6), st.sampled_from([(10, 3), (0, 3), (4, 0), (0, 0)]))
def test_the_twin_gives_the_same(case, iterations, weights):
    scores, image, keep = case
    colour_weight, smooth_weight = weights
    found = kernels.dense_crf(
        scores,
        image,
        iterations=iterations,
        colour_weight=colour_weight,
        smooth_weight=smooth_weight,
        keep=keep,
    )
    features, taps = module._features(image, 80, 13), module._taps(3, max(keep.shape))
    twin = reference_crf.mean_field(scores, features, taps, weights, iterations, keep)
    np.testing.assert_allclose(found, twin, atol=1e-4)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_smoothing_is_that_of_all_pairs(case):
    scores, image, keep = case
    places = np.stack(np.mgrid[: keep.shape[0], : keep.shape[1]], -1).reshape(-1, 2)
    expected = exact(scores, [(3, gaussian(places / 2))], keep, 5)
    found = kernels.dense_crf(scores, image, colour_weight=0, smooth_deviation=2, keep=keep)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(cases())
def test_colour_is_the_matrix_of_the_lattice(case):
    scores, image, keep = case
    features = module._features(image, 20, 60).reshape(keep.size, -1)
    matrix = reference_crf.PermutohedralLattice.of(features).filter(np.eye(keep.size))
    expected = exact(scores, [(5, matrix)], keep, 5)
    found = kernels.dense_crf(
        scores,
        image,
        colour_weight=5,
        colour_deviation=60,
        position_deviation=20,
        smooth_weight=0,
        keep=keep,
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6, 7])
def test_the_lattice_is_nearly_the_gaussian(dimensions):
    features = np.random.default_rng(0).normal(size=(400, dimensions)) * 2
    matrix = reference_crf.PermutohedralLattice.of(features).filter(np.eye(400))
    scale = np.sqrt(np.diag(matrix))
    normal = matrix / scale / scale[:, None]
    assert np.corrcoef(normal.ravel(), gaussian(features).ravel())[0, 1] > 0.97


def test_labels_follow_the_colours_of_the_picture():
    rng = np.random.default_rng(0)
    truth = np.arange(60) // 20 * np.ones((40, 1), int)
    image = np.array([[30, 40, 50], [120, 110, 90], [220, 10, 200]], np.uint8)[truth]
    scores = (rng.normal(size=(3, 40, 60)) + 1.2 * (truth == np.arange(3)[:, None, None])).astype(
        np.float32
    )
    before = (scores.argmax(0) == truth).mean()
    features = module._features(image, 80, 13).reshape(truth.size, -1).astype(float)
    expected = exact(scores, [(10, gaussian(features))], truth >= 0, 5).argmax(0)
    after = kernels.dense_crf(scores, image, smooth_weight=0).argmax(0)
    assert before < 0.8
    assert (after == truth).mean() == 1
    np.testing.assert_array_equal(after, expected)


def test_what_does_not_count_changes_nothing():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 20, 30)).astype(np.float32)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    keep = rng.random((20, 30)) < 0.8
    other = np.where(keep, scores, 9 * rng.normal(size=scores.shape)).astype(np.float32)
    found, of_other = (kernels.dense_crf(each, image, keep=keep) for each in (scores, other))
    np.testing.assert_array_equal(found[:, keep], of_other[:, keep])
    terms = np.exp(scores - scores.max(0))
    np.testing.assert_allclose(found[:, ~keep], (terms / terms.sum(0))[:, ~keep], atol=1e-6)


@pytest.mark.skipif(not kernels.COMPILED, reason="the variants are compiled")
@pytest.mark.parametrize("classes", [3, 7, 40])
def test_threads_and_variants_give_the_same_bits(classes):
    from pixelwise.kernels import _native

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(classes, 70, 90)).astype(np.float32)
    image = rng.integers(0, 256, (70, 90, 3), np.uint8)
    features, taps = module._features(image, 80, 13).reshape(-1, 5), module._taps(3, 90)
    keep = np.ones(70 * 90, np.uint8)
    expected = kernels.dense_crf(scores, image, threads=1)
    for variant in _native.variants():
        out = np.empty_like(scores)
        _native.mean_field(scores, features, taps, 10.0, 3.0, 5, keep, out, 3, variant)
        np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_array_equal(kernels.dense_crf(scores, image, threads=3), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iterations": -1}, "iterations"),
        ({"colour_deviation": 0}, "colour_deviation"),
        ({"position_deviation": 1e9}, "position_deviation"),
        ({"smooth_deviation": np.nan}, "smooth_deviation"),
        ({"colour_weight": -1}, "colour_weight"),
        ({"smooth_weight": 1e9}, "smooth_weight"),
        ({"colour_deviation": 0.001}, "too many deviations wide"),
    ],
)
def test_parameters_have_limits(options, said):
    image = np.full((3, 4, 3), 255, np.uint8)
    with pytest.raises(UsageError, match=said):
        kernels.dense_crf(np.zeros((2, 3, 4), np.float32), image, **options)


@pytest.mark.parametrize(
    ("scores", "image", "keep", "said"),
    [
        (np.zeros((2, 3, 4)), np.zeros((3, 4, 3), np.uint8), None, "scores has the wrong type"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((4, 3, 3), np.uint8), None, "does not go with"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((3, 4, 31), np.uint8), None, "at most 30 bands"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((3, 4, 3)), None, "image has the wrong type"),
        (np.full((2, 3, 4), np.nan, "f4"), np.zeros((3, 4, 3), np.uint8), None, "no number"),
        (np.full((2, 3, 4), 1e7, "f4"), np.zeros((3, 4, 3), np.uint8), None, "no number"),
        (np.zeros((2, 3, 4), "f4"), np.full((3, 4, 3), np.inf, "f4"), None, "no number"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((3, 4, 3), "u1"), np.ones((4, 3), bool), "another"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((3, 4, 3), "u1"), np.ones((3, 4)), "keep has"),
    ],
)
def test_other_arrays_are_refused(scores, image, keep, said):
    with pytest.raises(ArrayError, match=said):
        kernels.dense_crf(scores, image, keep=keep)


def test_a_piece_that_knows_its_place_gives_what_the_whole_gives():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 60, 70)).astype(np.float32)
    image = rng.integers(0, 256, (60, 70, 3), np.uint8)
    part = np.s_[13:, 17:]
    numbers = {"colour_deviation": 60, "position_deviation": 3, "smooth_weight": 0, "iterations": 1}
    whole = kernels.dense_crf(scores, image, **numbers)[:, 13:, 17:]

    def differs(**origin):
        piece = kernels.dense_crf(scores[:, *part], image[part], **numbers, **origin)
        return np.abs(piece - whole)[:, 15:, 15:].max()

    assert differs(origin=(13, 17)) < 1e-3 < differs()
    with pytest.raises(UsageError, match="origin"):
        differs(origin=(-1, 0))
