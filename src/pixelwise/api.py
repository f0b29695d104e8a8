"""The public names, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import PixelwiseError
from pixelwise.extras import extra
from pixelwise.formats.images import read_image
from pixelwise.formats.masks import read_mask
from pixelwise.geometry import Window
from pixelwise.inference.card import Card
from pixelwise.inference.model_file import read_model, shipped_models
from pixelwise.inference.predictor import Model, load
from pixelwise.inference.streaming import stream
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.searching.search import search
from pixelwise.segmentation import Segmentation

if TYPE_CHECKING:
    from pixelwise.models.network import SegmentationNetwork

__all__ = [
    "ClassInfo",
    "ClassTable",
    "Model",
    "MultiLabelSegmentation",
    "PixelwiseError",
    "Segmentation",
    "Window",
    "build",
    "load",
    "model_cards",
    "read_image",
    "read_mask",
    "search",
    "stream",
]


def model_cards() -> dict[str, Card]:
    """Name and card of every model that ships with the package."""
    return {name: read_model(name).card for name in shipped_models()}


def build(
    architecture: str,
    *,
    classes: int | ClassTable | Sequence[str],
    encoder: str | None = None,
    in_channels: int = 3,
    encoder_weights: str | Path | None = None,
    weights: str | Path | None = None,
    source: str | None = None,
    pytorch_file: bool = False,
    **options: object,
) -> SegmentationNetwork:
    """A torch network by the name of its architecture: see `pixelwise.models.build.build`.

    >>> network = pw.build("deeplabv3plus", encoder="resnet50", classes=19)

    Raises:
        MissingExtraError: torch or another package of the extra `train` is not installed.
        UsageError: an unknown name or option, or choices that cannot be built.
        WeightsError: weights that cannot be read or do not fit; nothing is loaded then.
    """
    with extra("train"):
        from pixelwise.models import build as making
    return making.build(
        architecture,
        classes=classes,
        encoder=encoder,
        in_channels=in_channels,
        encoder_weights=encoder_weights,
        weights=weights,
        source=source,
        pytorch_file=pytorch_file,
        **options,
    )
