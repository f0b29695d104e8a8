"""Encoders from timm.

Its models differ in what they give and take; here every one of them gives feature maps
`[B, C, H, W]` with strides and channels that are known, for a picture of any size.
"""

from __future__ import annotations

import difflib
from typing import Any

import timm
import torch
from timm.layers.format import Format
from torch import nn
from torch.nn import functional

from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.encoders.base import Encoder, steps_over
from pixelwise.models.encoders.swin import free_the_size
from pixelwise.models.layers import BatchNorm

__all__ = [
    "ATROUS_FAMILIES",
    "PLAIN_VIT_FAMILIES",
    "TimmEncoder",
    "family_of",
    "timm_classification",
]

# timm's modules whose networks can trade stride for dilation (`output_stride=`).
ATROUS_FAMILIES = (
    "byobnet",
    "convnext",
    "cspnet",
    "cspnext",
    "efficientnet",
    "hardcorenas",
    "inception_next",
    "mobilenetv3",
    "mobilevit",
    "nfnet",
    "regnet",
    "res2net",
    "resnest",
    "resnet",
    "resnetv2",
    "rexnet",
    "sknet",
    "xception_aligned",
)

# Transformers whose maps all have one stride; `encoders.plain_vit` makes a pyramid of them.
PLAIN_VIT_FAMILIES = ("deit", "eva", "vision_transformer")

# Without this option they take pictures of their training size only.
_STRICT_SIZE_FAMILIES = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr")


def family_of(name: str) -> str:
    """timm's module that a model is defined in, such as `"resnet"`.

    Raises:
        UsageError: timm has no model of that name.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise UsageError(
            f"there is no encoder {name!r}",
            where="encoder",
            got=f"the nearest names: {', '.join(near) or 'none is near'}",
            fix="look for one with: pixelwise models --encoders TEXT",
        )
    return str(timm.model_entrypoint(name).__module__.rpartition(".")[2])


def timm_classification(name: str) -> dict[str, torch.Tensor]:
    """The classification weights that timm offers for a name, from the network.

    Raises:
        WeightsError: there are none, or they cannot be fetched.
    """
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"the weights of timm's {name} cannot be fetched",
            where="encoder_weights",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="check the network, or give a safetensors file",
        ) from error
    return dict(model.state_dict())


class TimmEncoder(Encoder):
    """The feature pyramid of a timm model.

    Args:
        name: a timm model name, such as `"mobilenetv2_100"`.
        in_channels: bands of the input picture.
        output_stride: 8 or 16 to keep the deep maps that fine, by dilated convolutions; 32 to
            leave the model as it is.
        depth: how many of the model's maps, from the finest on; None for all.
        deepest: how many of those are given, from the deepest back, unless whole stages are
            dilated; None for all.
        dilate_first_block: where dilation replaces a stride, the block that had the stride is
            dilated too. timm and torchvision's ResNets leave that block as it was, which is the
            common form; segmentation_models_pytorch dilates it.

    Raises:
        UsageError: timm has no such model, it has fewer maps than asked for, the output stride is
            not possible with it, or it does not take pictures of any size.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int = 3,
        output_stride: int = 32,
        depth: int | None = None,
        deepest: int | None = None,
        dilate_first_block: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        family = family_of(name)
        by_timm = 32 if dilate_first_block else output_stride
        body: Any = _create(
            name,
            family,
            in_channels=in_channels,
            output_stride=by_timm,
            depth=depth,
            # Dilating whole stages needs to know where each of them ends.
            deepest=None if dilate_first_block else deepest,
        )
        strides = tuple(body.feature_info.reduction())
        if dilate_first_block:
            _dilate_stages(name, body, output_stride)
            strides = tuple(min(stride, output_stride) for stride in strides)
        if family in _STRICT_SIZE_FAMILIES:
            free_the_size(body)
        self.body: nn.Module = body
        self.channels = tuple(body.feature_info.channels())
        self.strides = strides
        self._channels_last = vars(body).get("output_fmt", Format.NCHW) == Format.NHWC
        self._multiple = self._needed_multiple(in_channels)

    def classification_key(self, key: str) -> str:
        """The same key without the name of the wrapper."""
        return key.removeprefix("body.")

    def download_classification(self) -> dict[str, torch.Tensor]:
        """See `Encoder`."""
        return timm_classification(self.name)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        if self._multiple == 1:
            return self._maps(image)
        height, width = image.shape[-2:]
        image = functional.pad(image, (0, -width % self._multiple, 0, -height % self._multiple))
        return [
            features[:, :, : steps_over(height, stride), : steps_over(width, stride)]
            for features, stride in zip(self._maps(image), self.strides, strict=True)
        ]

    def _maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self.body(image)
        if self._channels_last:
            # [B, H, W, C] -> [B, C, H, W]
            return [features.permute(0, 3, 1, 2) for features in maps]
        return maps

    def _needed_multiple(self, in_channels: int) -> int:
        """What sizes are padded to: 1 for models that round up at every stride by themselves."""
        coarsest = max(self.strides)
        if all(self._rounds_up(in_channels, size) for size in (1, 2 * coarsest + 1)):
            return 1
        finest = min(self.strides)
        if all(self._rounds_up(in_channels, size) for size in (finest, 2 * coarsest + finest)):
            return finest
        for multiple in (coarsest, 2 * coarsest):
            if self._rounds_up(in_channels, 3 * multiple):
                return multiple
        raise UsageError(
            f"the encoder {self.name} does not take pictures of any size",
            where="encoder",
            got=f"at {3 * coarsest}×{3 * coarsest} it gives no maps at strides {self.strides}",
            fix="take another encoder, such as resnet50 or convnext_tiny",
        )

    def _rounds_up(self, in_channels: int, size: int) -> bool:
        training = self.body.training
        self.body.eval()
        try:
            with torch.no_grad():
                maps = self._maps(torch.zeros(1, in_channels, size, size))
        except (AssertionError, RuntimeError, ValueError):
            return False
        finally:
            self.body.train(training)
        sides = [-(-size // stride) for stride in self.strides]
        return [features.shape[-2:] for features in maps] == [(side, side) for side in sides]


def _create(
    name: str,
    family: str,
    *,
    in_channels: int,
    output_stride: int,
    depth: int | None,
    deepest: int | None,
) -> Any:
    options: dict[str, Any] = {"in_chans": in_channels}
    if output_stride != 32:
        if family not in ATROUS_FAMILIES:
            raise _no_atrous_form(name, output_stride)
        options["output_stride"] = output_stride
    if family in _STRICT_SIZE_FAMILIES:
        options["strict_img_size"] = False
    if depth is not None:
        options["out_indices"] = tuple(range(depth))[-(deepest or depth) :]
    elif deepest is not None:
        options["out_indices"] = tuple(range(-deepest, 0))
    try:
        body: Any = timm.create_model(name, pretrained=False, features_only=True, **options)
    except (AssertionError, IndexError, NotImplementedError, TypeError, RuntimeError) as error:
        if output_stride != 32:
            raise _no_atrous_form(name, output_stride) from error
        raise UsageError(
            "the model gives no such feature maps",
            where=f"encoder {name}",
            got=f"{depth or 'all'} maps wanted: {error}",
            fix="take another encoder; pixelwise models --encoders TEXT shows their maps",
        ) from error
    if output_stride != 32 and max(body.feature_info.reduction()) != output_stride:
        raise _no_atrous_form(name, output_stride)
    _admit_single_values(body)
    return body


def _admit_single_values(module: nn.Module) -> None:
    """Lets one picture train models that normalise its pooled maps, as `BatchNorm` does."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            norm = BatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
            norm.load_state_dict(child.state_dict(), assign=True)
            setattr(module, name, norm)
        else:
            _admit_single_values(child)


def _no_atrous_form(name: str, output_stride: int) -> UsageError:
    return UsageError(
        f"the encoder {name} cannot keep its maps at output stride {output_stride}",
        where="output_stride",
        got=f"{output_stride}; timm's {name} has no atrous form",
        fix="take an encoder of one of the families that have one: " + ", ".join(ATROUS_FAMILIES),
    )


def _dilate_stages(name: str, body: Any, output_stride: int) -> None:
    """Replaces stride by dilation in every stage coarser than the output stride, as a whole.

    Raises:
        UsageError: a stage steps by pooling, which dilation cannot replace.
    """
    strides = body.feature_info.reduction()
    ends = [name.replace(".", "_") for name in body.feature_info.module_name()]
    level, seen = 0, False
    for part, module in body.named_modules():
        inside = f"{part.replace('.', '_')}_".startswith(f"{ends[level]}_")
        if seen and not inside and level + 1 < len(ends):
            level, seen = level + 1, False
            inside = f"{part.replace('.', '_')}_".startswith(f"{ends[level]}_")
        seen = seen or inside
        if strides[level] <= output_stride:
            continue
        if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
            raise _no_atrous_form(name, output_stride)
        if isinstance(module, nn.Conv2d):
            dilation = strides[level] // output_stride
            module.stride = (1, 1)
            module.dilation = (dilation, dilation)
            module.padding = tuple(dilation * (size // 2) for size in module.kernel_size)
