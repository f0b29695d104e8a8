"""Losses that need the full size of a picture, and only ever hold one picture at that size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pixelwise.losses.upsampled import Alignment

__all__ = ["PictureLoss", "picture_by_picture"]

# (index in the batch, logits [C, H, W], gradient wanted) -> (loss, gradient [C, H, W] or None;
# None also where the picture has no part in the loss)
PictureLoss = Callable[[int, torch.Tensor, bool], tuple[torch.Tensor, torch.Tensor | None]]


def picture_by_picture(
    logits: torch.Tensor, size: tuple[int, int], alignment: Alignment, evaluate: PictureLoss
) -> torch.Tensor:
    """The sum of the losses of all pictures of a batch, each enlarged by itself.

    Loss and gradient are worked out together; what is kept for the way back is the gradient at
    the logits' own size. It can be differentiated once.

    Args:
        logits: float32 or float64 `[B, C, h, w]`.
        size: `(H, W)` of the truth.
        alignment: how the logits lie on the truth: "corners" is PyTorch's align_corners.
        evaluate: loss and gradient of one picture at full size.

    Returns:
        scalar of the logits' type.
    """
    with_gradient = logits.requires_grad and torch.is_grad_enabled()
    total = _PictureByPicture.apply(logits, size, alignment, evaluate, with_gradient)
    return cast(torch.Tensor, total)


class _PictureByPicture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        size: tuple[int, int],
        alignment: Alignment,
        evaluate: PictureLoss,
        with_gradient: bool,
    ) -> torch.Tensor:
        total = logits.new_zeros(())
        gradient = torch.zeros_like(logits) if with_gradient else None
        for index, picture in enumerate(logits.detach()):
            with torch.enable_grad():
                small = picture.unsqueeze(0).requires_grad_(with_gradient)
                full = _enlarged(small, size, alignment)
            loss, slope = evaluate(index, full.detach()[0], with_gradient)
            total += loss
            if gradient is not None and slope is not None:
                gradient[index] = _shrunk(slope, small, full)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output, None, None, None, None


def _enlarged(small: torch.Tensor, size: tuple[int, int], alignment: Alignment) -> torch.Tensor:
    if small.shape[-2:] == size:
        return small
    return functional.interpolate(
        small, size, mode="bilinear", align_corners=alignment == "corners"
    )


def _shrunk(slope: torch.Tensor, small: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    if full is small:
        return slope
    (gradient,) = torch.autograd.grad(full, small, slope.unsqueeze(0))
    return gradient[0]
