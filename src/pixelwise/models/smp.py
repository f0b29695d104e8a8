"""Encoders of segmentation_models_pytorch, which several architectures convert."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["smp_atrous_encoder", "smp_encoder", "smp_encoder_rules"]


def smp_encoder_rules(weights: Mapping[str, torch.Tensor]) -> dict[str, str | None]:
    """Renaming rules for the encoder part: ResNets, and timm's models (`tu-…`).

    The keys of other encoders stay as they are, so that the table of differences shows them.
    """
    if any(key.startswith("encoder.model.") for key in weights):
        return {r"encoder\.model\.": "encoder.body."}
    return {r"encoder\.(?=conv1|bn1|layer\d)": "encoder.body."}


def smp_encoder(name: str) -> dict[str, object]:
    """Our options for an encoder as segmentation_models_pytorch names it."""
    return {"encoder": name.removeprefix("tu-")}


def smp_atrous_encoder(name: str) -> dict[str, object]:
    """Likewise for a dilated encoder: its own dilate whole stages, timm's all but one block."""
    return {**smp_encoder(name), "dilate_first_block": not name.startswith("tu-")}
