"""The processes that train together: who they are, and what they tell each other.

`torchrun` starts them and says in the environment who each is; without it there is one process,
and nothing here does more than hand back what it was given.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as processes
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from pixelwise.errors import DeviceError, EngineError, PixelwiseError, UsageError
from pixelwise.training.lifeline import Lifeline, limited

__all__ = [
    "World",
    "barrier",
    "from_first",
    "gather_values",
    "is_first_process",
    "join_world",
    "same_everywhere",
    "sum_over",
]

# Longer than the first process takes to read all data or to export while the others wait. A
# process that has ended is noticed at once: see `lifeline`.
_PATIENCE = 1800.0
_TEARDOWN_SECONDS = 5.0
_NOTICE_SECONDS = 2.0
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_FIX = "start with torchrun, or unset WORLD_SIZE to train in one process"


@dataclass(frozen=True)
class World:
    """The processes of a training, as one of them sees it.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        local_rank: its number on its own machine.
        device: what it computes on.
        backend: "nccl", "gloo", or "none" for a single process.
    """

    rank: int
    size: int
    local_rank: int
    device: torch.device
    backend: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0


def is_first_process() -> bool:
    """Whether this process may print, also where it has joined no others yet."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def join_world(device: str = "auto", *, patience: float = _PATIENCE) -> Iterator[World]:
    """Takes part in the training that torchrun has started, or stands alone.

    When another process has ended, every collective fails, and a process that does not come to
    one is ended with exit code 1 after three seconds.

    Args:
        device: "auto" takes the GPUs if there are any; "cpu", "cuda", "cuda:1", "mps".
        patience: seconds that a process which runs may keep the others waiting.

    Raises:
        UsageError: the environment is incomplete, or the device is of no kind that is known.
        DeviceError: there is no such device, or fewer than processes.
        EngineError: another process has ended, or does not answer.
    """
    rank, size, local_rank = _place(os.environ)
    if size == 1:
        yield World(0, 1, 0, _device(device, 0, 1), "none")
        return
    chosen = _device(device, local_rank, size)
    world = World(rank, size, local_rank, chosen, "nccl" if chosen.type == "cuda" else "gloo")
    with _joined(world, timedelta(seconds=patience)):
        yield world


@contextmanager
def _joined(world: World, patience: timedelta) -> Iterator[None]:
    if world.backend == "nccl":
        torch.cuda.set_device(world.device)
    host = os.environ["MASTER_ADDR"]
    try:
        store, _, _ = next(rendezvous("env://", world.rank, world.size, timeout=patience))
        line = Lifeline(world.rank, world.size, store, host=host, patience=patience)
    except (processes.DistError, OSError, RuntimeError) as error:
        raise EngineError(
            "the processes do not find each other",
            where=f"process {world.rank} of {world.size}, {host}:{os.environ['MASTER_PORT']}",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="check that all were started and reach that address",
        ) from error
    word = "stopped"
    try:
        # Small things stay on the processor: texts and matrices need no GPU.
        processes.init_process_group(
            "cpu:gloo,cuda:nccl" if world.backend == "nccl" else "gloo",
            store=PrefixStore("group", store),
            rank=world.rank,
            world_size=world.size,
            timeout=patience,
        )
        yield
        word = "finished"
    except KeyboardInterrupt:
        word = "was interrupted"
        raise
    except PixelwiseError as error:
        word = f"stopped: {error.what}"
        raise
    except RuntimeError as error:
        reason = line.reason(wait=_NOTICE_SECONDS) or _silence(error, patience)
        if not reason:
            raise
        word = f"stopped, since {reason}"
        raise EngineError(
            "another process of the training is gone",
            where=f"process {world.rank} of {world.size}",
            got=reason,
            fix="see what that process says, then start all again with --resume",
        ) from error
    finally:
        line.leave(word)
        with limited(_TEARDOWN_SECONDS):
            if processes.is_initialized():
                processes.destroy_process_group()
        line.close()


def _silence(error: RuntimeError, patience: timedelta) -> str:
    """What a collective that was waited for in vain means; empty for other errors."""
    told = str(error).lower()
    if "timed out" in told or "timeout" in told:
        return f"another process did not answer for {patience.total_seconds():.0f} s"
    return ""


def _place(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, number of processes, rank on this machine."""
    if environment.get("WORLD_SIZE", "1") == "1":
        return 0, 1, 0
    faults = [f"{name} is not set" for name in _VARIABLES if name not in environment]
    numbers = {name: environment.get(name, "0") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    faults += [
        f"{name}={value!r} is no whole number from 0 on"
        for name, value in numbers.items()
        if not value.isascii() or not value.isdigit()
    ]
    if not faults and int(numbers["RANK"]) >= int(numbers["WORLD_SIZE"]):
        faults.append(f"RANK={numbers['RANK']} is not below WORLD_SIZE={numbers['WORLD_SIZE']}")
    if faults:
        raise UsageError(
            "the environment does not say which process of a training this is",
            got="; ".join(faults),
            fix=_FIX,
        )
    return int(numbers["RANK"]), int(numbers["WORLD_SIZE"]), int(numbers["LOCAL_RANK"])


def _device(name: str, local_rank: int, size: int) -> torch.device:
    try:
        device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
        )
    except RuntimeError:
        raise UsageError(
            "there is no such kind of device", got=repr(name), fix="auto, cpu, cuda, cuda:1 or mps"
        ) from None
    if device.type == "cpu":
        return device
    if size > 1 and device.index is not None:
        raise UsageError(
            "several processes cannot all take the same device",
            got=f"{name!r} for {size} processes",
            fix="give cuda: each process takes its own",
        )
    if device.type == "cuda":
        return _gpu(local_rank if device.index is None else device.index)
    if device.type == "mps" and torch.backends.mps.is_available() and size == 1:
        return device
    raise DeviceError(
        "the device cannot be trained on here",
        got=f"{name!r} for {size} process{'es' if size > 1 else ''}",
        fix="give cpu or cuda",
    )


def _gpu(index: int) -> torch.device:
    count = torch.cuda.device_count()
    if index < count:
        return torch.device("cuda", index)
    raise DeviceError(
        "there are not enough GPUs" if count else "there is no GPU that PyTorch can use",
        got=f"{count} on this machine, GPU number {index} asked for",
        fix="start fewer processes per machine (--nproc-per-node), or give --device cpu",
    )


def sum_over(world: World, tensor: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, on every one; exact for whole numbers.

    Args:
        world: the processes.
        tensor: of the same shape and kind in all of them; it is left as it is.
    """
    if world.size == 1:
        return tensor
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    processes.all_reduce(total)
    return total


def barrier(world: World) -> None:
    """Waits until every process has come here."""
    sum_over(world, torch.zeros(1))


def gather_values(world: World, value: Any) -> list[Any]:
    """What each process gave, by rank, on every one.

    Args:
        world: the processes.
        value: anything that JSON can hold; so nothing that is received can run code.
    """
    if world.size == 1:
        return [value]
    content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world.size)]
    processes.all_gather(lengths, torch.tensor([len(content)]))
    longest = max(int(length) for length in lengths)
    filled = torch.zeros(longest, dtype=torch.uint8)
    filled[: len(content)] = content
    received = [torch.zeros_like(filled) for _ in range(world.size)]
    processes.all_gather(received, filled)
    return [
        json.loads(part[: int(length)].numpy().tobytes())
        for part, length in zip(received, lengths, strict=True)
    ]


def from_first(world: World, value: Any) -> Any:
    """What the first process gave, on every one; anything that JSON can hold."""
    return gather_values(world, value if world.is_first else None)[0]


def same_everywhere(world: World, text: str, *, what: str = "plan and data") -> None:
    """Makes sure that all processes have the same text.

    Args:
        world: the processes.
        text: such as the plan and the hash of the data.
        what: how an error calls it.

    Raises:
        UsageError: in every process; says which ones differ.
    """
    prints = gather_values(world, hashlib.sha256(text.encode()).hexdigest()[:12])
    groups: dict[str, list[int]] = {}
    for rank, fingerprint in enumerate(prints):
        groups.setdefault(fingerprint, []).append(rank)
    if len(groups) > 1:
        raise UsageError(
            f"the processes do not have the same {what}",
            got="; ".join(
                f"process{'es' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}: {name}"
                for name, ranks in groups.items()
            ),
            fix="give every machine the same command, the same data and the same files",
        )
