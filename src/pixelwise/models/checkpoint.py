"""A network's weights: out to a file, in from a file whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pixelwise.errors import UsageError, WeightsError
from pixelwise.formats.files import write_atomic
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.weights import Misfit, compare

__all__ = ["load_tensors", "save_weights", "saved_class_names", "transformers_class_names"]

_CLASS_NAMES = "class_names"


def saved_class_names(path: Path) -> tuple[str, ...]:
    """The class names in a file that `save_weights` wrote; empty where there are none."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return ()
    return _names(_json(metadata.get(_CLASS_NAMES, "")))


def transformers_class_names(path: Path) -> tuple[str, ...]:
    """The names in `id2label` of the `config.json` beside transformers' weights.

    Empty where there are none, or only its stand-ins `LABEL_0`, `LABEL_1`, ….
    """
    config = path.with_name("config.json")
    content = _json(config.read_bytes()) if config.is_file() else None
    labels = content.get("id2label") if isinstance(content, dict) else None
    if not isinstance(labels, dict) or not all(str(key).isdecimal() for key in labels):
        return ()
    names = _names([labels[key] for key in sorted(labels, key=int)])
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _json(text: str | bytes) -> object:
    try:
        content: object = json.loads(text)
    except ValueError:
        return None
    return content


def _names(content: object) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        return ()
    return tuple(name.strip() for name in content)


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
    missing, misshaped = compare(tensors, wanted)
    misfit = Misfit(
        missing=missing,
        unexpected=tuple(key for key in tensors if key not in wanted),
        misshaped=misshaped,
        classes=_class_differences(class_names, names) if class_names and names else (),
    )
    if misfit:
        raise WeightsError(
            "the weights do not fit the network; nothing was loaded",
            where=where,
            got=misfit.table(),
            fix="build the network with the encoder, classes and options of the weights",
        )
    network.load_state_dict({**wanted, **tensors})


def _class_differences(
    stored: Sequence[str], wanted: Sequence[str]
) -> tuple[tuple[int, str, str], ...]:
    longest = max(len(stored), len(wanted))
    pairs = zip(
        [*stored, *[""] * (longest - len(stored))],
        [*wanted, *[""] * (longest - len(wanted))],
        strict=True,
    )
    return tuple(
        (index, got, want)
        for index, (got, want) in enumerate(pairs)
        if got.casefold() != want.casefold()
    )


def save_weights(network: SegmentationNetwork, path: str | Path) -> None:
    """Writes the weights as safetensors, with the class names in the metadata.

    Raises:
        UsageError: what is given is no network of pixelwise, but for instance a compiled one.
        OutputError: the file cannot be written.
    """
    if not isinstance(network, SegmentationNetwork):
        raise UsageError(
            "only networks of pixelwise are saved",
            where="network",
            got=type(network).__name__,
            fix="give the network that was compiled or wrapped, not its wrapper",
        )
    names = json.dumps(network.config.class_names, ensure_ascii=False)
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    write_atomic(Path(path), save(tensors, {_CLASS_NAMES: names}))
