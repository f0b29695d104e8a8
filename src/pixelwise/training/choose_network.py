"""Which network, on what weights, in which numbers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from pixelwise.models.build import ARCHITECTURES
from pixelwise.training.choices import Choices
from pixelwise.training.choose_input import Scale
from pixelwise.training.fingerprint import Fingerprint
from pixelwise.training.machine import Machine

__all__ = ["choose_network", "choose_numbers"]

_SMALL = "mobilenetv2_100"
_LARGE = "convnext_tiny"
_LIGHT_DECODER = (128, 96, 64, 48)
_FULL_SIZE = 32
_TOO_THIN = 5.0
_TAKES_SMALL = ("deeplabv3plus", "pspnet", "unet", "upernet")
# Their convolutions of stride 2 sample pixels 0, 2, 4, …, so that corners lie on corners.
_CORNERED = ("mobilenet", "efficientnet", "mit_b", "regnet", "resnet", "tf_efficientnet")
_LARGE_BATCH = 16
_NARROW = 1000
_WORTH_IT = 1.15


def choose_network(choices: Choices, seen: Fingerprint, machine: Machine, scale: Scale) -> None:
    """Architecture, encoder, its weights, and options."""
    choices.set(
        "architecture",
        "unet",
        "its decoder takes every level of the encoder back in, which keeps borders and thin things",
    )
    choices.set("start_from", None, "no model to go on from was named")
    _choose_encoder(choices, machine)
    _choose_weights(choices)
    options, reason = _options(choices, scale)
    choices.set("network", options, reason)
    _choose_norm(choices, seen)


def _choose_encoder(choices: Choices, machine: Machine) -> None:
    plan = choices.plan
    downloads = choices.is_fixed("encoder_weights") and plan.encoder_weights == "timm"
    if plan.architecture not in _TAKES_SMALL:
        name = _usual_encoder(plan.architecture)
        choices.set("encoder", name, f"the usual one of {plan.architecture}")
    elif machine.gpus and downloads:
        gpu = machine.gpus[0]
        choices.set(
            "encoder",
            _LARGE,
            f"28 M parameters: {gpu.name} has the speed, and timm the weights",
        )
    else:
        where = "a GPU" if machine.gpus else f"{machine.cores} cores"
        choices.set(
            "encoder",
            _SMALL,
            f"3.5 M parameters, quick on {where}; its ImageNet weights ship with pixelwise",
        )


def _usual_encoder(architecture: str) -> str:
    # An unknown name is refused, with those that are known, where the network is built.
    if architecture not in ARCHITECTURES:
        return _SMALL
    config = ARCHITECTURES[architecture].config
    return next(str(field.default) for field in fields(config) if field.name == "encoder")


def _choose_weights(choices: Choices) -> None:
    plan = choices.plan
    if plan.start_from is not None:
        name = Path(plan.start_from).name
        choices.set("encoder_weights", None, f"{name} brings the weights of the whole network")
    elif plan.encoder == _SMALL:
        choices.set("encoder_weights", "shipped", "a start from ImageNet, without a download")
    else:
        choices.set(
            "encoder_weights",
            None,
            f"no weights of {plan.encoder} ship with pixelwise; --encoder-weights timm downloads "
            "some",
        )


def _options(choices: Choices, scale: Scale) -> tuple[dict[str, object], str]:
    plan = choices.plan
    if plan.architecture != "unet" or plan.encoder == "plain":
        return {}, f"as in the paper of {plan.architecture}"
    widths, reason = list(_LIGHT_DECODER), "a light decoder to stride 2: the rest of the way is "
    reason += "exact interpolation"
    if scale.width < _TOO_THIN:
        widths.append(_FULL_SIZE)
        reason = f"the thinnest class is some {scale.width:.1f} pixels wide: the decoder goes on "
        reason += "to full size"
    cornered = plan.encoder.startswith(_CORNERED)
    options: dict[str, object] = {
        "decoder_channels": widths,
        "upsampling": "bilinear",
        "alignment": "corners" if cornered else "half_pixel",
        "dropout": 0.1,
    }
    return options, reason


def _choose_norm(choices: Choices, seen: Fingerprint) -> None:
    plan = choices.plan
    if plan.encoder_weights is None and plan.start_from is None:
        choices.set("freeze_encoder_norm", False, "random weights have no statistics worth keeping")
        return
    narrow = seen.train < _NARROW
    choices.set(
        "freeze_encoder_norm",
        narrow,
        f"{seen.train:,} pictures of one kind would narrow statistics that come from many kinds"
        if narrow
        else f"{seen.train:,} pictures are enough to learn statistics from",
    )


def choose_numbers(choices: Choices, machine: Machine) -> None:
    """Precision, layout in memory, compiler, strategy of several processes."""
    if machine.gpus:
        gpu = machine.gpus[0]
        kind = "bfloat16" if gpu.bfloat16 else "float16"
        choices.set("precision", kind, f"what {gpu.name} computes fastest without losing range")
    elif machine.bfloat16_speed >= _WORTH_IT:
        speed = machine.bfloat16_speed
        choices.set("precision", "bfloat16", f"{speed:.1f} times as fast as float32 here, measured")
    else:
        speed = machine.bfloat16_speed
        choices.set(
            "precision", "float32", f"bfloat16 is {speed:.1f} times as fast here: not worth it"
        )
    choices.set("channels_last", True, "the layout in which convolutions are fastest")
    choices.set("compile", False, "compiling takes minutes: worth it for long runs on a GPU only")
    choices.set("strategy", "ddp", "the network fits into the memory of one device")
