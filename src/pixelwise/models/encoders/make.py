"""From a name to an encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import Encoder
from pixelwise.models.encoders.mix_transformer import MIT_VARIANTS, MixTransformer
from pixelwise.models.encoders.mobilenet_v3 import MobileNetV3Large
from pixelwise.models.encoders.plain import PlainEncoder
from pixelwise.models.encoders.plain_vit import PlainViT
from pixelwise.models.encoders.timm_encoder import (
    ATROUS_FAMILIES,
    PLAIN_VIT_FAMILIES,
    TimmEncoder,
    family_of,
)

__all__ = ["OWN_ATROUS_FORMS", "OWN_ENCODERS", "check_encoder", "make_encoder"]

# Name -> maker from (name, in_channels). All others are timm's.
OWN_ENCODERS: dict[str, Callable[[str, int], Encoder]] = {
    "mobilenet_v3_large": MobileNetV3Large,
    "plain": PlainEncoder,
    **dict.fromkeys(MIT_VARIANTS, MixTransformer),
}

# (name, output stride) -> likewise; the others have no form but their own.
OWN_ATROUS_FORMS: dict[tuple[str, int], Callable[[str, int], Encoder]] = {
    ("mobilenet_v3_large", 16): partial(MobileNetV3Large, atrous=True),
}


def make_encoder(
    name: str,
    *,
    in_channels: int = 3,
    output_stride: int = 32,
    depth: int | None = None,
    deepest: int | None = None,
    dilate_first_block: bool = False,
) -> Encoder:
    """An encoder by name, without weights: one of pixelwise's own, or any timm model.

    Args:
        name: such as `"mit_b0"` or `"resnet50"`.
        in_channels: bands of the input picture.
        output_stride: the coarsest stride wanted: 32 is the models' own, 16 and 8 need an encoder
            that can be dilated.
        depth: how many maps, from the finest on; None for all.
        deepest: how many of those the decoder takes, from the deepest back; where the others need
            not be kept, their memory is spared. None for all.
        dilate_first_block: see `TimmEncoder`.

    Raises:
        UsageError: no such encoder, or it cannot do what is asked.
    """
    own = OWN_ENCODERS.get(name)
    if own is None and family_of(name) in PLAIN_VIT_FAMILIES:
        own = PlainViT
    if own is not None:
        if depth is not None or dilate_first_block:
            raise UsageError(
                f"the encoder {name} can be neither cut nor dilated",
                where=f"encoder {name}",
                got=f"depth={depth}, dilate_first_block={dilate_first_block}",
                fix="leave these options out, or take an encoder such as resnet50",
            )
        return _own_form(name, own, output_stride)(name, in_channels)
    return TimmEncoder(
        name,
        in_channels=in_channels,
        output_stride=output_stride,
        depth=depth,
        deepest=deepest,
        dilate_first_block=dilate_first_block,
    )


def check_encoder(name: str) -> None:
    """Makes sure that there is an encoder of this name, without building it.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name not in OWN_ENCODERS:
        family_of(name)


def _own_form(
    name: str, own: Callable[[str, int], Encoder], output_stride: int
) -> Callable[[str, int], Encoder]:
    forms = {32: own}
    forms |= {stride: form for (key, stride), form in OWN_ATROUS_FORMS.items() if key == name}
    if output_stride not in forms:
        raise UsageError(
            f"the encoder {name} cannot keep its maps at output stride {output_stride}",
            where="output_stride",
            got=f"{output_stride}; {name} can do {' and '.join(map(str, sorted(forms)))}",
            fix="take a timm encoder of one of the families that can: "
            + ", ".join(ATROUS_FAMILIES),
        )
    return forms[output_stride]
