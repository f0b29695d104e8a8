"""What every architecture has in common: its config, its promise about the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import Encoder

__all__ = ["MOST_CLASSES", "Alignment", "NetworkConfig", "SegmentationNetwork"]

Alignment = Literal["corners", "half_pixel"]

# Label maps are stored as 16-bit numbers, and one of them is the ignore id.
MOST_CLASSES = 65_535


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Every choice that makes a network; each architecture adds its own.

    Attributes:
        classes: number of score maps, 1 to 65,535.
        class_names: their names, in the order of the score maps; empty where nobody named them.
        encoder: name of the encoder: a timm model, or one of pixelwise's own.
        in_channels: bands of the input picture.

    Raises:
        UsageError: on creation, with every fault of the config at once.
    """

    classes: int
    class_names: tuple[str, ...] = ()
    encoder: str = "resnet50"
    in_channels: int = 3

    def __post_init__(self) -> None:
        faults = self._type_faults() or self.faults()
        if faults:
            raise UsageError(
                "the network cannot be built as asked",
                where=type(self).__name__,
                got="; ".join(faults),
                fix="change the options named above",
            )

    def faults(self) -> list[str]:
        """What is wrong with choices of the right type, one sentence each."""
        faults = []
        if not 1 <= self.classes <= MOST_CLASSES:
            faults.append(f"classes={self.classes}: a whole number from 1 to {MOST_CLASSES:,}")
        if self.class_names and len(self.class_names) != self.classes:
            faults.append(f"class_names: {len(self.class_names)} names for {self.classes} classes")
        if self.in_channels < 1:
            faults.append(f"in_channels={self.in_channels}: a whole number, 1 or more")
        return faults

    def _type_faults(self) -> list[str]:
        faults = []
        types = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                TypeAdapter(types[field.name]).validate_python(value, strict=True)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
                faults.append(f"{field.name}={value!r}: {reason}")
        return faults


class SegmentationNetwork(nn.Module, ABC):
    """A picture goes in, scores per class come out, at a stride of the network's own.

    Enlarging the scores to the picture is left to the caller: prediction takes labels from the
    small scores exactly, and training can fuse it with the loss.

    Attributes:
        config: the choices the network was built from.
        encoder: what makes feature maps of the picture.
        output_stride: input pixels between two neighbouring scores.
        alignment: where the scores lie: `"half_pixel"`, they are the centres of equal cells
            (`align_corners=False`), or `"corners"`, the outer ones lie on the outer pixels.
    """

    config: NetworkConfig
    encoder: Encoder
    output_stride: int
    alignment: Alignment = "half_pixel"

    @abstractmethod
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores before any softmax.

        Args:
            image: float `[B, in_channels, H, W]`, normalised as the encoder wants it.

        Returns:
            `[B, classes, ceil(H / output_stride), ceil(W / output_stride)]` logits.
        """

    def all_logits(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits of `forward`, then those of each auxiliary head, for training.

        Auxiliary heads share the class axis, not the stride: enlarge each to the truth.
        """
        return (self(image),)

    def load_classification(self, stored: Mapping[str, torch.Tensor], *, where: str) -> None:
        """Starts from the weights of a classification network: see `Encoder`."""
        self.encoder.load_classification(stored, where=where)
