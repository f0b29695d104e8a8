from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.training.street_augment
from pixelwise.training.street_augment import Augmentation, augment

IGNORED = 11
STILL = Augmentation(
    crop=(64, 96),
    scale=(1.0, 1.0),
    stretch=1.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    white_balance=0.0,
    gamma=1.0,
    grey=0.0,
    blur=0.0,
)


def run(image, mask, settings_, seed=0):
    generator = np.random.default_rng(seed)
    return augment(image, mask, settings_, ignore_index=IGNORED, generator=generator)


def picture_of(mask):
    """A photo whose colour tells the id, so that photo and mask can be compared after a move."""
    return np.stack([20 * mask, 255 - 20 * mask, 7 * mask], axis=-1).astype(np.uint8)


def blocks(height, width, side, seed):
    ids = np.random.default_rng(seed).integers(0, IGNORED, (-(-height // side), -(-width // side)))
    return np.kron(ids, np.ones((side, side), int))[:height, :width].astype(np.uint8)


def inside(mask, reach):
    """Pixels whose whole neighbourhood lies in the picture and has one id."""
    padded = np.pad(mask, reach, constant_values=255)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return windows.min(axis=(2, 3)) == windows.max(axis=(2, 3))


def test_public_names_are_sorted():
    assert pixelwise.training.street_augment.__all__ == ["Augmentation", "augment"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 70),
    st.integers(1, 70),
    st.lists(st.integers(0, 10), min_size=1, max_size=3),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_no_id_is_invented_and_the_size_is_that_of_the_crop(seed, height, width, ids, crop):
    generator = np.random.default_rng(seed)
    mask = generator.choice(ids, (height, width)).astype(np.uint8)
    image = generator.integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy(), mask.copy()
    moved_image, moved_mask = run(image, mask, Augmentation(crop=crop), seed)
    assert moved_image.shape == (*crop, 3)
    assert moved_mask.shape == crop
    assert moved_image.dtype == moved_mask.dtype == np.uint8
    assert set(np.unique(moved_mask)) <= {*ids, IGNORED}
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_bits(seed):
    mask = blocks(50, 70, 8, seed)
    image = np.random.default_rng(seed).integers(0, 256, (50, 70, 3), np.uint8)
    first, second, other = (
        run(image, mask, Augmentation(crop=(40, 40)), each) for each in (seed, seed, seed + 1)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(0.5, 0.9), (1.0, 1.0), (1.1, 2.5)]))
def test_the_mask_moves_with_the_photo(seed, scale):
    mask = blocks(90, 130, 16, seed)
    moved_image, moved_mask = run(
        picture_of(mask), mask, replace(STILL, scale=scale, stretch=1.3), seed
    )
    expected = picture_of(moved_mask)
    expected[moved_mask == IGNORED] = 127
    # Bilinear sampling mixes the colours of one photo pixel on either side of an edge.
    clear = inside(moved_mask, 4)
    assert clear.any()
    np.testing.assert_array_equal(moved_image[clear], expected[clear])


@pytest.mark.parametrize("seed", range(8))
def test_nothing_but_a_mirror_is_left_when_all_is_switched_off(seed):
    mask = blocks(64, 96, 8, seed)
    image = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8)
    moved_image, moved_mask = run(image, mask, STILL, seed)
    mirror = not np.array_equal(moved_mask, mask)
    np.testing.assert_array_equal(moved_image, image[:, ::-1] if mirror else image)
    np.testing.assert_array_equal(moved_mask, mask[:, ::-1] if mirror else mask)


def test_about_half_are_mirrored():
    mask = blocks(64, 96, 8, 0)
    image = picture_of(mask)
    mirrored = sum(not np.array_equal(run(image, mask, STILL, seed)[1], mask) for seed in range(60))
    assert 15 <= mirrored <= 45


def test_a_small_photo_lies_whole_within_the_crop():
    mask = np.full((10, 20), 3, np.uint8)
    moved_image, moved_mask = run(picture_of(mask), mask, STILL)
    assert (moved_mask == 3).sum() == 10 * 20
    assert (moved_image[moved_mask == 3] == picture_of(mask)[0, 0]).all()
    assert set(np.unique(moved_mask)) == {3, IGNORED}


def test_crops_reach_every_part_of_a_large_photo():
    mask = np.zeros((80, 120), np.uint8)
    mask[:8], mask[-8:], mask[:, :8], mask[:, -8:] = 1, 2, 3, 4
    found = set()
    for seed in range(60):
        found |= set(np.unique(run(picture_of(mask), mask, STILL, seed)[1]))
    assert found == {0, 1, 2, 3, 4}


def test_a_photo_twice_as_large_is_cut_at_a_pixel():
    mask = blocks(50, 70, 3, 1)
    _, moved = run(picture_of(mask), mask, replace(STILL, crop=(30, 40), scale=(2.0, 2.0)), 5)
    enlarged = np.kron(mask, np.ones((2, 2), np.uint8))
    places = np.lib.stride_tricks.sliding_window_view(enlarged, (30, 40))
    assert any((places == each).all(axis=(2, 3)).any() for each in (moved, moved[:, ::-1]))


def test_stretch_stays_within_its_bounds():
    mask = np.full((60, 60), 3, np.uint8)
    settings_ = replace(STILL, crop=(120, 120), stretch=1.5)
    ratios = []
    for seed in range(60):
        found = run(picture_of(mask), mask, settings_, seed)[1] == 3
        ratios.append(found.any(1).sum() / found.any(0).sum())
    assert 1 / 1.53 <= min(ratios) <= 0.75
    assert 1.33 <= max(ratios) <= 1.53


def test_scale_stays_within_its_bounds():
    mask = np.full((40, 40), 3, np.uint8)
    settings_ = replace(STILL, crop=(120, 120), scale=(0.5, 2.0))
    sides = [
        np.sqrt((run(picture_of(mask), mask, settings_, seed)[1] == 3).sum()) for seed in range(60)
    ]
    assert 20 <= min(sides) <= 24
    assert 70 <= max(sides) <= 80


@pytest.mark.parametrize(
    "change",
    [{"brightness": 0.5}, {"contrast": 0.5}, {"saturation": 0.9}, {"white_balance": 0.3},
     {"gamma": 2.0}, {"blur": 1.0}],
)  # fmt: skip
def test_each_change_of_colour_acts_on_the_photo_alone(change):
    mask = blocks(64, 96, 8, 1)
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    still_image, still_mask = run(image, mask, STILL, 3)
    moved_image, moved_mask = run(image, mask, replace(STILL, **change), 3)
    np.testing.assert_array_equal(moved_mask, still_mask)
    assert not np.array_equal(moved_image, still_image)


def test_grey_takes_all_colour():
    mask = blocks(64, 96, 8, 1)
    moved_image, _ = run(picture_of(mask), mask, replace(STILL, grey=1.0))
    assert (moved_image == moved_image[..., :1]).all()
