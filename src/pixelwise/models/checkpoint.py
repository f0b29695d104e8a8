"""A network's weights: out to a file, in from a file whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from pixelwise.errors import WeightsError
from pixelwise.formats.files import write_atomic
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.weights import Misfit

__all__ = ["load_tensors", "read_class_names", "save_weights"]

_CLASS_NAMES = "class_names"
_CONFIG = "config"


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names that come with a weights file; empty where there are none.

    Read from the metadata of a file that `save_weights` wrote, or from `id2label` of a
    `config.json` beside it, as transformers keeps it.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if _CLASS_NAMES in metadata:
            return tuple(json.loads(metadata[_CLASS_NAMES]))
    config = path.with_name("config.json")
    if not config.is_file():
        return ()
    try:
        labels = json.loads(config.read_text()).get("id2label", {})
        return tuple(str(labels[key]) for key in sorted(labels, key=int))
    except (ValueError, AttributeError, TypeError):
        return ()


def load_tensors(
    network: SegmentationNetwork,
    tensors: Mapping[str, torch.Tensor],
    *,
    where: str,
    class_names: Sequence[str] = (),
) -> None:
    """Puts weights into a network; on any difference nothing is put anywhere.

    Args:
        network: keeps its dtype and device.
        tensors: in the network's own key layout.
        where: the origin of the tensors, for the error.
        class_names: names that belong to the tensors; compared where the network has names too.

    Raises:
        WeightsError: a key is missing, unexpected or of another shape, or a class has another
            name; the error lists them.
    """
    wanted = network.state_dict()
    names = network.config.class_names
    misfit = Misfit(
        missing=tuple(key for key in wanted if key not in tensors),
        unexpected=tuple(key for key in tensors if key not in wanted),
        misshaped=tuple(
            (key, tuple(tensors[key].shape), tuple(tensor.shape))
            for key, tensor in wanted.items()
            if key in tensors and tensors[key].shape != tensor.shape
        ),
        classes=_class_differences(class_names, names) if class_names and names else (),
    )
    if misfit:
        raise WeightsError(
            "the weights do not fit the network; nothing was loaded",
            where=where,
            got=misfit.table(),
            fix="build the network with the encoder, classes and options of the weights",
        )
    network.load_state_dict(dict(tensors))


def _class_differences(
    stored: Sequence[str], wanted: Sequence[str]
) -> tuple[tuple[int, str, str], ...]:
    longest = max(len(stored), len(wanted))
    pairs = zip(
        [*stored, *[""] * (longest - len(stored))],
        [*wanted, *[""] * (longest - len(wanted))],
        strict=True,
    )
    return tuple((index, got, want) for index, (got, want) in enumerate(pairs) if got != want)


def save_weights(network: SegmentationNetwork, path: Path) -> None:
    """Writes the weights as safetensors, with class names and config in the metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    metadata = {_CONFIG: json.dumps(asdict(network.config), ensure_ascii=False)}
    if network.config.class_names:
        metadata[_CLASS_NAMES] = json.dumps(network.config.class_names, ensure_ascii=False)
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    write_atomic(path, save(tensors, metadata))
