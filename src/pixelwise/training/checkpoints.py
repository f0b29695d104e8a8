"""Where a run goes on: one file, or a part from every process where the network is sharded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.training.distributed import World, same_everywhere
from pixelwise.training.state import Progress, load_state, save_state

__all__ = ["Checkpoints"]


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """The checkpoint of a run and what it holds.

    Attributes:
        path: of the file; that of sharded networks is `.json`, and a folder beside it.
        world: the processes.
        network, averaged, optimizer: what is kept.
        sharded: whether every process has only a part of them.
    """

    path: Path
    world: World
    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    sharded: bool

    @property
    def _pointer(self) -> Path:
        return self.path.with_suffix(".json")

    def is_there(self) -> bool:
        """Whether the run has begun; all processes must ask.

        Raises:
            UsageError: they do not see the same.
        """
        found = [path.name for path in (self.path, self._pointer) if path.is_file()]
        same_everywhere(self.world, " ".join(found), what="folder of the run")
        return bool(found)

    def save(self, progress: Progress) -> None:
        """Takes the place of the checkpoint before; all processes must call it.

        Raises:
            OutputError: it cannot be written; the one before is whole.
        """
        if self.sharded:
            from pixelwise.training.sharded import save_sharded

            save_sharded(self._pointer, self.world, *self._parts(), asdict(progress))
        elif self.world.is_first:
            save_state(self.path, progress, *self._parts())
        if self.world.is_first:
            self._discard_other_form()

    def _discard_other_form(self) -> None:
        """A run may go on with another number of processes, in the other form."""
        if self.sharded:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        elif self._pointer.is_file():
            from pixelwise.training.sharded import discard_sharded

            discard_sharded(self._pointer)

    def load(self) -> Progress:
        """Takes the checkpoint up; all processes must call it.

        Raises:
            WeightsError: it is broken, or none of this run.
            UsageError: it was written by a single process, and the network is sharded.
        """
        if self._pointer.is_file():
            from pixelwise.training.sharded import load_sharded

            return _progress(load_sharded(self._pointer, self.world, *self._parts()))
        if self.sharded:
            raise UsageError(
                "a run of one process cannot go on as shards",
                where=str(self.path),
                fix="go on with one process, or write strategy: ddp into its plan.yaml",
            )
        return load_state(self.path, *self._parts())

    def _parts(self) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
        return self.network, self.averaged, self.optimizer


def _progress(values: Mapping[str, Any]) -> Progress:
    skipped = [(int(epoch), int(batch)) for epoch, batch in values["skipped"]]
    return Progress(**{**values, "skipped": skipped})
