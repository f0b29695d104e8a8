"""Which learning rate suits a training: it rises step by step, and the loss is watched.

Smith, "Cyclical learning rates for training neural networks", WACV 2017 (arXiv 1506.01186),
section 3.3, with a rate that rises by a constant factor, so that all orders of magnitude get as
many steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixelwise.data.loader import Batch, Batches
from pixelwise.errors import EngineError, UsageError
from pixelwise.losses import Loss
from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.depthwise import quicken_depthwise
from pixelwise.training.optimiser import make_optimizer, set_learning_rate
from pixelwise.training.plan import TrainingPlan

__all__ = ["RateSearch", "search_rate"]

_BELL = 0.05
_RECENT = 3
_DIVERGED = 4.0
_LEAST_STEPS = 10


@dataclass(frozen=True, eq=False)
class RateSearch:
    """What a search found.

    Attributes:
        rates: float64 `[S]`: of the decoder, at each step.
        losses: float64 `[S]`: the loss, smoothed over a twentieth of the steps on either side.
        suggestion: the rate at which the loss fell fastest.
        diverged: the loss rose to four times its lowest before the last rate; where it did not,
            even higher rates may do.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float
    diverged: bool


def search_rate(
    plan: TrainingPlan,
    network: SegmentationNetwork,
    batches: Batches,
    loss: Loss,
    *,
    device: torch.device | str = "cpu",
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
    progress: Callable[[int], object] | None = None,
) -> RateSearch:
    """Trains a copy of the network while the rate rises. Nothing of it remains, and no file.

    Args:
        plan: gives weight decay, the encoder's share of the rate, clipping and precision.
        network: as the training will begin with; it is left as it is.
        batches: of the training.
        loss: of the training.
        device: where.
        steps: 10 and up.
        lowest: rate of the first step.
        highest: rate of the last step.
        progress: called with 1 after each step.

    Raises:
        UsageError: an argument has a value that it cannot have.
        EngineError: the loss is no number from the beginning.
        DatasetError: too many pictures cannot be read.
    """
    if steps < _LEAST_STEPS or not 0 < lowest < highest < math.inf:
        raise UsageError(
            "a search of the rate takes ten steps at least, from a lower rate to a higher one",
            got=f"steps={steps!r}, lowest={lowest!r}, highest={highest!r}",
            fix="steps=100, lowest=1e-6, highest=1.0",
        )
    rates = np.geomspace(lowest, highest, steps)
    place = torch.device(device)
    seen: list[float] = []
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(plan.seed)
        trial = _Trial(plan, network, loss, place)
        with closing(_endless(batches)) as every:
            for rate, batch in zip(rates.tolist(), every, strict=False):
                seen.append(trial.step(batch, rate))
                if progress is not None:
                    progress(1)
                if _is_over(seen):
                    break
    return _found(rates, np.array(seen))


class _Trial:
    """A copy that may be ruined."""

    def __init__(
        self,
        plan: TrainingPlan,
        network: SegmentationNetwork,
        loss: Loss,
        device: torch.device,
    ) -> None:
        self._plan = plan
        self._loss = loss
        self._device = device
        self._layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        self._network = copy.deepcopy(network).to(device).train()
        self._network.to(memory_format=self._layout)
        quicken_depthwise(self._network)
        if plan.freeze_encoder_norm:
            self._network.encoder.eval()
        self._optimizer = make_optimizer(self._network, plan)

    def step(self, batch: Batch, rate: float) -> float:
        """One step at that rate; gives the loss before it."""
        plan = self._plan
        images = torch.from_numpy(batch.images).to(self._device)  # [B, bands, H, W]
        target = torch.from_numpy(batch.target).to(self._device)
        set_learning_rate(self._optimizer, rate)
        self._optimizer.zero_grad(set_to_none=True)
        counts = self._loss.counts(target)
        size = -(-len(images) // plan.accumulate)
        total = 0.0
        for image, truth in zip(torch.split(images, size), torch.split(target, size), strict=True):
            part = self._part(image.contiguous(memory_format=self._layout), truth, counts)
            torch.autograd.backward(part)
            total += float(part.detach())
        nn.utils.clip_grad_norm_(self._network.parameters(), plan.clip or math.inf)
        self._optimizer.step()
        return total

    def _part(
        self, image: torch.Tensor, target: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        # Small gradients vanish in float16 without the scaling that a training does.
        half = self._plan.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            every = self._network.all_logits(image)
        total = torch.zeros((), device=self._device)
        for number, logits in enumerate(every):
            weight = self._plan.auxiliary_weight if number else 1.0
            total = total + weight * self._loss(
                logits, target, alignment=self._network.alignment, counts=counts
            )
        return total


def _endless(batches: Batches) -> Generator[Batch, None, None]:
    epoch = 0
    while True:
        with closing(batches.epoch(epoch)) as every:
            yield from every
        epoch += 1


def _is_over(losses: list[float]) -> bool:
    """Whether the loss has left for good."""
    if not math.isfinite(losses[-1]):
        return True
    recent = float(np.mean(losses[-_RECENT:]))
    return len(losses) > _LEAST_STEPS and recent > _DIVERGED * min(losses)


def _found(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> RateSearch:
    finite = np.isfinite(losses)
    known = len(losses) if finite.all() else int(finite.argmin())
    if known < 2:
        raise EngineError(
            "the loss is no number at the lowest rate already",
            got=f"loss {losses[0]:g} at a rate of {rates[0]:g}",
            fix="look at the pictures and masks: `pixelwise data check`",
        )
    # A loss that has left says nothing of the slope before it.
    smooth = _smooth(np.minimum(losses[:known], _DIVERGED * losses[:known].min()))
    falling = np.gradient(smooth)[: int(smooth.argmin()) + 1]
    return RateSearch(
        rates=rates[:known],
        losses=smooth,
        suggestion=float(f"{rates[int(falling.argmin())]:.2g}"),
        diverged=len(losses) < len(rates) or known < len(losses),
    )


def _smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means under a bell around each step: they lag behind nothing."""
    places = np.arange(len(losses))
    width = max(1.0, _BELL * len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    means: NDArray[np.float64] = weights @ losses / weights.sum(axis=1)
    return means
