from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise import kernels
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize
from pixelwise.inference.preprocess import plan_input, prepare, score_geometry

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))
PLAIN = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
ALIGNMENTS = ("corners", "half_pixel")


def preprocessing(rule="none", **options):
    sizes = {name: options.pop(name) for name in ("pixels", "size", "longest") if name in options}
    return Preprocessing(**PLAIN | options, resize=Resize(rule=rule, **sizes))


def positions(geometry, scores):
    return geometry.rows.positions(scores[0]), geometry.columns.positions(scores[1])


@given(SIZES, st.sampled_from([(1, 0), (8, 0), (32, 0), (32, 1), (7, 3), (5, 12)]))
def test_padding_reaches_the_next_size_of_the_rule(size, rule):
    multiple, remainder = rule
    plan = plan_input(size, preprocessing(multiple=multiple, remainder=remainder))
    assert plan.picture == plan.resized == size
    for side, padded in zip(size, plan.padded, strict=True):
        assert side <= padded < side + multiple
        assert padded % multiple == remainder % multiple


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_the_area_rule_reaches_its_area_and_keeps_the_aspect(size):
    plan = plan_input(size, preprocessing("area", pixels=300_000, longest=1000))
    height, width = plan.resized
    assert 1 <= height <= 1000
    assert 1 <= width <= 1000
    factor = min((300_000 / (size[0] * size[1])) ** 0.5, 1000 / max(size))
    for side, original in zip(plan.resized, size, strict=True):
        assert abs(side - max(1, original * factor)) <= 0.5 + 1e-9


def test_the_exact_rule_gives_its_size():
    assert plan_input((5, 900), preprocessing("exact", size=(32, 48))).resized == (32, 48)


def test_no_side_is_longer_than_the_longest_and_the_aspect_stays():
    plan = plan_input((30, 90), preprocessing("none", longest=64, multiple=32))
    assert (plan.resized, plan.padded) == ((21, 64), (32, 64))


def test_values_are_scaled_normalised_and_padded_with_zeros():
    card = Preprocessing(
        scale=1 / 255,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.5),
        resize=Resize(rule="none"),
        multiple=4,
    )
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    batch = prepare(picture, plan_input((3, 5), card), card, threads=1)
    expected = (picture / 255 - (0.5, 0.4, 0.3)) / (0.2, 0.25, 0.5)
    assert batch.shape == (3, 4, 8)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch[:, :3, :5], expected.transpose(2, 0, 1), atol=1e-5)
    assert not batch[:, 3:].any()
    assert not batch[:, :, 5:].any()


def test_bgr_swaps_the_bands_and_not_their_mean():
    card = preprocessing(colour_order="BGR", mean=(1.0, 2.0, 3.0))
    picture = np.array([[[10, 20, 30]]], np.uint8)
    batch = prepare(picture, plan_input((1, 1), card), card, threads=1)
    assert batch.ravel().tolist() == [29, 18, 7]


def test_resizing_is_pillows_bilinear_filter():
    card = preprocessing("exact", size=(7, 5))
    picture = np.random.default_rng(1).integers(0, 256, (23, 31, 3), np.uint8)
    resized = np.asarray(Image.fromarray(picture).resize((5, 7), Image.Resampling.BILINEAR))
    batch = prepare(picture, plan_input((23, 31), card), card, threads=1)
    np.testing.assert_array_equal(batch, resized.transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_any_bands_and_types(dtype):
    card = preprocessing(mean=(5.0, 0.0, 1.0, 2.0), std=(1.0, 2.0, 3.0, 4.0), multiple=4)
    picture = np.random.default_rng(0).integers(0, 100, (6, 7, 4)).astype(dtype)
    batch = prepare(picture, plan_input((6, 7), card), card, threads=1)
    expected = (picture - np.array(card.mean)) / card.std
    np.testing.assert_allclose(batch[:, :6, :7], expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 4), ("uint16", 3), ("float32", 2)])
def test_bands_are_resized_by_the_same_filter(dtype, bands):
    numbers = {"mean": (0.0,) * bands, "std": (1.0,) * bands}
    card = preprocessing("exact", size=(7, 5), **numbers)
    picture = np.random.default_rng(1).integers(0, 200, (23, 31, bands)).astype(dtype)
    batch = prepare(picture, plan_input((23, 31), card), card, threads=1)
    for band in range(bands):
        plane = Image.fromarray(picture[..., band].astype(np.float32))
        resized = np.asarray(plane.resize((5, 7), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(batch[band], resized, atol=1.01 if dtype == "uint8" else 1e-3)


@pytest.mark.parametrize("rule", ["none", "exact"])
def test_what_is_no_number_is_the_mean_and_spreads_nowhere(rule):
    size = {"size": (6, 8)} if rule == "exact" else {}
    card = preprocessing(rule, mean=(50.0,) * 2, std=(10.0,) * 2, **size)
    picture = np.full((12, 16, 2), 70, np.float32)
    picture[:6, :8] = np.nan
    picture[0, 15] = np.inf
    batch = prepare(picture, plan_input((12, 16), card), card, threads=1)
    assert np.isfinite(batch).all()
    assert (batch[:, 0, 0] == 0).all()
    np.testing.assert_allclose(batch[:, -1, -1], 2, atol=1e-5)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@given(SIZES)
def test_scores_of_the_pictures_own_size_lie_on_its_pixels(alignment, size):
    plan = plan_input(size, preprocessing())
    geometry = score_geometry(plan, plan.padded, Postprocessing(alignment=alignment))
    assert geometry.size == size
    for found, side in zip(positions(geometry, plan.padded), size, strict=True):
        np.testing.assert_array_equal(found, np.arange(side))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@given(SIZES, st.integers(1, 9))
def test_padding_does_not_move_the_pixels(alignment, size, k):
    card = preprocessing(multiple=32, remainder=1)
    plan = plan_input(size, card)
    geometry = score_geometry(plan, plan.padded, Postprocessing(alignment=alignment))
    for found, side in zip(positions(geometry, plan.padded), size, strict=True):
        np.testing.assert_array_equal(found, np.arange(side))


@given(SIZES)
def test_scores_of_every_32nd_pixel_lie_on_it(size):
    plan = plan_input(size, preprocessing(multiple=32, remainder=1))
    cells = tuple((side - 1) // 32 + 1 for side in plan.padded)
    geometry = score_geometry(plan, cells, Postprocessing(alignment="corners"))
    for axis, side in zip((geometry.rows, geometry.columns), size, strict=True):
        np.testing.assert_allclose(axis.positions(99), np.arange(side) / 32, atol=1e-12)


@pytest.mark.parametrize(("alignment", "corners"), [("corners", True), ("half_pixel", False)])
@settings(max_examples=40)
@given(SIZES, st.tuples(st.integers(1, 20), st.integers(1, 20)), st.integers(0, 2**32 - 1))
def test_decoding_is_torch_interpolate(alignment, corners, size, cells, seed):
    scores = np.random.default_rng(seed).normal(size=(2, *cells)).astype(np.float32)
    plan = plan_input(size, preprocessing())
    geometry = score_geometry(plan, cells, Postprocessing(alignment=alignment))
    found = kernels.decode_scores(scores, geometry.rows, geometry.columns, threads=1)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None], size, mode="bilinear", align_corners=corners
    )[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@given(SIZES, SIZES)
def test_half_pixel_resizing_and_back_is_the_straight_way(size, network):
    """Stretched to the network and aligned by cells, the outer edges of all grids meet."""
    card = preprocessing("exact", size=network)
    cells = (3, 4)
    geometry = score_geometry(plan_input(size, card), cells, Postprocessing(alignment="half_pixel"))
    for axis, side, count in zip((geometry.rows, geometry.columns), size, cells, strict=True):
        straight = kernels.Axis.half_pixel(side, count)
        np.testing.assert_allclose(axis.positions(count), straight.positions(count), atol=1e-9)


@given(SIZES, SIZES)
def test_corners_after_resizing_keep_the_pixel_centres(size, network):
    """Pixel p of the picture has its centre at (p + 1/2) r - 1/2 of the resized one."""
    card = preprocessing("exact", size=network)
    geometry = score_geometry(plan_input(size, card), network, Postprocessing(alignment="corners"))
    for axis, side, other in zip((geometry.rows, geometry.columns), size, network, strict=True):
        ratio = other / side
        centres = np.clip((np.arange(side) + 0.5) * ratio - 0.5, 0, other - 1)
        np.testing.assert_allclose(axis.positions(other), centres, atol=1e-9)
