"""Augmentations by name."""

from __future__ import annotations

from dataclasses import replace

from pixelwise.data.augment.augmentation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    Piece,
)
from pixelwise.data.augment.colour import Photometric
from pixelwise.data.augment.damage import Blur, Cutout, Jpeg
from pixelwise.data.augment.geometry import (
    Area,
    Flip,
    Perspective,
    QuarterTurns,
    RandomCrop,
    RandomScale,
    Rotate,
)
from pixelwise.errors import UsageError, did_you_mean

__all__ = ["PRESETS", "preset", "training_pieces"]

PRESETS: dict[str, tuple[Piece, ...]] = {
    "none": (),
    "light": (
        RandomScale(0.8, 1.25),
        Flip(0.5),
        RandomCrop(),
        Photometric(brightness=0.1, contrast=0.1, saturation=0.1),
    ),
    "medium": (
        RandomScale(0.5, 2.0),
        Flip(0.5),
        RandomCrop(),
        Photometric(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.02),
    ),
    "strong": (
        RandomScale(0.5, 2.0, stretch=1.15),
        Rotate(10, chance=0.3),
        Perspective(0.1, chance=0.2),
        Flip(0.5),
        RandomCrop(),
        Photometric(
            brightness=0.35,
            contrast=0.35,
            saturation=0.4,
            grey=0.05,
            hue=0.04,
            white_balance=0.08,
            gamma=1.3,
        ),
        Blur(0.3, 1.2, chance=0.15),
        Jpeg(40, 90, chance=0.1),
        Cutout(holes=1, size=0.25, chance=0.2),
    ),
}
"""What each name stands for. "none" cuts the output out of the middle, or leaves the picture."""


def preset(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Augmentation:
    """The augmentation of a name in `PRESETS`.

    Args:
        name: "none", "light", "medium" or "strong".
        size: `(H, W)` of the result; all but "none" need it.
        mean: of each band; see `Augmentation`.
        std: of each band.

    Raises:
        UsageError: there is no such name, or something is outside its limits.
    """
    return Augmentation(_pieces(name), size=size, mean=mean, std=std)


def training_pieces(
    name: str, *, pixels: int | None = None, longest: int = 4096, any_way_up: bool = False
) -> tuple[Piece, ...]:
    """The pieces of a name in `PRESETS`, on pictures of the size that prediction gives them.

    Args:
        name: "none", "light", "medium" or "strong".
        pixels: see `Area`.
        longest: see `Area`.
        any_way_up: pictures have no upper side, as under a microscope or from the air: they are
            turned by quarters and mirrored, and "strong" turns them by any angle.

    Raises:
        UsageError: there is no such name.
    """
    pieces: list[Piece] = [Area(pixels, longest)]
    for piece in _pieces(name):
        if any_way_up and isinstance(piece, Flip):
            pieces += [QuarterTurns(), piece]
        elif any_way_up and isinstance(piece, Rotate):
            pieces.append(replace(piece, degrees=180.0))
        else:
            pieces.append(piece)
    return tuple(pieces)


def _pieces(name: str) -> tuple[Piece, ...]:
    if name not in PRESETS:
        raise UsageError(
            "no such augmentation", got=repr(name), fix=did_you_mean(str(name), PRESETS)
        )
    return PRESETS[name]
