"""Finding encoders by a part of their name."""

from __future__ import annotations

from dataclasses import dataclass

import timm
import torch

from pixelwise.models.encoders.make import OWN_ATROUS_FORMS, OWN_ENCODERS, make_encoder
from pixelwise.models.encoders.timm_encoder import ATROUS_FAMILIES, family_of

__all__ = ["EncoderFacts", "describe_encoder", "find_encoders"]


@dataclass(frozen=True)
class EncoderFacts:
    """What a decoder meets.

    Attributes:
        name: to be given as `encoder=`.
        parameters: millions.
        strides: of its maps, from fine to coarse.
        channels: of its maps, likewise.
        atrous: whether its family trades stride for dilation.
    """

    name: str
    parameters: float
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    atrous: bool


def find_encoders(text: str) -> list[str]:
    """Names that contain the text, in any case: pixelwise's own first, then timm's."""
    wanted = text.lower()
    return [name for name in [*sorted(OWN_ENCODERS), *timm.list_models()] if wanted in name.lower()]


def describe_encoder(name: str) -> EncoderFacts:
    """The facts of an encoder, worked out without allocating its weights.

    Raises:
        UsageError: it cannot serve as an encoder; the error says why.
    """
    with torch.device("meta"):
        encoder = make_encoder(name)
    return EncoderFacts(
        name=name,
        parameters=round(sum(parameter.numel() for parameter in encoder.parameters()) / 1e6, 2),
        strides=encoder.strides,
        channels=encoder.channels,
        atrous=any(own == name for own, _ in OWN_ATROUS_FORMS)
        if name in OWN_ENCODERS
        else family_of(name) in ATROUS_FAMILIES,
    )
