"""Batch normalisation over the pictures of all processes.

Each process of a training sees a part of the batch; normalised by its own part, the training
would be another than that of one process with the whole batch. PyTorch's SyncBatchNorm does this
on GPUs only.

The statistics of the parts are joined as in Chan, Golub, LeVeque: Updating formulae and a pairwise
algorithm for computing sample variances (1979), equation 2.1: exact also where the mean is large
beside the deviation, and for parts of unequal size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as processes
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from pixelwise.errors import UsageError
from pixelwise.models.layers import BatchNorm

__all__ = ["SyncedBatchNorm", "sync_batch_norm"]

_MOST_SHOWN = 5
_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm, BatchNormAct2d)


class _Statistics(NamedTuple):
    """Of all values of each channel, float32 `[C]`; `values` is how many those are."""

    mean: torch.Tensor
    variance: torch.Tensor
    values: int


def _joint_statistics(features: torch.Tensor) -> _Statistics:
    """Of `[B, C, ...]` over all processes; a process may have no picture at all."""
    channels = features.shape[1]
    count = features.numel() // channels
    own = torch.zeros(2 * channels + 1, dtype=torch.float64, device=features.device)
    if count:
        variance, mean = torch.var_mean(features.float(), dim=_others(features), correction=0)
        own = torch.cat([mean.double(), variance.double() * count, own.new_tensor([count])])
    parts = [torch.empty_like(own) for _ in range(processes.get_world_size())]
    processes.all_gather(parts, own)
    means, squares, counts = torch.split(torch.stack(parts), [channels, channels, 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    variance = (squares + counts * (means - mean).square()).sum(0) / total
    return _Statistics(mean.float(), variance.float(), int(total))


class _Normalise(torch.autograd.Function):
    """`weight · (x - mean) / deviation + bias`, where mean and deviation depend on every x."""

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        statistics: _Statistics,
        epsilon: float,
    ) -> torch.Tensor:
        inverse = (statistics.variance + epsilon).rsqrt()
        ctx.save_for_backward(features, weight, statistics.mean, inverse)
        ctx.count = statistics.values
        return functional.batch_norm(
            features, statistics.mean, statistics.variance, weight, bias, eps=epsilon
        )

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        features, weight, mean, inverse = ctx.saved_tensors
        # With x' the normalised x, N values and dy the gradient:
        # dx = weight / deviation · (dy - Σ dy / N - x' · Σ (dy · x') / N), sums over all processes.
        normalised = (features.float() - _along(features, mean)) * _along(features, inverse)
        slope = gradient.float()
        axes = _others(features)
        own = torch.cat([slope.sum(axes), (slope * normalised).sum(axes)])
        total = own.clone()
        processes.all_reduce(total)
        by_bias, by_weight = own.chunk(2)
        mean_slope, mean_product = (total / ctx.count).chunk(2)
        slope = slope - _along(features, mean_slope) - normalised * _along(features, mean_product)
        by_features = (slope * _along(features, weight * inverse)).to(features.dtype)
        # Those of weight and bias are this process's part, like those of every other weight.
        return by_features, by_weight, by_bias, None, None


def _others(features: torch.Tensor) -> tuple[int, ...]:
    """Every axis but that of the channels."""
    return (0, *range(2, features.ndim))


def _along(features: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return values.view(1, -1, *[1] * (features.ndim - 2))  # [C] -> [1, C, 1, ...]


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics are those of all processes' pictures together.

    Its outputs, gradients and running statistics are those of a BatchNorm2d that sees the whole
    batch. In evaluation mode nothing is shared. A batch of a single value per channel, which has no
    variance, is normalised by the running statistics, as `pixelwise.models.layers.BatchNorm` does.
    All processes must call it equally often; a process's part of the batch may be empty.

    Args:
        norm: whose weights, statistics and choices are taken over: the tensors, no copies.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict(), strict=False, assign=True)
        self.weight, self.bias = norm.weight, norm.bias
        self.train(norm.training)
        # timm's norms with an activation.
        parts = dict(norm.named_children())
        self.drop = parts.get("drop", nn.Identity())
        self.act = parts.get("act", nn.Identity())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, C, ...]` -> `[B, C, ...]`."""
        activated: torch.Tensor = self.act(self.drop(self._normalised(features)))
        return activated

    def _normalised(self, features: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(features)
        statistics = _joint_statistics(features)
        if statistics.values == 1:
            return functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        self._follow(statistics)
        normalised: torch.Tensor = _Normalise.apply(
            features, self.weight, self.bias, statistics, self.eps
        )
        return normalised

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - torch's name
        """Any number of axes from two on."""

    @torch.no_grad()
    def _follow(self, statistics: _Statistics) -> None:
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = statistics.variance * (statistics.values / (statistics.values - 1))
        self.running_mean.lerp_(statistics.mean, share)
        self.running_var.lerp_(unbiased, share)


def sync_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Lets the batch normalisations of a network share their statistics over all processes.

    They are replaced in place; weights and statistics are the same tensors under the same names.

    Raises:
        UsageError: the network normalises over the batch in a way that cannot be shared.
    """
    norms = {
        name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)
    }
    odd = [
        f"{name}: {type(norm).__name__}"
        for name, norm in norms.items()
        if type(norm) not in _KINDS or not norm.affine or not norm.track_running_stats
    ]
    if odd:
        raise UsageError(
            "this network cannot be trained by several processes to the result of one",
            got=f"batch normalisation of its own kind: {', '.join(odd[:_MOST_SHOWN])}"
            + (f" and {len(odd) - _MOST_SHOWN} more" if len(odd) > _MOST_SHOWN else ""),
            fix="take another encoder, or train in one process",
        )
    if device.type == "cuda":
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    synced = {id(norm): SyncedBatchNorm(norm) for norm in norms.values()}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if id(child) in synced:
                module.register_module(name, synced[id(child)])
