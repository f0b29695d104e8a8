"""All that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from pixelwise.errors import WeightsError
from pixelwise.formats.files import write_atomic

__all__ = ["Progress", "load_state", "save_state"]

_PROGRESS = "pixelwise.progress"


@dataclass
class Progress:
    """Where a run stands, in plain numbers.

    Attributes:
        epoch: the epoch under way, from 0.
        batch: the next batch of it.
        step: steps taken.
        loss_sum: of the losses of this epoch's steps.
        loss_steps: how many they are.
        best: the best score so far, -1 before the first.
        best_epoch: the epoch it was reached in.
        without_better: scorings since then.
        accumulate: parts of a batch now.
        skipped: `(epoch, batch)` of batches that are left out.
        quarantined: files that the log has told of.
        scale: of the loss in float16; 0 in other precisions.
        log_length: bytes of the log up to here.
        threads: of PyTorch; sums depend on their number.
        plan: fingerprint of the plan and the classes.
        ended: why the run is over; empty before.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    best: float = -1.0
    best_epoch: int = -1
    without_better: int = 0
    accumulate: int = 1
    skipped: list[tuple[int, int]] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    scale: float = 0.0
    log_length: int = 0
    threads: int = 1
    plan: str = ""
    ended: str = ""


def save_state(
    path: Path,
    progress: Progress,
    network: nn.Module,
    averaged: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Writes a checkpoint: one file, whole or not at all.

    Raises:
        OutputError: it cannot be written; the one before is as it was.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"averaged.{key}": value for key, value in averaged.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    content = save(
        {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
        metadata={_PROGRESS: json.dumps(asdict(progress))},
    )
    write_atomic(path, content)


def load_state(
    path: Path, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    """Takes up a checkpoint.

    Raises:
        WeightsError: the file is none of this run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            parts: dict[str, dict[str, torch.Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 - no mapping
                part, _, rest = key.partition(".")
                parts.setdefault(part, {})[rest] = file.get_tensor(key)
        progress = _progress(metadata)
        network.load_state_dict(parts["network"])
        averaged.load_state_dict(parts["averaged"])
        optimizer.load_state_dict(
            {
                "state": dict(_moments(parts.get("optimizer", {}), optimizer)),
                "param_groups": optimizer.state_dict()["param_groups"],
            }
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            "the checkpoint is broken, or does not belong to this run",
            where=str(path),
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="go on with the plan that the run began with, or begin a new run",
        ) from None
    return progress


def _progress(metadata: Mapping[str, str]) -> Progress:
    values = json.loads(metadata[_PROGRESS])
    values["skipped"] = [(int(epoch), int(batch)) for epoch, batch in values["skipped"]]
    return Progress(**values)


def _moments(
    tensors: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    by_index: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        moment = value
        if value.ndim > 0:
            # The file does not keep the order in memory, which sums depend on in their last bits.
            moment = torch.empty_like(parameters[int(index)].detach()).copy_(value)
        by_index.setdefault(int(index), {})[name] = moment
    yield from by_index.items()
