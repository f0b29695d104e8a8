"""The model that a training begins with: a finished run, its weights, or a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError, WeightsError
from pixelwise.export.training_weights import AUXILIARY, read_training_weights
from pixelwise.inference.card import Preprocessing
from pixelwise.inference.model_file import read_model, shipped_models
from pixelwise.models.build import build
from pixelwise.models.checkpoint import saved_class_names
from pixelwise.models.weights import read_tensors
from pixelwise.training.plan import NOT_OF_NETWORK, read_plan
from pixelwise.training.run_folder import RunFolder

__all__ = ["StartModel", "Tensors", "misfits", "read_start_model", "shapes_of"]

Tensors = Mapping[str, torch.Tensor]

_MOST_SHOWN = 6


@dataclass(frozen=True, eq=False)
class StartModel:
    """A trained network and what it was trained with.

    Attributes:
        source: what the user called it.
        architecture, encoder, network: as in `TrainingPlan`.
        mean, std: of each band, in shares of the full scale.
        resize, pixels: as in `TrainingPlan`; resize is None where a training has no such rule.
        classes: names of each channel, the first of them its own, then its aliases.
        tensors: by the key in the network's state; those of auxiliary heads may be missing.
    """

    source: str
    architecture: str
    encoder: str
    network: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["area", "none"] | None
    pixels: int | None
    classes: tuple[tuple[str, ...], ...]
    tensors: Tensors


def read_start_model(source: str) -> StartModel:
    """Reads a model to go on from, and makes sure that its parts fit each other.

    Args:
        source: folder of a run, weights that a run kept (`best.safetensors`, its `plan.yaml`
            beside it), a model file that a run made, or the name of a model that ships.

    Raises:
        UnknownModelError: there is no such model.
        ModelFileError: the model file is broken or foreign.
        WeightsError: it holds nothing that training can go on from, or is damaged.
    """
    path = Path(source)
    if source not in shipped_models():
        if path.is_dir():
            path = _best_of(RunFolder(path))
        if path.suffix == ".safetensors":
            return _checked(_of_run(source, path))
    return _checked(_of_model_file(source, path))


def shapes_of(
    architecture: str, encoder: str, network: Mapping[str, Any], *, classes: int, bands: int
) -> Tensors:
    """The state of such a network, without any values.

    Raises:
        UsageError: it cannot be built.
    """
    foreign = sorted(NOT_OF_NETWORK & network.keys())
    if foreign:
        raise UsageError(
            "these are no options of a network",
            where="network",
            got=", ".join(foreign),
            fix="leave them out",
        )
    with torch.device("meta"):
        return build(
            architecture, classes=classes, encoder=encoder, in_channels=bands, **network
        ).state_dict()


def misfits(start: StartModel, wanted: Tensors, classes: int) -> list[str]:
    """Where the weights to start from cannot stand in for those of a network.

    Args:
        start: the weights.
        wanted: state of the network, values do not matter.
        classes: of the network; sides of that length may differ where they are classes.

    Returns:
        a sentence for each key.
    """
    faults = [
        f"{key} is missing"
        for key, tensor in wanted.items()
        if key not in start.tensors and tensor.is_floating_point() and not _is_auxiliary(key)
    ]
    faults += [
        f"{key} is not known"
        for key in start.tensors
        if key not in wanted and not _is_auxiliary(key)
    ]
    sides = (classes, len(start.classes))
    for key, tensor in wanted.items():
        stored = start.tensors.get(key, tensor)
        pairs = list(zip(tensor.shape, stored.shape, strict=False))
        if tensor.ndim != stored.ndim or any(a != b and (a, b) != sides for a, b in pairs):
            faults.append(f"{key} is {_shape(stored)}, {_shape(tensor)} wanted")
    return faults


def _is_auxiliary(key: str) -> bool:
    return key.startswith(AUXILIARY)


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one value"


def _best_of(folder: RunFolder) -> Path:
    """The best weights of a run, or its model file."""
    for path in (folder.best, folder.model):
        if path.is_file():
            return path
    raise WeightsError(
        "the folder holds no trained model",
        where=str(folder.path),
        got=f"neither {folder.best.name} nor {folder.model.name}",
        fix="give the folder that an earlier `pixelwise train -o` made, or a model file",
    )


def _of_run(source: str, path: Path) -> StartModel:
    plan_file = RunFolder(path.parent).plan
    if path.is_file() and not plan_file.is_file():
        raise WeightsError(
            "the weights do not say what network they are of",
            where=str(path),
            got=f"no {plan_file.name} beside them",
            fix=f"leave them in the folder of their run, beside {plan_file.name}, or give the "
            "model file that the run made",
        )
    tensors = read_tensors(path)
    plan = read_plan(plan_file)
    return StartModel(
        source=source,
        architecture=plan.architecture,
        encoder=plan.encoder,
        network=plan.network,
        mean=plan.mean,
        std=plan.std,
        resize=plan.resize,
        pixels=plan.pixels,
        classes=tuple((name,) for name in saved_class_names(path)),
        tensors=tensors,
    )


def _of_model_file(source: str, path: Path) -> StartModel:
    file = read_model(path if source not in shipped_models() else source)
    weights = read_training_weights(file)
    rule = file.card.preprocessing
    mean, std = _shares(rule)
    resize = rule.resize
    return StartModel(
        source=source,
        architecture=weights.architecture,
        encoder=weights.encoder,
        network=weights.options,
        mean=mean,
        std=std,
        resize=None if resize.rule == "exact" else resize.rule,
        pixels=resize.pixels if resize.rule == "area" else None,
        classes=_names(file.card.classes),
        tensors=weights.tensors,
    )


def _shares(rule: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation in shares of the full scale, whatever the card counts in."""
    # (v · scale - mean) / std = (v / 255 - mean / (255 · scale)) / (std / (255 · scale))
    unit = 255 * rule.scale
    shares = [tuple(round(value / unit, 12) for value in part) for part in (rule.mean, rule.std)]
    return shares[0], shares[1]


def _names(table: ClassTable) -> tuple[tuple[str, ...], ...]:
    return tuple((info.name, *info.aliases) for info in table)


def _checked(start: StartModel) -> StartModel:
    """The same, if its weights are those of the network that it says it is.

    Without this, a damaged file could ask for a network of any size.
    """
    try:
        wanted = shapes_of(
            start.architecture,
            start.encoder,
            start.network,
            classes=max(1, len(start.classes)),
            bands=len(start.mean),
        )
        faults = misfits(start, wanted, len(start.classes))
    except (UsageError, RuntimeError, OverflowError, TypeError, ValueError) as error:
        faults = [" ".join(str(error).split())]
    if not start.classes:
        faults.append("no names of classes")
    if faults:
        more = f" … {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise WeightsError(
            "the model to start from contradicts itself",
            where=start.source,
            got="; ".join(faults[:_MOST_SHOWN]) + more,
            fix="give the model as its training left it",
        )
    return start
