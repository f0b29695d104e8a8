from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.data.augment import Augmentation, Blur, Cutout, Jpeg
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget

FEW = settings(max_examples=40, deadline=None)
BYTES = {"mean": (0, 0, 0), "std": (1 / 255, 1 / 255, 1 / 255)}


@pytest.fixture
def photo():
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC))


def image_of(photo, *pieces, seed=0, **options):
    augmentation = Augmentation(pieces, **BYTES, **options)
    plan = augmentation.draw(photo.shape[:2], np.random.default_rng(seed))
    target = MultiClassTarget(np.ones(photo.shape[:2], np.uint8))
    return plan, augmentation.apply(plan, photo, target, ignore_index=255)


def test_a_blur_softens_and_keeps_the_mean_and_the_mask(photo):
    plan, sample = image_of(photo, Blur(2, 3, chance=1))
    assert 2 <= plan.blur <= 3
    sharp = photo.transpose(2, 0, 1).astype(float)
    assert np.abs(np.diff(sample.image)).mean() < 0.9 * np.abs(np.diff(sharp)).mean()
    assert sample.image.mean() == pytest.approx(sharp.mean(), abs=1.5)
    assert (sample.target.mask == 1).all()


def test_blurring_what_is_normalised_is_normalising_what_is_blurred(photo):
    _, plain = image_of(photo, Blur(1, 1, chance=1))
    augmentation = Augmentation((Blur(1, 1, chance=1),))
    plan = augmentation.draw((60, 80), np.random.default_rng(0))
    target = MultiClassTarget(np.ones((60, 80), np.uint8))
    sample = augmentation.apply(plan, photo, target, ignore_index=255)
    mean, std = (np.array(v)[:, None, None] for v in (augmentation.mean, augmentation.std))
    np.testing.assert_allclose(sample.image, (plain.image / 255 - mean) / std, atol=1e-5)


def test_jpeg_gives_what_the_file_of_that_quality_holds(photo):
    plan, sample = image_of(photo, Jpeg(20, 60, chance=1))
    assert 20 <= plan.jpeg <= 60
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=plan.jpeg)
    np.testing.assert_allclose(
        sample.image.transpose(1, 2, 0), np.asarray(Image.open(file)), atol=1e-4
    )


def test_a_blur_comes_before_the_file(photo):
    plan, sample = image_of(photo, Jpeg(95, 95, chance=1), Blur(2, 2, chance=1))
    assert (plan.jpeg, plan.blur) == (95, 2)
    _, blurred = image_of(photo, Blur(2, 2, chance=1))
    assert np.abs(sample.image - blurred.image).mean() < 2.5


@pytest.mark.parametrize("piece", [Blur, Jpeg, Cutout])
def test_chances_are_kept(piece, photo):
    never = [image_of(photo, piece(chance=0), seed=seed)[0] for seed in range(20)]
    always = [image_of(photo, piece(chance=1), seed=seed)[0] for seed in range(20)]
    assert not any(plan.blur or plan.jpeg or plan.holes for plan in never)
    assert all(plan.blur or plan.jpeg or plan.holes for plan in always)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.05, 1))
def test_holes_are_filled_and_ignored_and_nothing_else_is(seed, holes, size):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 250, (40, 50, 3), np.uint8)
    augmentation = Augmentation((Cutout(holes, size, chance=1),), **BYTES, fill=(251, 252, 253))
    plan = augmentation.draw((40, 50), rng)
    mask = rng.integers(0, 9, (40, 50), np.uint8)
    hidden = np.zeros((40, 50), bool)
    for hole in plan.holes:
        assert hole.bottom - hole.top <= max(1, round(size * 40))
        hidden[hole.top : hole.bottom, hole.left : hole.right] = True
    assert len(plan.holes) == holes
    assert hidden.any()
    sample = augmentation.apply(plan, photo, MultiClassTarget(mask), ignore_index=200)
    expected = np.where(hidden[..., None], (251, 252, 253), photo)
    np.testing.assert_allclose(sample.image.transpose(1, 2, 0), expected, atol=1e-4)
    np.testing.assert_array_equal(sample.target.mask, np.where(hidden, 200, mask))
    objects = InstanceTarget(mask, mask.astype(np.int32) + 1)
    instances = augmentation.apply(plan, photo, objects, ignore_index=200).target.instances
    np.testing.assert_array_equal(instances, np.where(hidden, 0, mask + 1))
    layers = MultiLabelTarget(np.ones((2, 40, 50), bool), np.zeros((40, 50), bool))
    target = augmentation.apply(plan, photo, layers, ignore_index=200).target
    np.testing.assert_array_equal(target.ignore, hidden)
    np.testing.assert_array_equal(target.layers, [~hidden] * 2)
