"""From the name of an architecture to its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError, WeightsError, did_you_mean
from pixelwise.models import (
    deeplabv3,
    deeplabv3plus,
    dilated_fcn,
    fcn,
    lraspp,
    pspnet,
    segformer,
    segnet,
    unet,
    upernet,
)
from pixelwise.models.checkpoint import (
    load_tensors,
    saved_class_names,
    transformers_class_names,
)
from pixelwise.models.network import NetworkConfig, SegmentationNetwork
from pixelwise.models.weights import Source, read_tensors, shipped_encoder_file

__all__ = ["ARCHITECTURES", "Architecture", "build"]

_SMP = "segmentation_models_pytorch"


@dataclass(frozen=True)
class Architecture:
    """How the network of a name is made.

    Attributes:
        network: the class, made from its config.
        config: the class of its config, a `NetworkConfig`.
        options: what the name itself decides.
        sources: projects whose weights it takes, by name.
    """

    network: type[Any]
    config: type[Any]
    options: Mapping[str, object] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


ARCHITECTURES: Mapping[str, Architecture] = {
    "deeplabv3": Architecture(
        deeplabv3.DeepLabV3,
        deeplabv3.DeepLabV3Config,
        sources={
            "torchvision": Source(deeplabv3.form_torchvision, deeplabv3.convert_torchvision),
            _SMP: Source(deeplabv3.form_smp, deeplabv3.convert_smp),
        },
    ),
    "deeplabv3plus": Architecture(
        deeplabv3plus.DeepLabV3Plus,
        deeplabv3plus.DeepLabV3PlusConfig,
        sources={_SMP: Source(deeplabv3plus.form_smp, deeplabv3plus.convert_smp)},
    ),
    "fcn": Architecture(
        dilated_fcn.DilatedFCN,
        dilated_fcn.DilatedFCNConfig,
        sources={
            "torchvision": Source(dilated_fcn.form_torchvision, dilated_fcn.convert_torchvision)
        },
    ),
    "fcn16s": Architecture(fcn.FCN, fcn.FCNConfig, options={"finest_stride": 16}),
    "fcn32s": Architecture(fcn.FCN, fcn.FCNConfig, options={"finest_stride": 32}),
    "fcn8s": Architecture(fcn.FCN, fcn.FCNConfig, options={"finest_stride": 8}),
    "lraspp": Architecture(
        lraspp.LRASPP,
        lraspp.LRASPPConfig,
        sources={"torchvision": Source(lraspp.form_torchvision, lraspp.convert_torchvision)},
    ),
    "pspnet": Architecture(
        pspnet.PSPNet,
        pspnet.PSPNetConfig,
        sources={_SMP: Source(pspnet.form_smp, pspnet.convert_smp)},
    ),
    "segformer": Architecture(
        segformer.SegFormer,
        segformer.SegFormerConfig,
        sources={
            "transformers": Source(segformer.form_transformers, segformer.convert_transformers),
            _SMP: Source(segformer.form_smp, segformer.convert_smp),
        },
    ),
    "segnet": Architecture(segnet.SegNet, segnet.SegNetConfig),
    "unet": Architecture(
        unet.UNet, unet.UNetConfig, sources={_SMP: Source(unet.form_smp, unet.convert_smp)}
    ),
    "upernet": Architecture(
        upernet.UPerNet,
        upernet.UPerNetConfig,
        sources={"transformers": Source(upernet.form_transformers, upernet.convert_transformers)},
    ),
}


def build(
    architecture: str,
    *,
    classes: int | ClassTable | Sequence[str],
    encoder: str | None = None,
    in_channels: int = 3,
    encoder_weights: str | Path | None = None,
    weights: str | Path | None = None,
    source: str | None = None,
    pytorch_file: bool = False,
    **options: object,
) -> SegmentationNetwork:
    """A network by the name of its architecture, with random weights unless some are given.

    Args:
        architecture: a key of `ARCHITECTURES`; `pixelwise models --architectures` lists them.
        classes: how many score maps, or the classes by name.
        encoder: a timm model, `"mit_b0"` … `"mit_b5"`, `"plain"` or `"mobilenet_v3_large"`; None
            for the architecture's usual one.
        in_channels: bands of the input picture.
        encoder_weights: classification weights to start from: `"shipped"` for those that come with
            the package, a safetensors file, or `"timm"` to download those that timm offers.
            Weights for RGB are fitted to other bands.
        weights: weights of the whole network: a file of `save_weights`, or of `source`.
        source: the project whose form of the network is meant, such as `"torchvision"`: its
            options, its key layout, its spelling of encoder names.
        pytorch_file: the files of weights were written by `torch.save`; they are read with
            `weights_only=True`.
        options: choices of the architecture's config, such as `upsampling="bilinear"`.

    Raises:
        UsageError: an unknown name or option, or choices that cannot be built.
        WeightsError: weights that cannot be read or do not fit; nothing is loaded then.
    """
    _check_types(architecture, encoder_weights, weights, source, pytorch_file)
    entry = _entry(architecture)
    _check_options(architecture, entry, options)
    config = _config(
        entry,
        {
            **_class_options(classes),
            **({} if encoder is None else {"encoder": encoder}),
            "in_channels": _plain(in_channels),
            **{key: _plain(value) for key, value in options.items()},
        },
        _source(architecture, entry, source),
    )
    network: SegmentationNetwork = entry.network(config)
    if encoder_weights is not None:
        stored = _classification(network, encoder_weights, pytorch_file=pytorch_file)
        network.load_classification(stored, where=str(encoder_weights))
    if weights is not None:
        path = Path(weights)
        tensors = read_tensors(path, pytorch_file=pytorch_file)
        names: tuple[str, ...] = ()
        if source is None:
            names = saved_class_names(path)
        else:
            tensors = _convert(entry.sources[source], tensors, where=str(path))
        if source == "transformers":
            names = transformers_class_names(path)
        if isinstance(classes, ClassTable):
            names = tuple(classes.find(name).name if name in classes else name for name in names)
        load_tensors(network, tensors, where=str(path), class_names=names)
    return network


def _classification(
    network: SegmentationNetwork, chosen: str | Path, *, pytorch_file: bool
) -> dict[str, torch.Tensor]:
    if chosen == "timm":
        return network.encoder.download_classification()
    if chosen == "shipped":
        return read_tensors(shipped_encoder_file(network.encoder.name))
    return read_tensors(Path(chosen), pytorch_file=pytorch_file)


def _check_types(
    architecture: object,
    encoder_weights: object,
    weights: object,
    source: object,
    pytorch_file: object,
) -> None:
    faults = [
        f"{name}={value!r}: {expected}"
        for name, value, expected, right in (
            ("architecture", architecture, "a name", isinstance(architecture, str)),
            (
                "encoder_weights",
                encoder_weights,
                "a path, 'shipped', 'timm' or None",
                isinstance(encoder_weights, str | Path | None),
            ),
            ("weights", weights, "a path or None", isinstance(weights, str | Path | None)),
            ("source", source, "a name or None", isinstance(source, str | None)),
            ("pytorch_file", pytorch_file, "True or False", isinstance(pytorch_file, bool)),
        )
        if not right
    ]
    if faults:
        raise UsageError(
            "an argument is of the wrong type",
            where="build",
            got="; ".join(faults),
            fix="change the arguments named above",
        )


def _plain(value: object) -> object:
    """Lists as tuples, NumPy's whole numbers as Python's: what a config takes."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return int(value) if isinstance(value, np.integer) else value


def _entry(architecture: str) -> Architecture:
    if architecture not in ARCHITECTURES:
        raise UsageError(
            f"there is no architecture {architecture!r}",
            where="architecture",
            fix=did_you_mean(architecture, ARCHITECTURES),
        )
    return ARCHITECTURES[architecture]


def _source(architecture: str, entry: Architecture, source: str | None) -> Source | None:
    if source is None:
        return None
    if source not in entry.sources:
        raise UsageError(
            f"{architecture} takes no weights of {source!r}",
            where="source",
            got=f"sources of {architecture}: {', '.join(sorted(entry.sources)) or 'none'}",
            fix="leave source out for weights that pixelwise saved",
        )
    return entry.sources[source]


def _convert(
    source: Source, tensors: Mapping[str, torch.Tensor], *, where: str
) -> dict[str, torch.Tensor]:
    try:
        return source.convert(tensors)
    except (IndexError, RuntimeError) as error:
        raise WeightsError(
            "the weights cannot be brought into our form: their shapes contradict each other",
            where=where,
            got=str(error).partition("\n")[0],
            fix="give a file of the source and the architecture that are named",
        ) from error


def _class_options(classes: int | ClassTable | Sequence[str]) -> dict[str, object]:
    if isinstance(classes, ClassTable):
        return {"classes": len(classes), "class_names": classes.names}
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        return {"classes": len(classes), "class_names": tuple(classes)}
    return {"classes": _plain(classes)}


def _check_options(architecture: str, entry: Architecture, options: Mapping[str, object]) -> None:
    taken = {*entry.options, *(item.name for item in fields(NetworkConfig))}
    known = sorted({item.name for item in fields(entry.config)} - taken)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            f"{architecture} has no such option",
            where="options",
            got=", ".join(f"{name}={options[name]!r}" for name in unknown),
            fix=did_you_mean(unknown[0], known),
        )


def _config(entry: Architecture, chosen: dict[str, object], source: Source | None) -> NetworkConfig:
    form: dict[str, object] = {}
    if source is not None:
        form = source.form(str(chosen.pop("encoder", entry.config.encoder)))
    config: NetworkConfig = entry.config(**{**entry.options, **form, **chosen})
    return config
