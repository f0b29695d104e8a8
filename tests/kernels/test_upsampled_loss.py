from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import Axis, LossRule, reference_loss, upsampled_loss

FEW = settings(max_examples=60, deadline=None)
ALIGNMENTS = [Axis.half_pixel, Axis.corners]
ID_TYPES = [np.uint8, np.uint16, np.int32, np.int64]


def rule_of(rng, classes, kind, **options):
    """A rule with as much as the kind says."""
    weights = candidates = None
    if "weights" in kind:
        weights = rng.uniform(0, 3, classes).astype(np.float32)
    if "unions" in kind:
        unions = rng.random((5, classes)) < rng.uniform(0.1, 0.9)
        unions[0], unions[1] = False, True  # of no class and of all
        candidates = np.concatenate([np.eye(classes, dtype=bool), unions])
    if "smooth" in kind:
        options["label_smoothing"] = float(rng.uniform(0.01, 0.6))
    if "focal" in kind:
        options["focal_gamma"] = float(rng.choice([0.5, 1, 2, 4]))
    return LossRule(classes, options.pop("ignore_index", 255), weights, candidates, **options)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([1, 2, 3, 5, 11, 19, 40, 150]))
    sides = st.integers(1, 40 if classes < 100 else 18)
    height, width = draw(sides), draw(sides)
    size = draw(st.one_of(st.just((height, width)), st.tuples(sides, sides)))
    images = draw(st.integers(1, 3))
    kinds = ["", "weights", "unions", "smooth", "focal", "weights unions smooth"]
    kind = draw(st.sampled_from([*kinds, "weights unions focal"]))
    rule = rule_of(rng, classes, kind, ignore_index=draw(st.sampled_from([255, 0])))
    logits = rng.normal(size=(images, classes, height, width)).astype(np.float32)
    logits *= draw(st.sampled_from([0.0, 1.0, 8.0]))
    target = rng.integers(0, rule.rows, (images, *size)).astype(draw(st.sampled_from(ID_TYPES)))
    if rule.ignore_index == 255:
        target[rng.random(target.shape) < draw(st.sampled_from([0.0, 0.3, 0.97]))] = 255
    make = draw(st.sampled_from(ALIGNMENTS))
    return logits, target, make(size[0], height), make(size[1], width), rule


def assert_close(actual, expected):
    """Sum and gradient; an error of float32 is allowed for every pixel that a score has part in."""
    total, gradient = actual
    expected_total, expected_gradient = expected
    assert total == pytest.approx(expected_total, rel=3e-6, abs=1e-6)
    largest = np.abs(expected_gradient).max()
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=3e-6 * largest + 1e-7)


@FEW
@given(cases())
def test_every_variant_gives_what_the_twin_gives(case):
    native = pytest.importorskip("pixelwise.kernels._native")
    logits, *others = case
    expected = reference_loss.upsampled_loss(*case)
    for variant, last in itertools.product(native.variants(), (False, True)):
        scores = np.ascontiguousarray(logits.transpose(0, 2, 3, 1)) if last else logits
        gradient = np.full_like(scores, np.nan)
        total = upsampled_loss._run(scores, last, *others, gradient, 2, variant)
        assert_close((total, gradient.transpose(0, 3, 1, 2) if last else gradient), expected)


@FEW
@given(cases())
def test_the_loss_alone_is_that_with_a_gradient(case):
    assert kernels.upsampled_loss_sum(*case) == kernels.upsampled_loss_gradient(*case)[0]


@FEW
@given(cases())
def test_scores_that_lie_channels_last_get_a_gradient_that_does(case):
    logits, *others = case
    last = np.ascontiguousarray(logits.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    total, gradient = kernels.upsampled_loss_gradient(last, *others)
    expected_total, expected = kernels.upsampled_loss_gradient(*case)
    assert total == expected_total
    np.testing.assert_array_equal(gradient, expected)
    assert gradient.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.fixture(scope="module")
def in_bands():
    """A case of several bands of rows and several tiles of columns."""
    rng = np.random.default_rng(4)
    rule = rule_of(rng, 64, "weights unions", ignore_index=9)
    logits = rng.normal(size=(2, 64, 6, 70)).astype(np.float32)
    target = rng.integers(0, rule.rows, (2, 250, 300)).astype(np.uint8)
    return logits, target, Axis.half_pixel(250, 6), Axis.half_pixel(300, 70), rule


def test_bands_and_tiles_leave_no_seam(in_bands):
    expected = reference_loss.upsampled_loss(*in_bands)
    assert_close(kernels.upsampled_loss_gradient(*in_bands), expected)


def test_the_number_of_threads_changes_no_bit(in_bands):
    total, gradient = kernels.upsampled_loss_gradient(*in_bands, threads=1)
    for threads in (0, 2, 3, 7, 7, 7):
        again, other = kernels.upsampled_loss_gradient(*in_bands, threads=threads)
        assert again == total
        np.testing.assert_array_equal(other, gradient)


def simple(classes=4, size=(24, 40), source=(6, 10), **options):
    rng = np.random.default_rng(1)
    rule = LossRule(classes, 255, **options)
    logits = rng.normal(size=(1, classes, *source)).astype(np.float32)
    target = rng.integers(0, rule.rows, (1, *size)).astype(np.uint8)
    rows, columns = map(Axis.half_pixel, size, source)
    return logits, target, rows, columns, rule


def test_nothing_that_counts_costs_nothing():
    logits, target, *others = simple()
    target[:] = 255
    total, gradient = kernels.upsampled_loss_gradient(logits, target, *others)
    assert total == 0
    assert not gradient.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_scores_under_ignored_pixels_change_nothing(value):
    logits, target, *others = simple()
    target[:, :, 20:] = 255
    total, gradient = kernels.upsampled_loss_gradient(logits, target, *others)
    logits[:, :, :, 7:] = value  # columns 30 on, and those down to 26 by interpolation
    again, other = kernels.upsampled_loss_gradient(logits, target, *others)
    assert again == total
    np.testing.assert_array_equal(other, gradient)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"focal_gamma": 2.0}], ids=["", "smooth", "focal"]
)
def test_a_score_that_is_not_finite_shows_in_the_loss_and_in_its_gradient(value, options):
    logits, *others = simple(**options)
    logits[0, 2, 3, 3] = value
    total, gradient = kernels.upsampled_loss_gradient(logits, *others)
    assert np.isnan(total)
    assert np.isnan(gradient[0, :, 3, 3]).all()
    assert np.isfinite(gradient[0, :, 0, 0]).all()


def test_huge_scores_give_finite_answers():
    logits, *others = simple()
    for scale in (1e3, 1e20, 1e34):
        total, gradient = kernels.upsampled_loss_gradient(logits * np.float32(scale), *others)
        assert np.isfinite(total)
        assert np.abs(gradient).max() < 100


def test_a_sure_pixel_keeps_its_small_loss():
    # In float32 1 + 1e-9 is 1, and ln 1 is 0.
    logits = np.zeros((1, 2, 3, 3), np.float32)
    logits[:, 0] = 20
    target = np.zeros((1, 3, 3), np.uint8)
    axis = Axis.half_pixel(3, 3)
    total, gradient = kernels.upsampled_loss_gradient(logits, target, axis, axis, LossRule(2, 255))
    assert total == pytest.approx(9 * np.log1p(np.exp(-20)), rel=1e-4)
    np.testing.assert_allclose(gradient[0, 1], 1 / (1 + np.exp(20)), rtol=1e-4)
    np.testing.assert_allclose(gradient[0, 0], -1 / (1 + np.exp(20)), rtol=1e-4)


def test_a_union_costs_the_sum_of_its_probabilities():
    logits = np.log(np.array([0.5, 0.2, 0.3], np.float32)).reshape(1, 3, 1, 1)
    candidates = np.concatenate([np.eye(3, dtype=bool), [[True, False, True]]])
    rule = LossRule(3, 255, class_weights=[1, 5, 3], candidates=candidates)
    axis = Axis.half_pixel(1, 1)
    target = np.full((1, 1, 1), 3, np.int64)
    total, gradient = kernels.upsampled_loss_gradient(logits, target, axis, axis, rule)
    assert total == pytest.approx(-2 * np.log(0.8))
    expected = 2 * np.array([0.5 - 0.5 / 0.8, 0.2, 0.3 - 0.3 / 0.8])
    np.testing.assert_allclose(gradient.ravel(), expected, atol=1e-6)


def test_a_union_of_all_or_of_none_counts_for_nothing():
    candidates = np.concatenate([np.eye(4), np.ones((1, 4)), np.zeros((1, 4))]).astype(bool)
    logits, target, *others = simple(candidates=candidates, label_smoothing=0.3)
    assert (target > 3).any()
    total, gradient = kernels.upsampled_loss_gradient(logits, target, *others)
    target[target > 3] = 255
    again, other = kernels.upsampled_loss_gradient(logits, target, *others)
    assert again == total
    np.testing.assert_array_equal(other, gradient)


def test_a_union_that_is_all_but_impossible_keeps_its_loss():
    logits = np.array([0, -300, -302], np.float32).reshape(1, 3, 1, 1)
    candidates = np.concatenate([np.eye(3, dtype=bool), [[False, True, True]]])
    rule = LossRule(3, 255, candidates=candidates)
    axis = Axis.half_pixel(1, 1)
    target = np.full((1, 1, 1), 3, np.int64)
    total, gradient = kernels.upsampled_loss_gradient(logits, target, axis, axis, rule)
    within = 1 / (1 + np.exp(-2))
    assert total == pytest.approx(300 - np.log1p(np.exp(-2)))
    np.testing.assert_allclose(gradient.ravel(), [1, -within, within - 1], atol=1e-5)


@pytest.mark.parametrize("dtype", ID_TYPES)
def test_ids_outside_the_table_are_refused_by_name(dtype):
    logits, target, *others = simple()
    target = target.astype(dtype)
    target[0, 3, 4], target[0, 5, 6] = 4, 77
    target[0, 0, 0] = 255
    with pytest.raises(ArrayError, match="ids 4, 77, expected 0 to 3, or 255"):
        kernels.upsampled_loss_gradient(logits, target, *others)
    if np.issubdtype(dtype, np.signedinteger):
        target[:] = -1
        with pytest.raises(ArrayError, match="ids -1"):
            kernels.upsampled_loss_sum(logits, target, *others)


def test_an_ignored_id_beyond_the_type_of_the_target_is_none():
    logits, target, rows, columns, _ = simple()
    expected = kernels.upsampled_loss_sum(logits, target, rows, columns, LossRule(4, 255))
    for ignore_index in (-100, 256, 2**40):
        for dtype in (np.uint8, np.int32, np.int64):
            rule = LossRule(4, ignore_index)
            total = kernels.upsampled_loss_sum(logits, target.astype(dtype), rows, columns, rule)
            assert total == expected


def test_arguments_that_do_not_fit_are_refused():
    logits, target, rows, columns, rule = simple()
    for bad in (
        (logits.astype(np.float64), target, rows, columns, rule),
        (logits[0], target, rows, columns, rule),
        (logits, target.astype(np.float32), rows, columns, rule),
        (logits, target[:, 1:], rows, columns, rule),
        (logits, target, columns, rows, rule),
        (logits, target, rows, columns, LossRule(5, 255)),
        (logits[:0], target[:0], rows, columns, rule),
    ):
        with pytest.raises(ArrayError):
            kernels.upsampled_loss_gradient(*bad)
    with pytest.raises(UsageError):
        kernels.upsampled_loss_sum(logits, target, 24, columns, rule)
    with pytest.raises(UsageError):
        kernels.upsampled_loss_sum(logits, target, rows, columns, rule, threads=-1)


def test_a_rule_names_all_its_faults():
    with pytest.raises(UsageError) as caught:
        LossRule(3, 255, [1, 2], np.ones((3, 3), bool), label_smoothing=1.5, focal_gamma=-1.0)
    for part in ("class_weights of shape", "row k < C", "label_smoothing=1.5", "focal_gamma=-1.0"):
        assert part in str(caught.value)
    for bad in (
        {"classes": 0},
        {"class_weights": [1, np.nan, 1]},
        {"class_weights": [1, -1, 1]},
        {"candidates": np.eye(3)},
        {"candidates": np.eye(2, dtype=bool)},
        {"label_smoothing": float("nan")},
        {"label_smoothing": 0.1, "focal_gamma": 2.0},
    ):
        with pytest.raises(UsageError):
            LossRule(**({"classes": 3, "ignore_index": 255} | bad))
