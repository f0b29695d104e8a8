"""Weights: files to tensors, tensors into a network whole or not at all."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from pixelwise.errors import WeightsError
from pixelwise.formats.files import write_atomic

if TYPE_CHECKING:
    from pixelwise.models.network import SegmentationNetwork

__all__ = [
    "Misfit",
    "Source",
    "load_tensors",
    "read_class_names",
    "read_tensors",
    "rename",
    "save_weights",
]

_CLASS_NAMES = "class_names"
_CONFIG = "config"
_MOST_ROWS = 8


@dataclass(frozen=True)
class Source:
    """A project whose published weights an architecture can take.

    Attributes:
        form: name of the encoder as that project spells it -> our options that give its network.
        convert: its state dict -> ours.
    """

    form: Callable[[str], dict[str, object]]
    convert: Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Misfit:
    """Where weights and network differ; true where they do.

    Attributes:
        missing: keys that the network needs and the weights lack.
        unexpected: keys that the weights have and the network does not know.
        misshaped: key, shape in the weights, shape in the network.
        classes: index, name in the weights, name in the network.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    classes: tuple[tuple[int, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped or self.classes)

    def table(self) -> str:
        """A line per difference, at most eight of a kind."""
        lines = _rows("missing", self.missing)
        lines += _rows("unexpected", self.unexpected)
        lines += _rows(
            "other shape", [f"{key}: {got}, expected {want}" for key, got, want in self.misshaped]
        )
        lines += _rows(
            "other class",
            [f"{index}: {got!r}, expected {want!r}" for index, got, want in self.classes],
        )
        return "\n  ".join(lines)


def _rows(kind: str, rows: Sequence[str]) -> list[str]:
    lines = [f"{kind:<12} {row}" for row in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        lines.append(f"{kind:<12} … {len(rows) - _MOST_ROWS} more")
    return lines


def read_tensors(path: Path, *, pytorch_file: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of a weights file.

    Args:
        path: a safetensors file; with `pytorch_file` a file written by `torch.save`.
        pytorch_file: read torch's own format. That is a pickle; torch reads it with
            `weights_only=True`, which admits tensors and plain containers and refuses code.

    Raises:
        WeightsError: the file cannot be read, or is not of that kind.
    """
    try:
        if not pytorch_file:
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "the weights cannot be read",
            where=str(path),
            got=str(error),
            fix="give a safetensors file, or pytorch_file=True for one that torch.save wrote",
        ) from error
    except (UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise WeightsError(
            "the file does not hold tensors alone, or is damaged",
            where=str(path),
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="save it again as safetensors where you trust it",
        ) from error
    return _tensors_of(content, path)


def _tensors_of(content: object, path: Path) -> dict[str, torch.Tensor]:
    """A state dict, also one that a training script wrapped under a common name."""
    for _ in range(2):
        if not isinstance(content, Mapping):
            break
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return {str(key): value for key, value in content.items()}
        content = next((content[name] for name in ("state_dict", "model") if name in content), None)
    raise WeightsError(
        "the file holds no table of tensors",
        where=str(path),
        fix="save network.state_dict(), by itself or under the name state_dict",
    )


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


def rename(
    tensors: Mapping[str, torch.Tensor], rules: Mapping[str, str | None]
) -> dict[str, torch.Tensor]:
    """Renames keys by the first rule that matches from their start.

    Args:
        tensors: any state dict.
        rules: regular expression -> replacement as in `re.sub`, or None to leave the key out.
            A key that no rule matches keeps its name, and so shows up as unexpected.
    """
    renamed = {}
    for key, tensor in tensors.items():
        for pattern, replacement in rules.items():
            match = re.match(pattern, key)
            if match is None:
                continue
            if replacement is not None:
                renamed[match.expand(replacement) + key[match.end() :]] = tensor
            break
        else:
            renamed[key] = tensor
    return renamed


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
