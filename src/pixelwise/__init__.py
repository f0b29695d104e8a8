"""pixelwise: semantic segmentation, from a photo to a class for every pixel.

>>> import pixelwise as pw
>>> seg = pw.load("street").predict("photo.jpg")
>>> seg.labels, seg.overlay()
>>> dataset = pw.data.open("folder of photos and masks")

Names load on first use, so that the import itself costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pixelwise.version import VERSION

if TYPE_CHECKING:
    from pixelwise import classical, data, metrics, refine
    from pixelwise.api import (
        ClassInfo,
        ClassTable,
        Model,
        MultiLabelSegmentation,
        PixelwiseError,
        Segmentation,
        Window,
        build,
        load,
        model_cards,
        read_image,
        read_mask,
        search,
        stream,
    )

__version__ = VERSION

__all__ = [
    "ClassInfo",
    "ClassTable",
    "Model",
    "MultiLabelSegmentation",
    "PixelwiseError",
    "Segmentation",
    "Window",
    "__version__",
    "build",
    "classical",
    "data",
    "load",
    "metrics",
    "model_cards",
    "read_image",
    "read_mask",
    "refine",
    "search",
    "stream",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}")
    if name in {"classical", "data", "metrics", "refine"}:
        return importlib.import_module(f"pixelwise.{name}")
    return getattr(importlib.import_module("pixelwise.api"), name)


def __dir__() -> list[str]:
    return __all__
