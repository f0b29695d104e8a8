"""A training that begins with a trained model, whatever its classes were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.choices import Choices
from pixelwise.training.start_model import StartModel, misfits, shapes_of

__all__ = ["WarmStart", "choose_as_start", "warm_start"]

_AS_START = "as the model to start from has it"
_MOST_SHOWN = 6


@dataclass(frozen=True)
class WarmStart:
    """What became of the classes.

    Attributes:
        source: the model that was started from.
        known: classes whose rows were taken over.
        new: classes that begin at random.
    """

    source: str
    known: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        text = f"starts from {self.source}, which knows {', '.join(self.known) or 'no class of it'}"
        return text + (f"; new: {', '.join(self.new)}" if self.new else "")


def choose_as_start(choices: Choices, start: StartModel, *, classes: int) -> None:
    """Takes over into a plan what the model to start from decides.

    Raises:
        UsageError: lists every choice of the user's that does not go with the model.
    """
    _check_names(choices, start)
    choices.take("architecture", start.architecture, _AS_START)
    choices.take("encoder", start.encoder, _AS_START)
    choices.take("network", dict(start.network), _AS_START)
    choices.take("mean", start.mean, _AS_START)
    choices.take("std", start.std, _AS_START)
    if start.resize is not None and not (choices.is_fixed("resize") or choices.is_fixed("pixels")):
        choices.take("resize", start.resize, _AS_START)
        choices.take("pixels", start.pixels, _AS_START)
    plan = choices.plan
    if (plan.mean, plan.std) != (start.mean, start.std):
        choices.warn(
            f"{start.source} was trained with mean {start.mean} and std {start.std}: with others "
            "it has to learn its first layer anew"
        )
    if plan.network == start.network:
        return
    shapes = shapes_of(
        plan.architecture, plan.encoder, plan.network, classes=classes, bands=len(plan.mean)
    )
    faults = misfits(start, shapes, classes)
    if faults:
        raise UsageError(
            "the options of the network do not go with the model to start from",
            where=start.source,
            got=f"network={plan.network}: {_some(faults)}",
            fix="leave --network out, or start without --finetune",
        )


def _check_names(choices: Choices, start: StartModel) -> None:
    plan = choices.plan
    faults = [
        f"{name}={given}, the model has {own}"
        for name, given, own in (
            ("architecture", plan.architecture, start.architecture),
            ("encoder", plan.encoder, start.encoder),
        )
        if choices.is_fixed(name) and given != own
    ]
    if choices.is_fixed("encoder_weights") and plan.encoder_weights is not None:
        faults.append(
            f"encoder_weights={plan.encoder_weights}, the model brings those of the encoder too"
        )
    if faults:
        raise UsageError(
            "choices do not go with the model to start from",
            where=start.source,
            got="; ".join(faults),
            fix="leave these choices out, or start without --finetune",
        )


def warm_start(network: SegmentationNetwork, classes: ClassTable, start: StartModel) -> WarmStart:
    """Takes over every weight; of those that belong to a class, if a class has the same name.

    A class is found by its name or an alias, in either's table; case does not matter.

    Args:
        network: of the architecture that the weights are of; what is of new classes stays, and
            so do auxiliary heads that the model does not have.
        classes: of the network.
        start: the model.

    Raises:
        WeightsError: the model is of another network.
    """
    own = network.state_dict()
    faults = misfits(start, own, len(classes))
    if faults:
        raise WeightsError(
            "the weights to start from are of another network",
            where=start.source,
            got=_some(faults),
            fix="give --architecture, --encoder and --network as the model to start from has them",
        )
    pairs = _pairs(classes, start)
    by_class = _class_axes(network)
    with torch.no_grad():
        for key, tensor in own.items():
            if key in start.tensors:
                _take_over(tensor, start.tensors[key], by_class.get(key, ()), pairs)
    names, known = classes.names, {place for place, _ in pairs}
    return WarmStart(
        start.source,
        tuple(name for place, name in enumerate(names) if place in known),
        tuple(name for place, name in enumerate(names) if place not in known),
    )


def _some(faults: list[str]) -> str:
    more = f" … {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
    return "; ".join(faults[:_MOST_SHOWN]) + more


def _pairs(classes: ClassTable, start: StartModel) -> list[tuple[int, int]]:
    """Place of each class that the model knows, and its place there."""
    own: dict[str, int] = {}
    for place, names in enumerate(start.classes):
        own.setdefault(key_of(names[0]), place)
    for place, names in enumerate(start.classes):
        for name in names[1:]:
            own.setdefault(key_of(name), place)
    found = [
        next((own[key] for key in map(key_of, (info.name, *info.aliases)) if key in own), -1)
        for info in classes
    ]
    return [(place, old) for place, old in enumerate(found) if old >= 0]


def _class_axes(network: SegmentationNetwork) -> Mapping[str, tuple[int, ...]]:
    """Axes of classes, by key: those that one class more makes longer."""
    config = network.config
    with torch.device("meta"):
        longer = type(network)(replace(config, classes=config.classes + 1, class_names=()))
    own = network.state_dict()
    axes = {
        key: tuple(
            axis for axis in range(tensor.ndim) if tensor.shape[axis] != own[key].shape[axis]
        )
        for key, tensor in longer.state_dict().items()
    }
    return {key: found for key, found in axes.items() if found}


def _take_over(
    tensor: torch.Tensor,
    stored: torch.Tensor,
    axes: tuple[int, ...],
    pairs: list[tuple[int, int]],
) -> None:
    """Copies into a tensor what belongs to no class, or to classes that both have."""
    into: list[torch.Tensor] = [torch.arange(side) for side in tensor.shape]
    outof: list[torch.Tensor] = [torch.arange(side) for side in stored.shape]
    if not axes:
        tensor.copy_(stored)
        return
    for axis in axes:
        into[axis] = torch.tensor([place for place, _ in pairs], dtype=torch.int64)
        outof[axis] = torch.tensor([old for _, old in pairs], dtype=torch.int64)
    rows = stored[torch.meshgrid(*outof, indexing="ij")]
    tensor[torch.meshgrid(*into, indexing="ij")] = rows.to(tensor.dtype)
