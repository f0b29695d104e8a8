"""The chain of the augmentation benchmarks in pixelwise and in its peers.

Each pipeline does the same: a scale of 0.5 to 2, a crop, a flip in half of the cases, brightness,
contrast and saturation of 1 ± 0.25 and hue of ± 0.02, ImageNet's normalisation, and the mask with
it. Every one is used as its documentation shows it, with its own defaults: torchvision shrinks
with antialiasing, albumentations (OpenCV) without; both turn hue in HSV, pixelwise in YIQ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    Augmented,
    Flip,
    Photometric,
    RandomCrop,
    RandomScale,
)
from pixelwise.data.targets import MultiClassTarget

__all__ = ["PIPELINES", "albumentations", "ours", "single_threaded", "torchvision"]

Pipeline = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Any]

IGNORED = 255
SCALES = (0.5, 2.0)
CHANGE = 0.25
HUE = 0.02


def single_threaded() -> None:
    """One thread for each library, in this process."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def ours(size: tuple[int, int], *, seed: int = 0) -> Pipeline:
    """pixelwise, into arrays that are there already, as its loader does."""
    augmentation = Augmentation(
        (
            RandomScale(*SCALES),
            Flip(0.5),
            RandomCrop(),
            Photometric(brightness=CHANGE, contrast=CHANGE, saturation=CHANGE, hue=HUE),
        ),
        size=size,
    )
    generator = np.random.default_rng(seed)
    out = Augmented(np.empty((3, *size), np.float32), MultiClassTarget(np.empty(size, np.uint8)))

    def run(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Augmented:
        plan = augmentation.draw(mask.shape, generator)
        target = MultiClassTarget(mask)
        return augmentation.apply(plan, image, target, ignore_index=IGNORED, out=out)

    return run


def torchvision(size: tuple[int, int], *, seed: int = 0) -> Pipeline:
    """Transforms v2 on tensors."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    torch.manual_seed(seed)
    crop = v2.RandomCrop(
        size, pad_if_needed=True, fill={tv_tensors.Image: 127, tv_tensors.Mask: IGNORED}
    )
    after = v2.Compose(
        [
            crop,
            v2.RandomHorizontalFlip(0.5),
            v2.ColorJitter(CHANGE, CHANGE, CHANGE, HUE),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )

    def run(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Any:
        # The picture as a tensor [3, H, W] that looks at the same bytes, as the decoder gives it.
        pair = (
            tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
            tv_tensors.Mask(torch.from_numpy(mask)),
        )
        return after(*v2.ScaleJitter(mask.shape, SCALES)(*pair))

    return run


def albumentations(size: tuple[int, int], *, seed: int = 0) -> Pipeline:
    """Albumentations on arrays, and its own step to a tensor."""
    import albumentations as library
    from albumentations.pytorch import ToTensorV2

    around = (1 - CHANGE, 1 + CHANGE)
    chain = library.Compose(
        [
            library.RandomScale(scale_limit=(SCALES[0] - 1, SCALES[1] - 1), p=1),
            library.RandomCrop(*size, pad_if_needed=True, fill=127, fill_mask=IGNORED),
            library.HorizontalFlip(p=0.5),
            library.ColorJitter(
                brightness=around, contrast=around, saturation=around, hue=(-HUE, HUE), p=1
            ),
            library.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ToTensorV2(),
        ],
        seed=seed,
    )

    def run(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Any:
        return chain(image=image, mask=mask)

    return run


PIPELINES: dict[str, Callable[..., Pipeline]] = {
    "pixelwise": ours,
    "torchvision v2": torchvision,
    "albumentations": albumentations,
}
