"""Mean and deviation of the pictures that an encoder's weights were trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias

import timm
from safetensors import SafetensorError, safe_open

from pixelwise.models.weights import shipped_encoder_file

__all__ = ["input_statistics"]

Colours: TypeAlias = tuple[float, float, float]
"""Of red, green and blue, in shares of the full scale."""

# Deng et al., ImageNet: the values that its classifiers are usually trained with.
_IMAGENET: tuple[Colours, Colours] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def input_statistics(encoder: str, weights: str | Path | None) -> tuple[Colours, Colours]:
    """Mean and deviation that pictures are to be normalised with.

    Args:
        encoder: its name.
        weights: as `encoder_weights` of `build`: "shipped", "timm", a file, or None. A safetensors
            file may say them in its metadata, as texts `mean` and `std` of three numbers; else
            they are those of timm's weights for the encoder, and failing that ImageNet's.

    Raises:
        UsageError: no weights ship for the encoder.
    """
    if weights == "shipped":
        weights = shipped_encoder_file(encoder)
    told = None if weights is None or weights == "timm" else _metadata(Path(weights))
    return told or _of_timm(encoder)


def _metadata(path: Path) -> tuple[Colours, Colours] | None:
    """What the file says; a file that cannot be read says nothing, and fails when it is loaded."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    mean, std = (_three(metadata.get(key, "")) for key in ("mean", "std"))
    return None if mean is None or std is None or min(std) <= 0 else (mean, std)


def _three(text: str) -> Colours | None:
    try:
        red, green, blue = map(float, text.split())
    except ValueError:
        return None
    return (red, green, blue) if all(map(math.isfinite, (red, green, blue))) else None


def _of_timm(encoder: str) -> tuple[Colours, Colours]:
    known = timm.get_pretrained_cfg(encoder) if timm.is_model(encoder) else None
    if known is None or len(known.mean) != 3 or len(known.std) != 3:
        return _IMAGENET
    (red, green, blue), spread = known.mean, known.std
    return (red, green, blue), (spread[0], spread[1], spread[2])
