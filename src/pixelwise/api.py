"""The public names, in one place."""

from __future__ import annotations

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import PixelwiseError
from pixelwise.formats.images import read_image
from pixelwise.formats.masks import read_mask
from pixelwise.geometry import Window
from pixelwise.inference.card import Card
from pixelwise.inference.model_file import read_model, shipped_models
from pixelwise.inference.predictor import Model, load
from pixelwise.segmentation import Segmentation

__all__ = [
    "ClassInfo",
    "ClassTable",
    "Model",
    "PixelwiseError",
    "Segmentation",
    "Window",
    "load",
    "model_cards",
    "read_image",
    "read_mask",
]


def model_cards() -> dict[str, Card]:
    """Name and card of every model that ships with the package."""
    return {name: read_model(name).card for name in shipped_models()}
