"""Augmentation of pictures together with their targets.

augmentation = Augmentation((RandomScale(0.5, 2), RandomCrop(), Flip()), size=(384, 512))
plan = augmentation.draw(target.size, generator)
sample = augmentation.apply(plan, image, target, ignore_index=255)
"""

from __future__ import annotations

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
    Fit,
    Flip,
    Perspective,
    QuarterTurns,
    RandomCrop,
    RandomScale,
    Rotate,
)
from pixelwise.data.augment.mixing import ClassMix, CutMix, paste
from pixelwise.data.augment.plan import Augmented, Hole, Plan
from pixelwise.data.augment.presets import PRESETS, preset, training_pieces

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PRESETS",
    "Area",
    "Augmentation",
    "Augmented",
    "Blur",
    "ClassMix",
    "CutMix",
    "Cutout",
    "Fit",
    "Flip",
    "Hole",
    "Jpeg",
    "Perspective",
    "Photometric",
    "Piece",
    "Plan",
    "QuarterTurns",
    "RandomCrop",
    "RandomScale",
    "Rotate",
    "paste",
    "preset",
    "training_pieces",
]
