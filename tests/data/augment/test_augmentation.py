from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.augment import (
    PRESETS,
    Area,
    Augmentation,
    Augmented,
    Blur,
    Cutout,
    Fit,
    Flip,
    Jpeg,
    Perspective,
    Photometric,
    QuarterTurns,
    RandomCrop,
    RandomScale,
    Rotate,
    preset,
    training_pieces,
)
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import ArrayError, UsageError

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def sample_of(seed, height=50, width=60):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = rng.integers(0, 7, (height, width), np.uint8)
    return image, mask


def run(augmentation, image, target, seed, **options):
    plan = augmentation.draw(target.size, np.random.default_rng(seed))
    return augmentation.apply(plan, image, target, ignore_index=255, **options)


@FEW
@given(SEEDS, st.sampled_from(list(PRESETS)))
def test_the_same_generator_gives_the_same_bits(seed, name):
    image, mask = sample_of(seed)
    augmentation = preset(name, size=(32, 40))
    plans = [augmentation.draw(mask.shape, np.random.default_rng(seed)) for _ in range(2)]
    assert plans[0] == plans[1]
    assert pickle.loads(pickle.dumps(plans[0])) == plans[0]
    first, second = (run(augmentation, image, MultiClassTarget(mask), seed) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.target.mask, second.target.mask)
    assert first.image.shape == (3, 32, 40)
    assert first.image.dtype == np.float32
    assert set(np.unique(first.target.mask)) <= {*range(7), 255}


def test_without_pieces_the_whole_picture_is_normalised():
    image, mask = sample_of(0)
    sample = run(Augmentation(), image, MultiClassTarget(mask), 0)
    mean, std = (np.array(values) for values in (Augmentation().mean, Augmentation().std))
    expected = ((image / 255 - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(sample.image, expected, atol=1e-6)
    np.testing.assert_array_equal(sample.target.mask, mask)


def test_what_lies_outside_is_the_mean_or_the_fill_and_ignored():
    image, mask = sample_of(0, 4, 4)
    sample = run(Augmentation(size=(8, 10)), image, MultiClassTarget(mask), 0)
    outside = sample.target.mask == 255
    assert outside.sum() == 80 - 16
    np.testing.assert_array_equal(sample.target.mask[2:6, 3:7], mask)
    assert np.abs(sample.image[:, outside]).max() < 1e-5
    white = Augmentation(size=(8, 10), mean=(0,) * 3, std=(1,) * 3, fill=(255, 255, 0))
    sample = run(white, image, MultiClassTarget(mask), 0)
    np.testing.assert_allclose(sample.image[:, 0, 0], (1, 1, 0), atol=1e-6)


@FEW
@given(SEEDS)
def test_mask_instances_and_layers_move_together(seed):
    image, mask = sample_of(seed)
    augmentation = preset("strong", size=(40, 40))
    alone = run(augmentation, image, MultiClassTarget(mask), seed).target.mask
    objects = run(augmentation, image, InstanceTarget(mask, mask.astype(np.int32) * 9), seed)
    np.testing.assert_array_equal(objects.target.mask, alone)
    expected = np.where(alone == 255, 0, alone.astype(int) * 9)
    np.testing.assert_array_equal(objects.target.instances, expected)
    layers = MultiLabelTarget(np.stack([mask == c for c in range(7)]), mask == 3)
    target = run(augmentation, image, layers, seed).target
    np.testing.assert_array_equal(target.layers, [alone == c for c in range(7)])
    np.testing.assert_array_equal(target.ignore, (alone == 3) | (alone == 255))


@pytest.mark.parametrize("kind", ["multi_class", "instance", "multi_label"])
@pytest.mark.parametrize(
    "pieces", [(), (Blur(chance=1),), (Jpeg(chance=1),), (Jpeg(chance=1), Blur(chance=1))]
)
def test_samples_are_written_into_the_rows_given(kind, pieces):
    image, mask = sample_of(1)
    size = (30, 20)
    targets = {
        "multi_class": (
            MultiClassTarget(mask),
            MultiClassTarget(np.empty((2, *size), np.uint8)[1]),
        ),
        "instance": (
            InstanceTarget(mask, mask.astype(np.int32)),
            InstanceTarget(np.empty(size, np.uint8), np.empty(size, np.int32)),
        ),
        "multi_label": (
            MultiLabelTarget(np.stack([mask == 1, mask == 2]), mask == 3),
            MultiLabelTarget(np.empty((2, *size), bool), np.empty(size, bool)),
        ),
    }
    target, place = targets[kind]
    augmentation = Augmentation((RandomCrop(), *pieces), size=size)
    out = Augmented(np.empty((4, 3, *size), np.float32)[2], place)
    sample = run(augmentation, image, target, 5, out=out)
    assert sample is out
    expected = run(augmentation, image, target, 5)
    np.testing.assert_array_equal(out.image, expected.image)
    for name, part in vars(expected.target).items():
        np.testing.assert_array_equal(getattr(out.target, name), part)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_rasters_of_any_bands_are_augmented_too(dtype):
    rng = np.random.default_rng(0)
    raster = (rng.random((20, 30, 5)) * 200).astype(dtype)
    target = MultiClassTarget(rng.integers(0, 3, (20, 30), np.uint8))
    bands = {"mean": (0.1, 0.2, 0.3, 0.4, 0.5), "std": (1, 2, 3, 4, 5), "peak": 200.0}
    whole = run(Augmentation(**bands), raster, target, 0)
    expected = (raster / 200 - np.array(bands["mean"])) / bands["std"]
    np.testing.assert_allclose(whole.image, expected.transpose(2, 0, 1), atol=1e-5)
    pieces = (RandomScale(0.5, 2), Rotate(20, 1), Flip(), RandomCrop(), Blur(chance=1), Cutout())
    sample = run(Augmentation(pieces, size=(16, 16), **bands), raster, target, 0)
    assert sample.image.shape == (5, 16, 16)
    assert np.isfinite(sample.image).all()


def test_colours_of_rasters_are_refused():
    raster, target = np.zeros((4, 4, 2), np.uint16), MultiClassTarget(np.zeros((4, 4), np.uint8))
    augmentation = Augmentation((Photometric(brightness=0.5),), mean=(0, 0), std=(1, 1))
    with pytest.raises(UsageError, match="colours of photos"):
        run(augmentation, raster, target, 0)


def test_arrays_that_do_not_fit_are_refused():
    image, mask = sample_of(0)
    target = MultiClassTarget(mask)
    with pytest.raises(ArrayError, match="differ in size"):
        run(Augmentation(), image[:9], target, 0)
    with pytest.raises(ArrayError, match="other bands"):
        run(Augmentation(), image[..., :2], target, 0)
    out = Augmented(np.empty((3, 50, 60), np.float32), InstanceTarget(mask, mask.astype(np.int32)))
    with pytest.raises(ArrayError, match="another kind"):
        run(Augmentation(), image, target, 0, out=out)
    with pytest.raises(UsageError, match="fill"):
        Augmentation().apply(
            Augmentation().draw((50, 60), np.random.default_rng(0)),
            image,
            target,
            ignore_index=300,
        )


def test_all_limits_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        Augmentation(
            (
                RandomScale(0, 30, stretch=9),
                RandomScale(2, 1),
                Flip(1.5),
                Rotate(200),
                Perspective(0.5),
                Photometric(brightness=2, hue=0.6, gamma=0.5),
                Photometric(),
                Blur(0, 30),
                Jpeg(0, 96),
                Cutout(0, 2.0),
                RandomCrop(),
                Fit("yes"),
                "flip",
            ),
            mean=(0.5,),
            std=(0.0, "x"),
            peak=0,
        )
    told = caught.value.got
    for part in (
        "RandomScale: low=0,",
        "RandomScale: low=2 is above high=1",
        "stretch=9",
        "Flip: chance=1.5",
        "degrees=200",
        "strength=0.5",
        "brightness=2",
        "hue=0.6",
        "gamma=0.5",
        "Photometric stands there 2 times",
        "str is no piece",
        "RandomCrop needs the augmentation's size",
    ):
        assert part in told


@pytest.mark.parametrize("size", [(0, 5), (5,), [5, 5], (2.5, 5), (70_000, 5), 5])
def test_other_sizes_are_refused(size):
    with pytest.raises(UsageError, match="size"):
        Augmentation(size=size)


@pytest.mark.parametrize("name", PRESETS)
def test_training_pieces_are_those_of_the_name_at_the_size_of_prediction(name):
    pieces = training_pieces(name, pixels=9000, longest=300)
    assert pieces == (Area(9000, 300), *PRESETS[name])


def test_pictures_without_an_upper_side_are_turned_every_way():
    pieces = training_pieces("strong", any_way_up=True)
    kinds = [type(piece) for piece in pieces]
    assert kinds.index(QuarterTurns) == kinds.index(Flip) - 1
    assert [piece.degrees for piece in pieces if isinstance(piece, Rotate)] == [180]
    assert not any(isinstance(piece, QuarterTurns) for piece in training_pieces("none"))
    with pytest.raises(UsageError, match="strong"):
        training_pieces("strnog")


def test_presets_are_found_by_name():
    for name in PRESETS:
        assert preset(name, size=(8, 8)).pieces == PRESETS[name]
    assert preset("none").size is None
    with pytest.raises(UsageError, match="did you mean strong"):
        preset("strnog", size=(8, 8))
    with pytest.raises(UsageError, match="needs the augmentation's size"):
        preset("light")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pieces": Flip()}, "expected a tuple of pieces: (Flip("),
        ({"pieces": None}, "pieces=None"),
        ({"mean": 0.5}, "mean=0.5"),
        ({"std": None}, "std=None"),
    ],
    ids=str,
)
def test_what_is_no_tuple_is_told(options, told):
    with pytest.raises(UsageError) as caught:
        Augmentation(**options)
    assert told in caught.value.got
