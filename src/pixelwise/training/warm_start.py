"""A network that begins with the weights of a trained model, whatever its classes were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from pixelwise.classes import ClassTable
from pixelwise.errors import WeightsError
from pixelwise.models.checkpoint import saved_class_names
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.weights import read_tensors

__all__ = ["warm_start"]

_MOST_SHOWN = 6


def warm_start(network: SegmentationNetwork, classes: ClassTable, path: Path) -> tuple[str, ...]:
    """Takes over every weight; of the last layers those rows whose classes have the same name.

    Args:
        network: of the architecture that the weights are of; its rows of new classes stay.
        classes: of the network.
        path: weights that a run kept, `best.safetensors`, with the names of their classes.

    Returns:
        Names of the classes whose rows were taken over.

    Raises:
        WeightsError: the file cannot be read, or is of another architecture or encoder.
    """
    stored = read_tensors(path)
    names = saved_class_names(path)
    by_class = _rows_of_classes(network)
    own = network.state_dict()
    _check(own, stored, by_class, path)
    rows = [(classes.index(name), place) for place, name in enumerate(names) if name in classes]
    with torch.no_grad():
        for key, tensor in own.items():
            if key not in by_class:
                tensor.copy_(stored[key])
                continue
            for place, old in rows:
                tensor[place] = stored[key][old]
    return tuple(names[old] for _, old in rows)


def _rows_of_classes(network: SegmentationNetwork) -> frozenset[str]:
    """Keys of the tensors that have a row for each class: those that one class more makes longer."""
    config = network.config
    with torch.device("meta"):
        longer = type(network)(replace(config, classes=config.classes + 1, class_names=()))
    own = network.state_dict()
    return frozenset(
        key for key, tensor in longer.state_dict().items() if tensor.shape != own[key].shape
    )


def _check(
    own: Mapping[str, torch.Tensor],
    stored: Mapping[str, torch.Tensor],
    by_class: frozenset[str],
    path: Path,
) -> None:
    missing = [key for key in own if key not in stored]
    wrong = [
        key
        for key, tensor in own.items()
        if key in stored
        and tensor.shape[key in by_class :] != stored[key].shape[key in by_class :]
    ]
    if missing or wrong:
        shown = ", ".join([*missing, *wrong][:_MOST_SHOWN])
        raise WeightsError(
            "the weights to start from are of another network",
            where=str(path),
            got=f"{len(missing)} weights are missing, {len(wrong)} have another shape: {shown}",
            fix="give --architecture, --encoder and --network as the model to start from has them",
        )
