"""Encoders: one wrapper around timm that knows strides and channels.

The wrapper is the only place that talks to timm. A decoder asks it for `channels` and
`strides` and receives the feature maps in that order, always as `[B, C, H, W]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pixelwise.errors import WeightsError

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """The feature pyramid of a timm model.

    Args:
        name: a timm model name, such as `"mobilenetv2_100"`.
        in_channels: bands of the input picture.

    Attributes:
        channels: channels of each feature map, from fine to coarse.
        strides: how many input pixels one feature pixel steps over, likewise.
    """

    def __init__(self, name: str, *, in_channels: int = 3) -> None:
        super().__init__()
        self.name = name
        body: Any = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=in_channels
        )
        self.channels: tuple[int, ...] = tuple(body.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(body.feature_info.reduction())
        self.body: nn.Module = body

    def load_pretrained(self, path: Path) -> None:
        """Reads classification weights in timm's key layout from a safetensors file.

        Keys of the classifier, which a feature pyramid has no place for, are passed over.

        Raises:
            WeightsError: the file cannot be read, or a key that the encoder needs is missing or
                has another shape.
        """
        wanted = self.body.state_dict()
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                "the weights cannot be read",
                where=str(path),
                got=str(error),
                fix="give a safetensors file",
            ) from error
        faults = [f"{key}: missing" for key in wanted if key not in stored]
        faults += [
            f"{key}: shape {tuple(stored[key].shape)}, expected {tuple(tensor.shape)}"
            for key, tensor in wanted.items()
            if key in stored and stored[key].shape != tensor.shape
        ]
        if faults:
            raise WeightsError(
                f"weights do not fit the encoder {self.name}",
                where=str(path),
                got="; ".join(faults[:10]) + (" …" if len(faults) > 10 else ""),
                fix=f"give weights of timm's {self.name} in its own key layout",
            )
        self.body.load_state_dict(
            {key: stored[key].to(tensor.dtype) for key, tensor in wanted.items()}
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, 3, H, W]` -> one `[B, channels[i], ~H/strides[i], ~W/strides[i]]` for each i."""
        return list(self.body(image))
