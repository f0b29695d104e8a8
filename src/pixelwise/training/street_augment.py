"""Augmentation of a photo and its mask: random scale and crop, flip, colour and blur.

Geometry moves photo and mask together; the mask is sampled by nearest neighbour, so no class id
can arise that was not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["Augmentation", "augment"]

_GREY = 127
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """How far each random change may go.

    Attributes:
        crop: `(H, W)` of the result.
        scale: smallest and largest enlargement, drawn evenly on a logarithmic axis.
        stretch: largest change of the aspect ratio, as a factor.
        brightness, contrast, saturation: largest change, as a fraction.
        white_balance: largest change of one colour channel against the others, as a fraction.
        gamma: largest exponent of the tone curve (its inverse is the smallest).
        grey: chance of losing all colour.
        blur: chance of a Gaussian blur.
    """

    crop: tuple[int, int] = (353, 449)
    scale: tuple[float, float] = (0.75, 2.4)
    stretch: float = 1.1
    brightness: float = 0.25
    contrast: float = 0.3
    saturation: float = 0.4
    white_balance: float = 0.08
    gamma: float = 1.3
    grey: float = 0.05
    blur: float = 0.15


def augment(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    settings: Augmentation,
    *,
    ignore_index: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`[h, w, 3]` and `[h, w]` -> `[H, W, 3]` and `[H, W]`, both uint8, H and W of the crop.

    What lies outside the photo is mid grey, before the colours change, and `ignore_index`.
    """
    image, mask = _scale_and_crop(image, mask, settings, ignore_index, generator)
    if generator.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return _change_colours(image, settings, generator), np.ascontiguousarray(mask)


def _scale_and_crop(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    settings: Augmentation,
    ignore_index: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    low, high = np.log(settings.scale)
    scale = np.exp(generator.uniform(low, high))
    stretch = np.exp(generator.uniform(-1, 1) * np.log(settings.stretch) / 2)
    scales = (scale * stretch, scale / stretch)
    canvas = np.full((*settings.crop, 3), _GREY, np.uint8)
    labels = np.full(settings.crop, ignore_index, np.uint8)
    windows, box = [], []
    for size, crop, factor in zip(mask.shape, settings.crop, scales, strict=True):
        scaled = max(1, round(size * factor))
        # Where the scaled photo is smaller than the crop, it is placed inside; else cut.
        offset = int(generator.integers(min(0, scaled - crop), max(0, scaled - crop) + 1))
        first, last = max(0, -offset), min(crop, scaled - offset)
        windows.append(slice(first, last))
        box.append(((first + offset) / factor, min(size, (last + offset) / factor)))
    (top, bottom), (left, right) = box
    size = (windows[1].stop - windows[1].start, windows[0].stop - windows[0].start)
    region = (left, top, right, bottom)
    canvas[windows[0], windows[1]] = np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=region)
    )
    labels[windows[0], windows[1]] = np.asarray(
        Image.fromarray(mask).resize(size, Image.Resampling.NEAREST, box=region)
    )
    return canvas, labels


def _change_colours(
    image: NDArray[np.uint8], settings: Augmentation, generator: np.random.Generator
) -> NDArray[np.uint8]:
    def factor(reach: float) -> float:
        return float(1 + generator.uniform(-reach, reach))

    values = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(generator.uniform(-1, 1) * np.log(settings.gamma))
    tone = ((values**gamma - 0.5) * factor(settings.contrast) + 0.5) * factor(settings.brightness)
    balance = [factor(settings.white_balance) for _ in range(3)]
    saturation = 0.0 if generator.random() < settings.grey else factor(settings.saturation)
    # One table look-up per channel does gamma, contrast, brightness and white balance.
    toned = np.stack([(tone * gain)[image[..., c]] for c, gain in enumerate(balance)], axis=-1)
    luma = (toned @ _LUMA)[..., None]
    mixed = luma + (toned - luma) * saturation
    result = np.clip(mixed * 255 + 0.5, 0, 255).astype(np.uint8)
    if generator.random() < settings.blur:
        radius = generator.uniform(0.3, 1.2)
        return np.asarray(Image.fromarray(result).filter(ImageFilter.GaussianBlur(radius)))
    return result
