"""Cross-entropy at the size of the picture, from scores at the size of the network.

Equal to `torch.nn.functional.interpolate(logits, size, mode="bilinear")` and a loss after it, but
the tensor `[B, C, H, W]` in between, often the largest of a whole training step, is never made.
On the CPU a compiled kernel works out the sum and its gradient in one pass
(`pixelwise.kernels.upsampled_loss`); elsewhere torch does, a few rows of the picture at a time
(`pixelwise.losses.chunked`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import Axis, LossRule, upsampled_loss_gradient, upsampled_loss_sum
from pixelwise.losses.chunked import chunked_loss

__all__ = ["Alignment", "upsampled_cross_entropy"]

Alignment = Literal["corners", "half_pixel"]

WorkOut = Callable[
    [torch.Tensor, torch.Tensor, bool, LossRule, bool], tuple[torch.Tensor, torch.Tensor]
]

_ID_TYPES = (torch.uint8, torch.uint16, torch.int32, torch.int64)


def upsampled_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    alignment: Alignment = "half_pixel",
    ignore_index: int,
    class_weights: torch.Tensor | None = None,
    candidates: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> torch.Tensor:
    """The sum over all pixels of the cross-entropy or focal loss of the interpolated scores.

    Per counted pixel, with the softmax probabilities p_c of its interpolated scores, the
    probability p of the truth (its class, or the sum over the candidates of a union) and the
    weight w of the truth (of a union: the mean over its candidates), ε the label smoothing and γ
    the focal exponent:

        (1 - ε) · w · (1 - p)^γ · (-ln p) + ε / C · Σ_c w_c · (-ln p_c)

    The bits of the answer depend on the input alone, not on the number of threads
    (`torch.get_num_threads()` on the CPU).

    Args:
        logits: floats `[B, C, h, w]`, contiguous or channels-last, worked on in float32; float64
            is worked on in float64, in plain torch. A score that is not finite makes the loss NaN
            where it has a part in a counted pixel.
        target: uint8, uint16, int32 or int64 `[B, H, W]`, on the device of the logits.
        alignment: how the scores lie on the pixels; "half_pixel" is `align_corners=False`,
            "corners" is `align_corners=True`.
        ignore_index: pixels of this id have no part in the loss or its gradient.
        class_weights: `[C]`, finite and not negative; None: 1 for all.
        candidates: bool `[K, C]`: the classes that a pixel of id k may be. Row k < C holds class k
            alone; later rows are unions, and one of no class or of all counts for nothing.
        label_smoothing: ε, 0 to 1; 0 where `focal_gamma` is not.
        focal_gamma: γ, 0 to 20; 0 is cross-entropy.

    Returns:
        Scalar float32 (float64 for such logits); 0, with a gradient of 0, where nothing counts.
        Its gradient cannot itself be differentiated: `create_graph=True` is a UsageError.

    Raises:
        ArrayError: logits or target are not such tensors, or the target has ids outside the rows.
        UsageError: an option is outside its range.
    """
    _check(logits, target, alignment)
    rule = LossRule(
        logits.shape[1],
        ignore_index,
        class_weights=None
        if class_weights is None
        else class_weights.detach().cpu().float().numpy(),
        candidates=None if candidates is None else candidates.cpu().numpy(),
        label_smoothing=label_smoothing,
        focal_gamma=focal_gamma,
    )
    fused = logits.device.type == "cpu" and logits.dtype != torch.float64
    work_out = fused_loss if fused else chunked_loss
    total: torch.Tensor = SummedLoss.apply(logits, target, alignment == "corners", rule, work_out)
    return total


def fused_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    corners: bool,
    rule: LossRule,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `chunked_loss`, for float32 on the CPU, by the compiled kernel or its NumPy twin."""
    axis = Axis.corners if corners else Axis.half_pixel
    rows, columns = map(axis, target.shape[1:], logits.shape[2:])
    arrays = (logits.detach().numpy(), target.numpy(), rows, columns, rule)
    threads = torch.get_num_threads()
    if with_gradient:
        total, gradient = upsampled_loss_gradient(*arrays, threads=threads)
        return logits.new_tensor(total), torch.from_numpy(gradient)
    return logits.new_tensor(upsampled_loss_sum(*arrays, threads=threads)), logits.new_empty(0)


class SummedLoss(torch.autograd.Function):
    """A loss whose gradient is worked out together with it."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        target: torch.Tensor,
        corners: bool,
        rule: LossRule,
        work_out: WorkOut,
    ) -> torch.Tensor:
        """The sum; keeps the gradient, which has the size of the logits."""
        ctx.arguments = corners, rule, work_out
        ctx.save_for_backward(logits, target)
        total, ctx.gradient = _worked_out(
            logits, target, *ctx.arguments, with_gradient=ctx.needs_input_grad[0]
        )
        return total

    @staticmethod
    def backward(ctx: Any, gradient_of_total: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient kept, times that of the sum."""
        if torch.is_grad_enabled():
            raise UsageError(
                "the gradient of this loss cannot itself be differentiated",
                where="backward with create_graph=True",
                fix="interpolate the logits and use torch.nn.functional.cross_entropy",
            )
        # Scaled in place and given away: a copy would take as long as half of the loss. Where the
        # graph is kept for another pass, that one works the gradient out again.
        logits, target = ctx.saved_tensors
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            _, gradient = _worked_out(logits, target, *ctx.arguments, with_gradient=True)
        return gradient.mul_(gradient_of_total).to(logits.dtype), None, None, None, None


def _worked_out(
    logits: torch.Tensor,
    target: torch.Tensor,
    corners: bool,
    rule: LossRule,
    work_out: WorkOut,
    *,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    exact = logits if logits.dtype == torch.float64 else logits.float()
    with torch.autocast(logits.device.type, enabled=False):
        return work_out(exact, target, corners, rule, with_gradient)


def _check(logits: torch.Tensor, target: torch.Tensor, alignment: str) -> None:
    if alignment not in get_args(Alignment):
        raise UsageError(
            "there is no such alignment",
            where="argument alignment",
            got=repr(alignment),
            fix=f"known: {', '.join(get_args(Alignment))}",
        )
    faults = []
    if logits.ndim != 4 or 0 in logits.shape or not logits.is_floating_point():
        faults.append(f"logits {_form(logits)}, expected floats [B, C, h, w] and no empty side")
    if target.ndim != 3 or 0 in target.shape or target.dtype not in _ID_TYPES:
        faults.append(f"target {_form(target)}, expected whole numbers [B, H, W]")
    if not faults and len(logits) != len(target):
        faults.append(f"a target of {len(target)} pictures, expected {len(logits)} as the logits")
    if logits.device != target.device:
        faults.append(f"target on {target.device}, expected {logits.device} as the logits")
    if faults:
        raise ArrayError(
            "logits and target do not fit the loss",
            where="arguments logits and target",
            got="; ".join(faults),
            fix="give the scores of the network and the class ids of the same pictures",
        )


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
