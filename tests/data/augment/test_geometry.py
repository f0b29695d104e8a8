from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixelwise.data.augment import (
    Area,
    Augmentation,
    Fit,
    Flip,
    Perspective,
    QuarterTurns,
    RandomCrop,
    RandomScale,
    Rotate,
)
from pixelwise.data.augment.geometry import Canvas
from pixelwise.data.targets import MultiClassTarget
from pixelwise.errors import UsageError
from pixelwise.inference.card import Preprocessing, Resize
from pixelwise.inference.preprocess import plan_input, prepare, resized_size

FEW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(1, 70)
EVERYTHING = (
    Area(2000),
    RandomScale(0.3, 3, stretch=1.5),
    Rotate(180, chance=0.7),
    Perspective(0.4, chance=0.7),
    Flip(0.5),
    Flip(0.5, vertical=True),
    QuarterTurns(),
    RandomCrop(),
)


def ids_of(mask, pieces, size, seed, aim=None):
    """The mask under one draw, 255 outside."""
    augmentation = Augmentation(pieces, size=size)
    plan = augmentation.draw(mask.shape, np.random.default_rng(seed), aim=aim)
    image = np.zeros((*mask.shape, 3), np.uint8)
    sample = augmentation.apply(plan, image, MultiClassTarget(mask), ignore_index=255)
    return sample.target.mask


def numbered(height, width):
    """Every pixel another id."""
    return np.arange(height * width, dtype=np.uint16).reshape(height, width) + 256


@FEW
@given(SEEDS, SIDES, SIDES, st.tuples(SIDES, SIDES))
@example(seed=65, height=4, width=27, size=(62, 69))  # tilted so that the horizon is in the middle
def test_no_id_is_invented(seed, height, width, size):
    mask = np.random.default_rng(seed).choice([0, 3, 77, 254], (height, width)).astype(np.uint8)
    assert set(np.unique(ids_of(mask, EVERYTHING, size, seed))) <= {*np.unique(mask), 255}


@FEW
@given(SEEDS, SIDES, SIDES)
def test_without_pieces_the_picture_stays_as_it_is(seed, height, width):
    mask = numbered(height, width)
    np.testing.assert_array_equal(ids_of(mask, (), None, seed), mask)
    np.testing.assert_array_equal(ids_of(mask, (), (height, width), seed), mask)


@FEW
@given(SEEDS, SIDES, SIDES, st.booleans())
def test_two_flips_are_none(seed, height, width, vertical):
    mask = numbered(height, width)
    flip = Flip(1, vertical=vertical)
    once = ids_of(mask, (flip,), None, seed)
    np.testing.assert_array_equal(once, mask[::-1] if vertical else mask[:, ::-1])
    np.testing.assert_array_equal(ids_of(mask, (flip, flip), None, seed), mask)


@pytest.mark.parametrize("chance", [0, 1])
def test_chances_are_kept(chance):
    mask = numbered(20, 30)
    for piece in (Flip(chance), Rotate(90, chance), Perspective(0.4, chance)):
        changed = [(ids_of(mask, (piece,), None, seed) != mask).any() for seed in range(10)]
        assert all(changed) if chance else not any(changed)


def test_a_flip_of_one_half_comes_in_half_of_the_draws():
    mask = numbered(2, 3)
    flipped = sum((ids_of(mask, (Flip(0.5),), None, seed) != mask).any() for seed in range(400))
    assert 160 < flipped < 240


@FEW
@given(SEEDS, SIDES, SIDES, st.tuples(SIDES, SIDES))
def test_a_crop_is_a_window_of_the_picture_or_holds_all_of_it(seed, height, width, size):
    mask = numbered(height, width)
    cut = ids_of(mask, (RandomCrop(),), size, seed)
    inside = cut != 255
    rows, columns = inside.any(axis=1), inside.any(axis=0)
    assert (rows.sum(), columns.sum()) == (min(height, size[0]), min(width, size[1]))
    window = cut[np.ix_(rows, columns)]
    top, left = divmod(int(window[0, 0]) - 256, width)
    np.testing.assert_array_equal(
        window, mask[top : top + window.shape[0], left : left + window.shape[1]]
    )


@FEW
@given(SEEDS, st.integers(2, 70), st.integers(2, 70), st.floats(0.7, 1.4))
def test_where_a_scaled_picture_is_smaller_than_the_crop_nothing_of_it_is_cut_off(
    seed, height, width, scale
):
    mask = np.ones((height, width), np.uint8)
    size = (math.ceil(height * scale) + 1, math.ceil(width * scale))
    for place in ((RandomCrop(),), ()):
        seen = ids_of(mask, (RandomScale(scale, scale), *place), size, seed) == 1
        for side, axis in ((height, 1), (width, 0)):
            assert abs(seen.any(axis=axis).sum() - side * scale) <= 0.5 + 1e-6


def test_crops_reach_every_place():
    mask = numbered(8, 9)
    starts = {int(ids_of(mask, (RandomCrop(),), (6, 6), seed)[0, 0]) for seed in range(300)}
    assert starts == {int(number) for number in mask[:3, :4].ravel()}
    corners = {
        tuple(np.argwhere(ids_of(mask, (RandomCrop(),), (10, 10), seed) == 256)[0])
        for seed in range(200)
    }
    assert corners == {(y, x) for y in range(3) for x in range(2)}


@settings(max_examples=300, deadline=None)
@given(SEEDS, SIDES, SIDES, st.tuples(SIDES, SIDES), st.data())
def test_an_aimed_crop_holds_its_pixel(seed, height, width, size, data):
    mask = numbered(height, width)
    aim = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    assert mask[aim] in ids_of(mask, (RandomCrop(),), size, seed, aim)
    pieces = (RandomScale(1, 2), Flip(0.5), RandomCrop())
    assert mask[aim] in ids_of(mask, pieces, size, seed, aim)


def test_an_aimed_pixel_lies_anywhere_in_the_crop():
    mask = numbered(40, 40)
    places = {
        tuple(np.argwhere(ids_of(mask, (RandomCrop(),), (3, 3), seed, (20, 20)) == mask[20, 20])[0])
        for seed in range(200)
    }
    assert places == {(y, x) for y in range(3) for x in range(3)}


@FEW
@given(SEEDS, st.integers(20, 70), st.integers(20, 70))
def test_an_aim_is_followed_through_turns_and_tilts(seed, height, width):
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 - 2 : height // 2 + 3, width // 3 - 2 : width // 3 + 3] = 1
    pieces = (Rotate(40, 1), Perspective(0.2, 1), RandomCrop())
    size = (height * 2 // 3, width * 2 // 3)
    assert 1 in ids_of(mask, pieces, size, seed, (height // 2, width // 3))


@FEW
@given(SEEDS, st.integers(10, 70), st.integers(10, 70), st.tuples(SIDES, SIDES))
def test_fit_shows_the_whole_picture_and_cover_fills_the_output(seed, height, width, size):
    mask = np.ones((height, width), np.uint8)
    fitted = ids_of(mask, (Fit(),), size, seed) == 1
    sides = fitted.any(axis=1).sum(), fitted.any(axis=0).sum()
    factor = min(size[0] / height, size[1] / width)
    for side, length, whole in zip(sides, (height, width), size, strict=True):
        assert abs(side - length * factor) <= 1
        assert side <= whole
    assert fitted.sum() == sides[0] * sides[1]
    covered = ids_of(mask, (Fit(cover=True),), size, seed) == 1
    assert covered.all()


def test_scales_stay_within_their_limits_on_a_logarithmic_axis():
    augmentation = Augmentation((RandomScale(0.5, 2),))
    sides = [
        augmentation.draw((1000, 1000), np.random.default_rng(seed)).size for seed in range(400)
    ]
    assert all(height == width and 500 <= height <= 2000 for height, width in sides)
    smaller = sum(height < 1000 for height, _ in sides)
    assert 160 < smaller < 240


def test_stretching_keeps_the_area():
    augmentation = Augmentation((RandomScale(1, 1, stretch=2),))
    sides = [
        augmentation.draw((1000, 1000), np.random.default_rng(seed)).size for seed in range(90)
    ]
    ratios = np.array([width / height for height, width in sides])
    assert all(abs(height * width - 10**6) < 2000 for height, width in sides)
    assert 0.5 <= ratios.min() < 0.6
    assert 1.7 < ratios.max() <= 2.001


def test_a_quarter_turn_is_that_of_numpy():
    mask = numbered(9, 9)
    for seed in range(300):
        augmentation = Augmentation((Rotate(180, chance=1),))
        plan = augmentation.draw((9, 9), np.random.default_rng(seed))
        angle = np.degrees(np.arctan2(plan.matrix[0][1], plan.matrix[0][0]))
        for turns in (1, -1):
            if abs(angle - 90 * turns) < 3:
                np.testing.assert_array_equal(
                    ids_of(mask, (Rotate(180, chance=1),), None, seed)[3:6, 3:6],
                    np.rot90(mask, -turns)[3:6, 3:6],
                )


def test_a_tilt_keeps_the_centre():
    augmentation = Augmentation((Perspective(0.4, chance=1),))
    for seed in range(20):
        plan = augmentation.draw((40, 60), np.random.default_rng(seed))
        u, v, w = np.array(plan.matrix) @ (30, 20, 1)
        assert (u / w, v / w) == pytest.approx((30, 20))


@FEW
@given(SIDES, SIDES, st.integers(1, 6000), st.integers(1, 90))
def test_area_gives_the_size_of_prediction(height, width, pixels, longest):
    for rule, wanted in (("area", pixels), ("none", None)):
        resize = Resize(rule=rule, pixels=wanted, longest=longest)
        plan = Augmentation((Area(wanted, longest),)).draw(
            (height, width), np.random.default_rng(0)
        )
        assert plan.size == resized_size((height, width), resize)


@pytest.mark.parametrize("pixels", [200 * 300, 90 * 140, 50 * 64])
def test_area_gives_the_pixels_of_prediction(pixels):
    rows, columns = np.mgrid[:120, :180]
    image = np.stack([rows, columns, 90 + 40 * np.sin(rows / 9) * np.cos(columns / 7)], -1)
    image = image.astype(np.uint8)
    card = Preprocessing(
        scale=1 / 255,
        mean=(0.5, 0.4, 0.3),
        std=(0.5, 0.5, 0.2),
        resize=Resize(rule="area", pixels=pixels),
    )
    predicted = prepare(image, plan_input((120, 180), card), card, threads=1)
    augmentation = Augmentation((Area(pixels),), mean=card.mean, std=card.std)
    plan = augmentation.draw((120, 180), np.random.default_rng(0))
    target = MultiClassTarget(np.zeros((120, 180), np.uint8))
    trained = augmentation.apply(plan, image, target, ignore_index=255).image
    grey = 255 * np.array(card.std)[:, None, None]
    # Pillow rounds to whole grey levels; where it shrinks, its filter is a triangle, not a block.
    assert np.abs((predicted - trained) * grey)[:, 1:-1, 1:-1].max() < 2.01


def test_scales_are_relative_to_the_area():
    pieces = (Area(400), RandomScale(2, 2))
    plan = Augmentation(pieces).draw((10, 40), np.random.default_rng(0))
    assert plan.size == (20, 80)


def test_area_draws_nothing():
    generator = np.random.default_rng(4)
    Area(100).draw(Canvas(20.0, 30.0), generator)
    assert generator.random() == np.random.default_rng(4).random()


@pytest.mark.parametrize(
    "piece", [Area(0), Area(2**33), Area(1.5), Area(True), Area(9, 0), Area(9, None)]
)
def test_areas_have_limits(piece):
    with pytest.raises(UsageError, match=r"Area: (pixels|longest)="):
        Augmentation((piece,))


@FEW
@given(SEEDS, SIDES, SIDES)
def test_quarter_turns_keep_every_pixel(seed, height, width):
    mask = numbered(height, width)
    turned = ids_of(mask, (QuarterTurns(),), None, seed)
    assert any(np.array_equal(turned, np.rot90(mask, quarters)) for quarters in range(4))


def test_all_quarter_turns_occur():
    mask = numbered(3, 5)
    seen = {ids_of(mask, (QuarterTurns(),), None, seed).tobytes() for seed in range(40)}
    assert seen == {
        np.ascontiguousarray(np.rot90(mask, quarters)).tobytes() for quarters in range(4)
    }
