"""Quick gradients of depthwise convolutions in bfloat16 on a CPU.

oneDNN 3.13 has no quick form of some of them. At 96 channels of 4×192×240, 3×3, stride 2, one core
(AMD, AVX-512), the gradient of the input takes 54 ms, and 104 ms where the sides are odd; in
float32 it takes 5 ms, and a forward pass 3 ms. With 5×5 or dilated kernels that of the weights is
slow too. MobileNets and EfficientNets are made of such layers. So here their gradients alone are
worked out in float32, which costs the casts and is the more exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["quicken_depthwise"]


def quicken_depthwise(network: nn.Module) -> None:
    """Changes the backward pass of a network's depthwise convolutions, in place.

    Only under autocast to bfloat16 on the CPU. Those of 3×3 without stride and dilation stay as
    they are: oneDNN is quick there. Names, weights and scores of the network stay the same.
    """
    for module in network.modules():
        if _is_slow(module):
            module.__class__ = _DepthwiseConv


def _is_slow(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d or isinstance(module.padding, str):
        return False
    depthwise = 1 < module.groups == module.in_channels == module.out_channels
    quick = module.kernel_size == (3, 3) and module.stride == module.dilation == (1, 1)
    return depthwise and not quick and module.padding_mode == "zeros"


class _DepthwiseConv(nn.Conv2d):
    """`nn.Conv2d`, forward in bfloat16 and backward in float32."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` -> `[B, C, ., .]`."""
        if not (
            torch.is_grad_enabled()
            and features.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        ):
            return super().forward(features)
        result: torch.Tensor = _Convolution.apply(
            features, self.weight, self.bias, self.stride, self.padding, self.dilation
        )
        return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> torch.Tensor:
        low = features.bfloat16()
        ctx.save_for_backward(low, weight)
        ctx.geometry = stride, padding, dilation
        ctx.type = features.dtype
        return functional.conv2d(
            low,
            weight.bfloat16(),
            None if bias is None else bias.bfloat16(),
            stride,
            padding,
            dilation,
            len(weight),
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        low, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        # The weight as the forward pass rounded it.
        rounded = weight.bfloat16().float()
        needed = list(ctx.needs_input_grad[:3])
        of_features, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient.float(),
            low.float(),
            rounded,
            [len(weight)],
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            len(weight),
            needed,
        )
        return (
            of_features.to(ctx.type) if needed[0] else None,
            of_weight if needed[1] else None,
            of_bias if needed[2] else None,
            None,
            None,
            None,
        )
