"""Carries out plans on the processor."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise import kernels
from pixelwise.data.augment.plan import Plan
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
)
from pixelwise.errors import ArrayError, UsageError

__all__ = ["Normal", "render_ids", "render_image", "render_target"]


@dataclass(frozen=True, eq=False)
class Normal:
    """Normalised value = value * scale + shift.

    Attributes:
        scale, shift: float32 `[B]`.
        fill: float32 `[B]`, values of what lies outside, before scale and shift.
    """

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    fill: NDArray[np.float32]


def render_image(
    plan: Plan, image: NDArray[Any], normal: Normal, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """The image of a plan, float32 `[B, H, W]`; in `out` where it is given."""
    if image.ndim != 3 or image.shape[2] != len(normal.scale):
        raise ArrayError(
            "the picture has other bands than mean and std",
            got=f"{list(image.shape)}, expected [h, w, {len(normal.scale)}]",
            fix="give the augmentation a mean and a std for each band",
        )
    if image.dtype == np.uint8 and image.shape[2] == 3:
        values = _photo(plan, image, normal, out)
    elif plan.keeps_colours:
        values = _raster(plan, image, normal, out)
    else:
        raise UsageError(
            "Photometric and Jpeg change the colours of photos",
            got=f"{image.dtype} {list(image.shape)}, expected uint8 [h, w, 3]",
            fix="leave them out for rasters",
        )
    for hole in plan.holes:
        hidden = normal.fill * normal.scale + normal.shift
        values[:, hole.top : hole.bottom, hole.left : hole.right] = hidden[:, None, None]
    return values


def _photo(
    plan: Plan, image: NDArray[np.uint8], normal: Normal, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    if plan.jpeg:
        return _through_jpeg(plan, image, normal, out)
    sharp = kernels.warp_image(
        image,
        plan.matrix,
        plan.size,
        scale=normal.scale,
        shift=normal.shift,
        colour=plan.colour,
        gamma=plan.gamma,
        fill=normal.fill,
        out=None if plan.blur else out,
    )
    # Blurring what is normalised is normalising what is blurred.
    return kernels.blur(sharp, plan.blur, out=out) if plan.blur else sharp


def _through_jpeg(
    plan: Plan, image: NDArray[np.uint8], normal: Normal, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    pixels = kernels.warp_bytes(
        image,
        plan.matrix,
        plan.size,
        colour=plan.colour,
        gamma=plan.gamma,
        fill=normal.fill,
    )
    if plan.blur:
        one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
        planes = kernels.blur(kernels.normalise(pixels, one, zero, plan.size, threads=1), plan.blur)
        pixels = np.ascontiguousarray(np.moveaxis(planes + np.float32(0.5), 0, -1).astype(np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=plan.jpeg)
    decoded = np.asarray(Image.open(file))
    values = kernels.normalise(decoded, normal.scale, normal.shift, plan.size, threads=1)
    if out is None:
        return values
    out[:] = values
    return out


def _raster(
    plan: Plan, image: NDArray[Any], normal: Normal, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float32)
    sharp = kernels.warp_raster(
        image,
        plan.matrix,
        plan.size,
        scale=normal.scale,
        shift=normal.shift,
        fill=normal.fill,
        out=None if plan.blur else out,
    )
    return kernels.blur(sharp, plan.blur, out=out) if plan.blur else sharp


def render_target(
    plan: Plan, target: MaskTarget, ignore_index: int, out: MaskTarget | None
) -> MaskTarget:
    """The target of a plan; in `out` where it is given."""
    if out is not None and type(out) is not type(target):
        raise ArrayError(
            "the target to write into is of another kind",
            got=f"{type(out).__name__}, expected {type(target).__name__}",
        )
    if isinstance(target, MultiLabelTarget):
        return _layers(plan, target, out if isinstance(out, MultiLabelTarget) else None)
    mask = render_ids(plan, target.mask, ignore_index, None if out is None else _mask_of(out))
    if isinstance(target, MultiClassTarget):
        return MultiClassTarget(mask)
    place = out.instances if isinstance(out, InstanceTarget) else None
    return InstanceTarget(mask, render_ids(plan, target.instances, 0, place))


def _mask_of(target: MaskTarget) -> NDArray[Any] | None:
    return None if isinstance(target, MultiLabelTarget) else target.mask


def _layers(plan: Plan, target: MultiLabelTarget, out: MultiLabelTarget | None) -> MultiLabelTarget:
    if out is None:
        shape = (len(target.layers), *plan.size)
        out = MultiLabelTarget(np.empty(shape, np.bool_), np.empty(plan.size, np.bool_))
    for layer, to in zip(target.layers, out.layers, strict=True):
        render_ids(plan, layer.view(np.uint8), 0, to.view(np.uint8))
    render_ids(plan, target.ignore.view(np.uint8), 1, out.ignore.view(np.uint8))
    return out


def render_ids(plan: Plan, ids: NDArray[Any], fill: int, out: NDArray[Any] | None) -> NDArray[Any]:
    """Ids of a plan, `[H, W]`, with `fill` outside and in holes; in `out` where it is given."""
    warped = kernels.warp_ids(ids, plan.matrix, plan.size, fill=fill, out=out)
    for hole in plan.holes:
        warped[hole.top : hole.bottom, hole.left : hole.right] = fill
    return warped
