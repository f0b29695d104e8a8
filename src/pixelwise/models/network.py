"""What every architecture has in common: its config, its promise about the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from reprlib import repr as short_repr
from typing import Annotated, Any, Literal, get_type_hints

import torch
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import Encoder

__all__ = [
    "MOST_CLASSES",
    "Alignment",
    "AuxiliaryNetwork",
    "Chance",
    "Count",
    "KernelSize",
    "NetworkConfig",
    "SegmentationNetwork",
]

# Label maps are stored as 16-bit numbers, and one of them is the ignore id.
MOST_CLASSES = 65_535


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("an odd number, so that maps keep their size")
    return size


# Types of options: a config refuses values outside them.
Alignment = Literal["corners", "half_pixel"]
Count = Annotated[int, Field(ge=1)]
Chance = Annotated[float, Field(ge=0, lt=1)]
KernelSize = Annotated[int, Field(ge=1), AfterValidator(_odd)]


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

    classes: Annotated[int, Field(ge=1, le=MOST_CLASSES)]
    class_names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    encoder: str = "resnet50"
    in_channels: Count = 3

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
        """What is wrong with choices that are right each by itself, one sentence each."""
        faults = []
        names = self.class_names
        if names and len(names) != self.classes:
            faults.append(f"class_names: {len(names)} names for {self.classes} classes")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            faults.append(f"class_names: {short_repr(twice)} more than once")
        return faults

    def _type_faults(self) -> list[str]:
        """Every option that is outside its type, with the first reason."""
        types = get_type_hints(type(self), include_extras=True)
        faults = []
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                TypeAdapter(types[field.name]).validate_python(value, strict=True)
            except ValidationError as error:
                faults.append(_fault(field.name, value, error))
        return faults


def _fault(name: str, value: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{step}]" for step in first["loc"] if isinstance(step, int))
    reason = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{name}{place}={short_repr(first['input'] if place else value)}: {reason}"


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


class AuxiliaryNetwork(SegmentationNetwork):
    """A decoder on the encoder's maps, and perhaps a head on the last map but one, for training.

    Attributes:
        auxiliary_head: `[B, C, H, W]` -> `[B, classes, H, W]`, or None.
    """

    auxiliary_head: nn.Module | None

    def maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, in_channels, H, W]` -> the maps that the decoder takes, from fine to coarse."""
        maps: list[torch.Tensor] = self.encoder(image)
        return maps

    @abstractmethod
    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The maps -> `[B, classes, ~H/output_stride, ~W/output_stride]` logits."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See `SegmentationNetwork`."""
        return self.decode(self.maps(image))

    def all_logits(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits of `forward`, then those of the auxiliary head if there is one."""
        maps = self.maps(image)
        if self.auxiliary_head is None:
            return (self.decode(maps),)
        return self.decode(maps), self.auxiliary_head(maps[-2])
