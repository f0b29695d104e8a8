"""Weights outside a network: files to tensors, one project's keys to another's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pixelwise.errors import UsageError, WeightsError, did_you_mean

__all__ = [
    "Misfit",
    "Source",
    "compare",
    "read_tensors",
    "rename",
    "shipped_encoder_file",
    "shipped_encoders",
]

_MOST_ROWS = 8
_COUNTER = "num_batches_tracked"


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
        misshaped: key, kind and shape in the weights, kind and shape in the network.
        classes: index, name in the weights, name in the network.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[tuple[str, str, str], ...] = ()
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
    if pytorch_file:
        return _tensors_of(_unpickled(path), path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "the weights cannot be read",
            where=str(path),
            got=str(error),
            fix="give a safetensors file, or pytorch_file=True for one that torch.save wrote",
        ) from error


def shipped_encoders() -> dict[str, Path]:
    """Name and file of every encoder whose classification weights come with the package."""
    folder = Path(str(resources.files("pixelwise"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def shipped_encoder_file(name: str) -> Path:
    """The classification weights that ship for an encoder.

    Raises:
        UsageError: there are none.
    """
    shipped = shipped_encoders()
    if name not in shipped:
        raise UsageError(
            f"no weights ship for the encoder {name}",
            where="encoder_weights",
            got="'shipped'",
            fix=f"take an encoder whose weights ship ({did_you_mean(name, shipped)}), download "
            "timm's with 'timm', or give a safetensors file",
        )
    return shipped[name]


def _unpickled(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            "the weights cannot be read",
            where=str(path),
            got=str(error),
            fix="give a file that torch.save wrote",
        ) from error
    # torch documents no errors of its own; a damaged pickle can end in almost any.
    except Exception as error:
        raise WeightsError(
            "the file does not hold tensors alone, or is damaged",
            where=str(path),
            got=f"{type(error).__name__} while reading it as torch's own format",
            fix="save its tensors again as safetensors where you trust it",
        ) from error
    return content


def _tensors_of(content: object, path: Path) -> dict[str, torch.Tensor]:
    """A state dict, also one that a training script wrapped under common names."""
    while isinstance(content, Mapping):
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return {str(key): value for key, value in content.items()}
        content = next((content[name] for name in ("state_dict", "model") if name in content), None)
    raise WeightsError(
        "the file holds no table of tensors",
        where=str(path),
        fix="save network.state_dict(), by itself or under the name state_dict",
    )


def _describe(tensor: torch.Tensor) -> str:
    """What must agree for one tensor to stand in for another: shape, and kind unless float."""
    shape = tuple(tensor.shape)
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return f"{tensor.layout} {tensor.dtype} {shape} on {tensor.device}"
    if tensor.is_floating_point():
        return str(shape)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        return f"{tensor.dtype} {shape}"
    return f"whole numbers {shape}"


def compare(
    tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> tuple[tuple[str, ...], tuple[tuple[str, str, str], ...]]:
    """Keys that are missing, and those whose tensors cannot stand in for the wanted ones.

    Counters of batch normalisation are not missed: older files have none, and they count only
    where its momentum is None.
    """
    missing = tuple(key for key in wanted if key not in tensors and not key.endswith(_COUNTER))
    misshaped = tuple(
        (key, _describe(tensors[key]), _shape_and_kind(own))
        for key, own in wanted.items()
        if key in tensors and _describe(tensors[key]) != _shape_and_kind(own)
    )
    return missing, misshaped


def _shape_and_kind(own: torch.Tensor) -> str:
    return _describe(torch.empty(own.shape, dtype=own.dtype))


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
