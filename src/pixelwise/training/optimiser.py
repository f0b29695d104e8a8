"""How weights follow from gradients: groups, learning rate, averaged weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.parallel import local
from pixelwise.training.plan import TrainingPlan

__all__ = ["follow_average", "learning_rate", "make_optimizer", "set_learning_rate"]

_POLY_POWER = 0.9


def make_optimizer(network: SegmentationNetwork, plan: TrainingPlan) -> torch.optim.AdamW:
    """AdamW (Loshchilov, Hutter, ICLR 2019) over four groups.

    The encoder learns at its own rate, and weights of one dimension, which are those of
    normalisations and biases, do not decay.
    """
    groups = []
    for inside_encoder in (True, False):
        for decayed in (True, False):
            members = [
                parameter
                for name, parameter in network.named_parameters()
                if name.startswith("encoder.") == inside_encoder and (parameter.ndim > 1) == decayed
            ]
            if members:
                groups.append(
                    {
                        "params": members,
                        "weight_decay": plan.weight_decay if decayed else 0.0,
                        "share": plan.encoder_rate if inside_encoder else 1.0,
                    }
                )
    # Not fused: those steps go through memory as it lies, and are wrong without a word where a
    # gradient lies otherwise than its weight.
    return torch.optim.AdamW(groups, lr=plan.learning_rate, foreach=True)


def learning_rate(plan: TrainingPlan, step: int, total: int) -> float:
    """The decoder's learning rate at a step.

    Args:
        plan: gives the highest rate, the warm-up and the schedule.
        step: from 0.
        total: steps of the whole training.
    """
    warmup = min(1.0, (step + 1) / plan.warmup_steps) if plan.warmup_steps else 1.0
    done = min(1.0, step / total)
    if plan.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * done))
    elif plan.schedule == "poly":
        fall = float((1 - done) ** _POLY_POWER)
    else:
        fall = 1.0
    return plan.learning_rate * warmup * fall


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


@torch.no_grad()
def follow_average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the averaged weights towards those of the network: decay · old + (1 - decay) · new.

    Early on the average forgets faster, so that it does not keep the random start: the decay is
    at most (1 + step) / (10 + step).
    """
    decay = min(decay, (1 + step) / (10 + step))
    kept, new = [], []
    for old, present in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if old.is_floating_point():
            kept.append(local(old))
            new.append(local(present))
        else:
            old.copy_(present)
    torch._foreach_lerp_(kept, new, 1 - decay)
