"""What a decoder may ask of an encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from pixelwise.errors import WeightsError
from pixelwise.models.weights import Misfit, compare, read_tensors

__all__ = ["Encoder", "adapt_bands", "steps_over"]


class Encoder(nn.Module, ABC):
    """A pyramid of feature maps, from fine to coarse.

    Attributes:
        name: what the encoder is asked for by.
        channels: channels of each feature map.
        strides: how many input pixels one feature pixel steps over, likewise.
        weights_origin: the project whose classification weights it takes.
    """

    weights_origin: ClassVar[str] = "timm"

    name: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @abstractmethod
    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, in_channels, H, W]` -> one `[B, channels[i], ~H/strides[i], ~W/strides[i]]` each."""

    def classification_key(self, key: str) -> str:
        """The name that a tensor of this encoder has in a file of classification weights.

        Dots and underscores are taken for the same, since timm joins nested names by either.
        """
        return key

    def load_pretrained(self, path: Path) -> None:
        """Reads classification weights from a safetensors file, in the origin's key layout.

        Keys of the classifier, which a feature pyramid has no place for, are passed over. Weights
        trained on three bands are fitted to the encoder's number of bands by `adapt_bands`.

        Raises:
            WeightsError: the file cannot be read, or a key that the encoder needs is missing or
                has another shape.
        """
        self.load_classification(read_tensors(path), where=str(path))

    def download_classification(self) -> dict[str, torch.Tensor]:
        """The classification weights that timm offers for the encoder's name, from the network.

        Raises:
            WeightsError: there are none, or they cannot be fetched.
        """
        raise WeightsError(
            f"there is nothing to download for the encoder {self.name}",
            where="encoder_weights",
            got="'timm'",
            fix="give a safetensors file of weights",
        )

    def load_classification(self, stored: Mapping[str, torch.Tensor], *, where: str) -> None:
        """As `load_pretrained`, from tensors in memory; `where` names their origin in errors."""
        wanted = self.state_dict()
        by_name = {_flat(key): tensor for key, tensor in stored.items()}
        names = {self.classification_key(key): key for key in wanted}
        found: dict[str, torch.Tensor] = {}
        for name, key in names.items():
            tensor = by_name.get(_flat(name))
            if tensor is not None and _differs_in_bands(tensor.shape, wanted[key].shape):
                tensor = adapt_bands(tensor.float(), wanted[key].shape[1])
            if tensor is not None:
                found[name] = tensor
        missing, misshaped = compare(found, {name: wanted[key] for name, key in names.items()})
        misfit = Misfit(missing=missing, misshaped=misshaped)
        if misfit:
            raise WeightsError(
                f"weights do not fit the encoder {self.name}",
                where=where,
                got=misfit.table(),
                fix=f"give classification weights of {self.weights_origin}'s {self.name} "
                "in its own key layout",
            )
        self.load_state_dict({**wanted, **{names[name]: found[name] for name in found}})


def steps_over(size: int, stride: int) -> int:
    """ceil(size / stride), also for a size that an exporter leaves free.

    Without negative numbers, whose quotients ONNX rounds towards zero.
    """
    return (size + stride - 1) // stride


def _flat(key: str) -> str:
    return key.replace(".", "_")


def _differs_in_bands(stored: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether the shapes are those of a first convolution, from RGB and for other bands."""
    return (
        len(stored) == len(wanted) == 4
        and stored[1] == 3 != wanted[1]
        and (stored[0], *stored[2:]) == (wanted[0], *wanted[2:])
    )


def adapt_bands(weight: torch.Tensor, bands: int) -> torch.Tensor:
    """A first convolution trained on RGB, for another number of bands.

    The red, green and blue filters are given to the bands in turn, and a filter that several
    bands share is divided among them; one that no band got is spread over all. So the filters
    keep their sum: a picture whose bands are all alike gets the answer the grey RGB one got.

    Args:
        weight: `[out, 3, k, k]`.
        bands: bands wanted, 1 or more.

    Returns:
        `[out, bands, k, k]`.
    """
    colour = torch.arange(bands) % 3  # [bands]
    sharers = torch.bincount(colour, minlength=3)  # [3]
    shared = weight[:, colour] / sharers[colour].view(1, -1, 1, 1)  # [out, bands, k, k]
    left_over = weight[:, sharers == 0].sum(dim=1, keepdim=True)  # [out, 1, k, k]
    return shared + left_over / bands
