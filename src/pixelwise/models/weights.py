"""Weights outside a network: files to tensors, one project's keys to another's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pixelwise.errors import WeightsError

__all__ = [
    "Misfit",
    "Source",
    "read_tensors",
    "rename",
]

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
