"""What can go wrong in a step, and what a run says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from pixelwise.data.loader import Batch
from pixelwise.errors import EngineError, OutOfMemoryError, PixelwiseError, UsageError

__all__ = [
    "NotFiniteError",
    "is_out_of_memory",
    "lack_of_memory_told",
    "not_finite_again",
    "step_error",
    "too_many_skipped",
]

_MOST_IN_A_ROW = 3
_MOST_SHARE = 0.01
# What oneDNN says of a convolution that it can do, when there is no memory to prepare it.
_NO_PRIMITIVE = "could not create a primitive"
_ONE_VALUE = "Expected more than 1 value per channel"


class NotFiniteError(Exception):
    """A step whose loss or gradient is no number; caught in the loop."""

    def __init__(self, epoch: int, batch: Batch) -> None:
        super().__init__()
        self.epoch = epoch
        self.batch = batch


def too_many_skipped(skipped: Sequence[tuple[int, int]], steps: int) -> bool:
    """Whether four batches follow each other, or are of one epoch and more than 1 % of it.

    Args:
        skipped: `(epoch, batch)`, the latest last.
        steps: of an epoch.
    """
    epoch, batch = skipped[-1]
    places = {each * steps + number for each, number in skipped}
    last = epoch * steps + batch
    in_a_row = all(last - back in places for back in range(_MOST_IN_A_ROW + 1))
    of_the_epoch = sum(each == epoch for each, _ in skipped)
    return in_a_row or of_the_epoch > max(_MOST_IN_A_ROW, int(_MOST_SHARE * steps))


def not_finite_again(folder: Path, step: int, names: Sequence[str]) -> EngineError:
    """The error that ends a run whose loss is no number again and again."""
    return EngineError(
        "the loss is no number again and again; the last good state is kept",
        where=str(folder),
        got=f"step {step}, pictures {', '.join(names)}",
        fix="try a tenth of the learning rate, or precision float32; `pixelwise data "
        "check` looks for pictures that are not what they seem",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is an allocation that failed, and nothing else."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    told = str(error).strip()
    return ("DefaultCPUAllocator" in told and "memory" in told) or told == _NO_PRIMITIVE


@contextmanager
def lack_of_memory_told(where: str) -> Iterator[None]:
    """Around what needs memory: says so when there is none.

    Args:
        where: the run or the picture that needed it.

    Raises:
        OutOfMemoryError: an allocation failed.
    """
    try:
        yield
    except PixelwiseError:
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "the memory does not suffice",
            where=where,
            got=str(error).strip().partition("\n")[0],
            fix="give a smaller --batch, --crop or --encoder, fewer --workers, or for large "
            "pictures --resize area --pixels 1000000",
        ) from error


def step_error(error: Exception, parts: int, *, alone: bool) -> Exception:
    """What is raised for an error within a step.

    Args:
        error: of PyTorch.
        parts: of the batch.
        alone: whether this is the only process; errors of several are told apart elsewhere.
    """
    if is_out_of_memory(error):
        return EngineError(
            "the memory does not suffice for a training step",
            got=f"a batch in {parts} part{'s' * (parts > 1)}",
            fix="give a smaller --crop or a smaller --encoder"
            + ("" if alone else f", or --accumulate {2 * parts}"),
        )
    if _ONE_VALUE in str(error):
        return UsageError(
            "a batch normalisation of the network gets a single value per channel",
            where="the plan",
            got=f"a batch in {parts} part{'s' * (parts > 1)}, the last of one picture",
            fix="give a larger --batch, a smaller --accumulate, or an architecture without pooling "
            "to one pixel",
        )
    if not alone:
        return error
    return EngineError(
        "the network cannot take a training step",
        got=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
        fix="try another --crop, --batch or --precision; without one that helps, report it",
    )
