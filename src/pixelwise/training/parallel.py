"""A network that several processes train together.

Every process works on its part of the batch. The gradients are averaged over the processes; the
loss of each is therefore multiplied by their number, and the gradient is that of one process
which sees the whole batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, cast

import torch
import torch.distributed as processes
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.distributed import World
from pixelwise.training.synced_norm import sync_batch_norm

__all__ = [
    "Strategy",
    "Wrapped",
    "clip_gradients",
    "full_state",
    "local",
    "shard",
    "whole",
    "wrap",
]

Strategy = Literal["ddp", "fsdp"]

# Shares of all parameters: what is smaller is gathered with the rest of the network, what is
# larger is gathered in pieces where it has some.
_SMALL_BLOCK = 0.01
_LARGE_BLOCK = 0.25


class Wrapped:
    """All logits of a network, whose gradients are averaged over the processes.

    Args:
        forward: `[B, in_channels, H, W]` -> all logits.
        part: the context for a part of a batch; True for the last one.
    """

    def __init__(
        self,
        forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
        part: Callable[[bool], AbstractContextManager[object]],
    ) -> None:
        self._forward = forward
        self._part = part

    def __call__(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As `SegmentationNetwork.all_logits`."""
        return self._forward(image)

    def compiled(self) -> Wrapped:
        """The same, through torch.compile; the network itself stays as it is."""
        return Wrapped(torch.compile(self._forward), self._part)

    def part(self, *, last: bool) -> AbstractContextManager[object]:
        """Around forward and backward of a part of the batch: only the last one averages."""
        return self._part(last)


class _AllLogits(nn.Module):
    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.all_logits(image)


def wrap(
    network: SegmentationNetwork,
    world: World,
    strategy: Strategy = "ddp",
    *,
    precision: torch.dtype | None = None,
) -> Wrapped:
    """Prepares a network for training by all processes.

    It begins with the weights of the first process. Its batch normalisations are replaced by ones
    that see the whole batch. "fsdp" replaces the parameters by shards: make the optimizer after.

    Args:
        network: on its device.
        world: the processes; a single one needs nothing.
        strategy: "ddp" keeps all weights in every process, "fsdp" a part of each.
        precision: what shards are gathered as, where that is not float32.

    Raises:
        UsageError: the network normalises over the batch in a way that cannot be shared.
    """
    if world.size == 1:
        return Wrapped(network.all_logits, lambda _last: nullcontext())
    sync_batch_norm(network, world.device)
    forward = _AllLogits(network)
    if strategy == "fsdp":
        _shard(network, forward, world, precision)
        return Wrapped(forward, lambda last: _sharded_part(forward, last=last))
    _send_weights(network)
    with warnings.catch_warnings():
        # Newer releases of PyTorch rename this option; older ones know no other name.
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        replica = DistributedDataParallel(
            forward,
            device_ids=[world.device] if world.device.type == "cuda" else None,
            # Synchronised norms keep the same statistics everywhere by themselves.
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            # static_graph would do, but fails where the first batch comes in parts (PyTorch 2.15).
            find_unused_parameters=_has_unused(network, world.device),
        )
    return Wrapped(replica, lambda last: _replica_part(replica, last=last))


def _send_weights(network: nn.Module) -> None:
    """Gives every process the weights and statistics of the first."""
    for tensor in (*network.parameters(), *network.buffers()):
        processes.broadcast(tensor.detach(), src=0)


@contextmanager
def _replica_part(replica: DistributedDataParallel, *, last: bool) -> Iterator[None]:
    with warnings.catch_warnings(), nullcontext() if last else replica.no_sync():
        # A 1×1 convolution's gradient may lie in memory otherwise than its weight: it is copied.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket", UserWarning)
        yield


@contextmanager
def _sharded_part(network: nn.Module, *, last: bool) -> Iterator[None]:
    sharded = cast("FSDPModule", network)
    sharded.set_requires_gradient_sync(last)
    sharded.set_is_last_backward(last)
    yield


def shard(network: SegmentationNetwork, world: World, strategy: Strategy) -> None:
    """Leaves each process a part of every parameter of a network that is only scored.

    It begins with the weights of the first process. In other strategies nothing happens.
    """
    if world.size > 1 and strategy == "fsdp":
        _shard(network, network, world, None)


def _shard(
    network: SegmentationNetwork, root: nn.Module, world: World, precision: torch.dtype | None
) -> None:
    _send_weights(network)
    for parameter in network.parameters():
        # Shards are cut along the first axis; channels_last weights cannot be.
        parameter.data = parameter.data.contiguous()
    mesh = init_device_mesh(world.device.type, (world.size,))
    for module in (*_blocks(network, world.device), root):
        module.register_forward_hook(_own_memory)
        fully_shard(module, mesh=mesh, mp_policy=_policy(module, precision))


def _own_memory(module: nn.Module, given: object, output: object) -> object:  # noqa: ARG001
    """A copy where a part answers with a view: what is done to a view in place escapes FSDP."""
    return output.clone() if isinstance(output, torch.Tensor) and output._is_view() else output


def _blocks(network: SegmentationNetwork, device: torch.device) -> list[nn.Module]:
    """The parts that are gathered one after another: stages of the encoder, parts of the decoder.

    A part must be called as such, or its weights would not be there when they are needed: which
    ones are is seen from a picture that goes through.
    """
    called: set[nn.Module] = set()
    hooks = [
        part.register_forward_pre_hook(lambda module, _: called.add(module))
        for part in network.modules()
    ]
    with torch.no_grad():
        _try(network, device)
    for hook in hooks:
        hook.remove()
    total = _size(network)

    def descend(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if _size(child) < _SMALL_BLOCK * total:
                continue
            parts = list(descend(child)) if _size(child) > _LARGE_BLOCK * total else []
            if not parts and child in called:
                parts = [child]
            yield from parts or descend(child)

    return list(descend(network))


def _has_unused(network: SegmentationNetwork, device: torch.device) -> bool:
    """Whether a parameter that is to be trained does not bear on any logits."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    total = torch.stack([logits.sum() for logits in _try(network, device)]).sum()
    return any(slope is None for slope in torch.autograd.grad(total, trained, allow_unused=True))


def _try(network: SegmentationNetwork, device: torch.device) -> tuple[torch.Tensor, ...]:
    """All logits of a small grey picture; leaves no trace in statistics and random numbers."""
    side = 2 * max(network.encoder.strides)
    image = torch.zeros(1, network.config.in_channels, side, side, device=device)
    modes = [(module, module.training) for module in network.modules()]
    logits = network.eval().all_logits(image)
    for module, mode in modes:
        module.training = mode
    return logits


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _policy(module: nn.Module, precision: torch.dtype | None) -> MixedPrecisionPolicy:
    """Half the traffic, and sums of gradients in float32.

    Batch normalisation takes weights in float32 only.
    """
    has_statistics = any(isinstance(part, _BatchNorm) for part in module.modules())
    return MixedPrecisionPolicy(
        param_dtype=None if has_statistics else precision,
        reduce_dtype=None if precision is None else torch.float32,
        cast_forward_inputs=False,
    )


@contextmanager
def whole(network: nn.Module) -> Iterator[None]:
    """Gathers a sharded network for as long as it is scored: processes may call it unequally."""
    shards = [module for module in network.modules() if isinstance(module, FSDPModule)]
    for module in shards:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in shards:
            module.reshard()
            module.set_reshard_after_forward(True, recurse=False)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process has: all of it, unless it is sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a network, whole, in every process; all processes must ask for it."""
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach()
        for name, value in network.state_dict().items()
    }


def clip_gradients(network: nn.Module, longest: float) -> float:
    """Shortens the gradient of all parameters together to `longest`; gives its 2-norm before."""
    norm = nn.utils.clip_grad_norm_(network.parameters(), longest)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
