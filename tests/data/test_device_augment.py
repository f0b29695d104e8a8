from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from pixelwise.data.augment import Augmentation, Hole, Plan, preset
from pixelwise.data.augment.plan import SAME_COLOURS
from pixelwise.data.device_augment import augment_on_device
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, layers_of
from pixelwise.errors import ArrayError

SIZE = (40, 56)
# Without normalising, values are those of the picture: 0 … 255.
PLAIN = Augmentation(size=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), peak=1.0)
TOLERANCE = 1e-5 * 255


def sample(seed, size=(61, 83)):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (size[0] // 4 + 1, size[1] // 4 + 1, 3), np.uint8)
    image = np.ascontiguousarray(coarse.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]])
    return image, generator.integers(0, 3, size, np.uint8)


def both(augmentation, plans, samples, target_of):
    """By the kernels and by PyTorch."""
    targets = [target_of(mask) for _, mask in samples]
    expected = [
        augmentation.apply(plan, image, target, ignore_index=255)
        for plan, (image, _), target in zip(plans, samples, targets, strict=True)
    ]
    truth = {
        name: [torch.from_numpy(vars(target)[name]) for target in targets]
        for name in vars(targets[0])
    }
    images = [torch.from_numpy(image) for image, _ in samples]
    return expected, augment_on_device(augmentation, plans, images, truth, ignore_index=255)


def assert_equal(expected, found, tolerance):
    images, truth = found
    assert images.dtype == torch.float32
    for row, one in enumerate(expected):
        np.testing.assert_allclose(images[row].numpy(), one.image, atol=tolerance, rtol=0)
        for name, part in vars(one.target).items():
            np.testing.assert_array_equal(truth[name][row].numpy(), part)
            assert truth[name].numpy().dtype == part.dtype


@pytest.mark.parametrize("name", ["light", "medium", "strong"])
@pytest.mark.parametrize("kind", ["multi_class", "instance", "multi_label"])
def test_a_batch_is_what_the_kernels_make_of_it(name, kind, make_table):
    augmentation = preset(name, size=SIZE)
    kinds = {
        "multi_class": MultiClassTarget,
        "instance": lambda mask: InstanceTarget(mask, mask.astype(np.int32) * 70_000),
        "multi_label": lambda mask: layers_of(mask, make_table(0, 1, 2)),
    }
    generator = np.random.default_rng(3)
    samples = [sample(seed, (61 + seed, 83 - seed)) for seed in range(12)]
    plans = [augmentation.draw(mask.shape, generator) for _, mask in samples]
    # A JPEG amplifies the rounding of a value next to a half.
    plans = [plan for plan in plans if not plan.jpeg]
    expected, found = both(augmentation, plans, samples[: len(plans)], kinds[kind])
    assert_equal(expected, found, 1e-5 / min(augmentation.std))


def matrix_of(scale, angle=0.0, bend=0.0):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return ((cos, sin, -3.0), (-sin, cos, 5.0), (bend, -bend / 2, 1.0))


@pytest.mark.parametrize("scale", [0.31, 1.0, 1.9, 2.0, 3.7])
@pytest.mark.parametrize(("angle", "bend"), [(0, 0), (0.4, 0), (0.1, 0.002), (0, -0.1)])
def test_places_are_those_of_the_kernels(scale, angle, bend):
    plans = [Plan(SIZE, matrix_of(scale, angle, bend))]
    expected, found = both(PLAIN, plans, [sample(1)], MultiClassTarget)
    assert_equal(expected, found, TOLERANCE)


def test_what_lies_behind_the_horizon_is_outside():
    plan = Plan(SIZE, ((1.0, 0.0, -56.0), (0.0, 1.0, -40.0), (-0.05, 0.0, 1.0)))
    expected, found = both(PLAIN, [plan], [sample(1)], MultiClassTarget)
    assert (expected[0].target.mask == 255).all()
    assert_equal(expected, found, TOLERANCE)


def test_a_matrix_is_the_same_times_any_number():
    doubled = tuple(tuple(2 * value for value in row) for row in matrix_of(2.3))
    expected, found = both(PLAIN, [Plan(SIZE, doubled)], [sample(1)], MultiClassTarget)
    assert_equal(expected, found, TOLERANCE)


@pytest.mark.parametrize(
    "parts",
    [
        {"colour": ((0.5, 0.2, 0.1, 40), (0, 1.4, 0, -30), (0.3, 0, 0.9, 0))},
        {"gamma": 0.6},
        {"gamma": 1.7},
        {"blur": 1.3},
        {"holes": (Hole(3, 4, 12, 20), Hole(0, 0, 1, 1))},
        {"jpeg": 60, "colour": SAME_COLOURS},
        {"jpeg": 60, "blur": 0.8},
    ],
)
def test_each_part_of_a_plan_does_what_the_kernels_do(parts):
    plans = [Plan(SIZE, matrix_of(1.0), **parts)]
    expected, found = both(PLAIN, plans, [sample(1)], MultiClassTarget)
    assert_equal(expected, found, TOLERANCE)


def test_one_tensor_is_a_batch_too():
    samples = [sample(seed) for seed in range(3)]
    plans = [Plan(SIZE, matrix_of(1.0 + seed)) for seed in range(3)]
    images = torch.from_numpy(np.stack([image for image, _ in samples]))
    masks = torch.from_numpy(np.stack([mask for _, mask in samples]))
    found = augment_on_device(PLAIN, plans, images, {"mask": masks}, ignore_index=255)
    expected, _ = both(PLAIN, plans, samples, MultiClassTarget)
    assert_equal(expected, found, TOLERANCE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"images": [torch.zeros(5, 5)]}, "expected uint8"),
        ({"plans": []}, "0 plans"),
        ({"truth": {"masks": [torch.zeros(5, 6, dtype=torch.uint8)]}}, "masks"),
        ({"truth": {"mask": []}}, "0 × mask"),
        ({"truth": {"mask": [torch.zeros(5, 7, dtype=torch.uint8)]}}, r"\[5, 7\]"),
        ({"truth": {"mask": [torch.zeros(5, 6)]}}, "float32"),
    ],
)
def test_batches_that_contradict_themselves_are_refused(change, told):
    fitting = {
        "plans": [Plan(SIZE)],
        "images": [torch.zeros(5, 6, 3, dtype=torch.uint8)],
        "truth": {"mask": [torch.zeros(5, 6, dtype=torch.uint8)]},
    }
    with pytest.raises(ArrayError) as error:
        augment_on_device(PLAIN, **fitting | change, ignore_index=255)
    assert error.match("cannot be augmented")
    assert re.search(told, error.value.got)


def test_ids_of_16_bits_come_back_in_32():
    plan = Plan(SIZE, matrix_of(0.7))
    image, mask = sample(1)
    wide = mask.astype(np.uint16) * 300
    expected = PLAIN.apply(plan, image, MultiClassTarget(wide), ignore_index=65_535)
    truth = {"mask": [torch.from_numpy(wide)]}
    _, found = augment_on_device(
        PLAIN, [plan], [torch.from_numpy(image)], truth, ignore_index=65_535
    )
    assert found["mask"].dtype == torch.int32
    np.testing.assert_array_equal(found["mask"][0].numpy(), expected.target.mask)
