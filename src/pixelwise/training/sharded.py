"""Checkpoints of sharded networks, to which every process writes its part.

A checkpoint is a small JSON file that names a folder; torch.distributed.checkpoint fills the folder
with one safetensors file per process, and can cut the tensors anew for another number of processes.
A new checkpoint is a new folder: once all of it is on the disk, the small file takes its name, and
the old folder goes. So a kill at any moment leaves the old checkpoint or the new one, whole.

No file holds a pickle. While they save or load, the processes of the run exchange their plans
through torch.distributed.checkpoint, which pickles these messages; nobody else takes part.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from pixelwise.errors import OutputError, WeightsError
from pixelwise.formats.files import make_folder, write_atomic
from pixelwise.training.distributed import World, barrier, from_first

__all__ = ["discard_sharded", "load_sharded", "save_sharded"]

_OPTIMIZER = "optimizer."


def save_sharded(
    path: Path,
    world: World,
    network: nn.Module,
    averaged: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
) -> None:
    """Writes a checkpoint; all processes must call it.

    Args:
        path: of the JSON file; the folder lies beside it. All machines see the same.
        world: the processes.
        network: that is trained, sharded or not.
        averaged: the averaged weights.
        optimizer: of the network.
        progress: what else goes on from there; JSON values, those of the first process.

    Raises:
        OutputError: a part cannot be written; the checkpoint before is as it was.
    """
    folder = path.with_name(f"{path.stem}-{from_first(world, secrets.token_hex(4))}")
    make_folder(folder)
    tensors = _weights(network, averaged)
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[_moment(name, key)] = value
    try:
        with _also_alone():
            save(
                tensors, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True)
            )
    except CheckpointException as error:
        raise OutputError(
            "the checkpoint cannot be written; the one before is whole",
            where=str(path),
            got=_first_failure(error),
            fix="free some space, then go on: pixelwise train --resume RUN",
        ) from None
    if world.is_first:
        content = {
            "folder": folder.name,
            "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            "progress": dict(progress),
        }
        text = json.dumps(content, allow_nan=False).encode()
        # Into the folder first: that syncs its list of files to the disk before it is named.
        write_atomic(folder / path.name, text)
        write_atomic(path, text)
        _sweep(path, keep=folder)
    barrier(world)


def load_sharded(
    path: Path,
    world: World,
    network: nn.Module,
    averaged: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Takes up a checkpoint, of any number of processes; all processes must call it.

    Args:
        path: of the JSON file.
        world: the processes.
        network: of the same plan as the one that was saved, sharded or not.
        averaged: likewise.
        optimizer: of the network.

    Returns:
        What was given as `progress`.

    Raises:
        WeightsError: the checkpoint is broken, or none of this run.
    """
    try:
        folder, progress = _read_pointer(path, from_first(world, _text(path)))
        reader = HuggingFaceStorageReader(str(folder))
        stored = reader.read_metadata().state_dict_metadata
        tensors = _weights(network, averaged)
        _check(tensors, {name for name in stored if not name.startswith(_OPTIMIZER)})
        for name, parameter in network.named_parameters():
            moments = _empty_moments(name, parameter, stored)
            if moments:
                optimizer.state[parameter] = moments
            tensors |= {_moment(name, key): value for key, value in moments.items()}
        with _also_alone():
            load(tensors, storage_reader=reader)
    except CheckpointException as error:
        raise _misfit(path, _first_failure(error)) from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _misfit(path, str(error) or type(error).__name__) from None
    if world.is_first:
        _sweep(path, keep=folder)
    return progress


def discard_sharded(path: Path) -> None:
    """Removes a checkpoint and all leftovers of others."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        _sweep(path, keep=None)


@contextmanager
def _also_alone() -> Iterator[None]:
    """A single process, which takes up a checkpoint of many, is no accident."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _weights(network: nn.Module, averaged: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors themselves, no copies: what is loaded into them is in the networks."""
    return {
        f"{part}.{name}": value
        for part, module in (("network", network), ("averaged", averaged))
        for name, value in module.state_dict().items()
    }


def _moment(name: str, key: str) -> str:
    return f"{_OPTIMIZER}{key}.{name}"


def _empty_moments(
    name: str, parameter: nn.Parameter, stored: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Room for what an optimizer kept of a parameter; none before its first step."""
    ending = f".{name}"
    moments = {}
    for stored_name, metadata in stored.items():
        if stored_name.startswith(_OPTIMIZER) and stored_name.endswith(ending):
            key = stored_name.removeprefix(_OPTIMIZER).removesuffix(ending)
            moments[key] = (
                torch.zeros_like(parameter)
                if metadata.size == parameter.shape
                else torch.zeros(metadata.size, dtype=metadata.properties.dtype)
            )
    return moments


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read_pointer(path: Path, text: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a checkpoint, all of whose files are there, and the progress."""
    content = json.loads(text)
    name = str(content["folder"])
    if not _is_ours(path, name):
        raise ValueError(f"no folder of a checkpoint: {name!r}")
    folder = path.with_name(name)
    faults = [
        file
        for file, size in dict(content["files"]).items()
        if not (folder / file).is_file() or (folder / file).stat().st_size != size
    ]
    if faults:
        raise ValueError(f"missing or cut short: {', '.join(faults)}")
    return folder, dict(content["progress"])


def _check(tensors: Mapping[str, torch.Tensor], stored: set[str]) -> None:
    wrong = sorted(stored.symmetric_difference(tensors))
    if wrong:
        raise ValueError(f"{len(wrong)} tensors of another network: {', '.join(wrong[:3])}")


def _is_ours(path: Path, name: str) -> bool:
    return re.fullmatch(rf"{re.escape(path.stem)}-[0-9a-f]{{8}}", name) is not None


def _sweep(path: Path, *, keep: Path | None) -> None:
    """Removes the folders of earlier checkpoints, and of those that a kill left half."""
    for folder in path.parent.iterdir():
        if folder.is_dir() and folder != keep and _is_ours(path, folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _first_failure(error: CheckpointException) -> str:
    rank, (failure, _) = min(error.failures.items())
    return f"process {rank}: {failure}"


def _misfit(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        "the checkpoint does not belong to this run",
        where=str(path),
        got=reason.splitlines()[0],
        fix="go on with the plan that the run began with, or begin a new run",
    )
