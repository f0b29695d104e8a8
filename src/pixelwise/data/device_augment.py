"""Plans of an augmentation carried out by PyTorch, on a GPU as on the processor.

The steps are those of `pixelwise.kernels.warp`, in the same order and precision: places in float64,
colours in float32. Ids are those of the kernels, bit for bit; images differ by rounding, of the
tone curve above all: below 1e-5 of the range of values before normalising.

Of this package this module alone imports PyTorch.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from pixelwise.data.augment.augmentation import Augmentation
from pixelwise.data.augment.plan import Plan
from pixelwise.errors import ArrayError
from pixelwise.extras import extra

with extra("train"):
    import torch
    from torch import Tensor

__all__ = ["augment_on_device"]

_KINDS = (torch.uint8, torch.bool, torch.int16, torch.uint16, torch.int32, torch.int64)


def augment_on_device(
    augmentation: Augmentation,
    plans: Sequence[Plan],
    images: Sequence[Tensor] | Tensor,
    truth: Mapping[str, Sequence[Tensor] | Tensor],
    *,
    ignore_index: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch: what `augmentation.apply` does to each sample, on the device of the images.

    A JPEG file in between is made on the processor, since no device makes the same bits.

    Args:
        augmentation: gives the normalising and the colour of what lies outside.
        plans: one for each sample, all of one size.
        images: uint8 `[h, w, 3]` each, of any sizes; or one tensor `[B, h, w, 3]`.
        truth: by the names of a target's parts, tensors on the same device: `mask` and
            `instances` `[h, w]` of integers (uint16 comes back as int32), `layers` `[C, h, w]` and
            `ignore` `[h, w]` of bool.
        ignore_index: the id of what is outside the picture or hidden.

    Returns:
        Images float32 `[B, 3, H, W]`, and the parts of the truth, `[B, …]`.

    Raises:
        ArrayError: tensors of other types, shapes or numbers.
    """
    _check(plans, images, truth)
    fills = {"mask": ignore_index, "instances": 0, "layers": 0, "ignore": 1}
    rendered = [
        _image(augmentation, plan, image) for plan, image in zip(plans, images, strict=True)
    ]
    parts = {
        name: torch.stack(
            [_ids(plan, ids, fills[name]) for plan, ids in zip(plans, several, strict=True)]
        )
        for name, several in truth.items()
    }
    return torch.stack(rendered), parts


def _check(
    plans: Sequence[Plan],
    images: Sequence[Tensor] | Tensor,
    truth: Mapping[str, Sequence[Tensor] | Tensor],
) -> None:
    faults = [
        f"image {list(image.shape)} {image.dtype}, expected uint8 [h, w, 3]"
        for image in images
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[2] != 3
    ]
    if len(plans) != len(images) or len({plan.size for plan in plans}) != 1:
        faults.append(f"{len(plans)} plans for {len(images)} images, expected one each of one size")
    for name, several in truth.items():
        if name not in {"mask", "instances", "layers", "ignore"}:
            faults.append(f"truth has no part {name!r}")
        if len(several) != len(images):
            faults.append(f"{len(several)} × {name} for {len(images)} images")
        faults += [
            f"{name} {list(ids.shape)} {ids.dtype} of an image {list(image.shape[:2])}"
            for ids, image in zip(several, images, strict=False)
            if ids.dtype not in _KINDS or ids.shape[-2:] != image.shape[:2]
        ]
    if faults:
        raise ArrayError("the batch cannot be augmented", got="; ".join(faults[:20]))


def _image(augmentation: Augmentation, plan: Plan, image: Tensor) -> Tensor:
    normal = augmentation.normal
    fill, scale, shift = (
        torch.from_numpy(values).to(image.device)[:, None, None]
        for values in (normal.fill, normal.scale, normal.shift)
    )
    values = _coloured(plan, _sampled(plan, image, fill))
    if plan.jpeg:
        values = _bytes(values).to(torch.float32)
        if plan.blur:
            values = _bytes(_blurred(values, plan.blur)).to(torch.float32)
        values = _through_jpeg(values, plan.jpeg) * scale + shift
    else:
        values = values * scale + shift
        values = _blurred(values, plan.blur) if plan.blur else values
    for hole in plan.holes:
        values[:, hole.top : hole.bottom, hole.left : hole.right] = fill * scale + shift
    return values


def _ids(plan: Plan, ids: Tensor, fill: int) -> Tensor:
    if ids.dtype == torch.uint16:  # PyTorch can do next to nothing with these
        ids = ids.to(torch.int32)
    u, v, inside = _projected(plan, ids.shape[-2:], ids.device)
    places = v.to(torch.int64) * ids.shape[-1] + u.to(torch.int64)
    found = ids.flatten(-2)[..., places]
    warped = torch.where(inside, found, torch.tensor(fill, dtype=ids.dtype, device=ids.device))
    for hole in plan.holes:
        warped[..., hole.top : hole.bottom, hole.left : hole.right] = fill
    return warped


def _projected(
    plan: Plan, size: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Input coordinates of output pixels, 0 outside, and which lie inside, `[H, W]`."""
    height, width = plan.size
    columns = torch.arange(width, dtype=torch.float64, device=device) + 0.5
    rows = (torch.arange(height, dtype=torch.float64, device=device) + 0.5)[:, None]
    u, v, w = (across * columns + (down * rows + start) for across, down, start in plan.matrix)
    u, v = u / w, v / w
    inside = (w > 0) & (u >= 0) & (u < size[1]) & (v >= 0) & (v < size[0])
    zero = torch.zeros((), dtype=torch.float64, device=device)
    return torch.where(inside, u, zero), torch.where(inside, v, zero), inside


def _sampled(plan: Plan, image: Tensor, fill: Tensor) -> Tensor:
    """The picture at the places of the plan, float32 `[3, H, W]`."""
    u, v, inside = _projected(plan, image.shape[:2], image.device)
    reduce = _reduction(plan)
    picture = image if reduce == (1, 1) else _reduced(image, reduce)
    flat = picture.flatten(0, 1)
    last_row, last_column = picture.shape[0] - 1, picture.shape[1] - 1
    row, down = _tap(v, reduce[0], last_row)
    column, across = _tap(u, reduce[1], last_column)
    below, right = (row + 1).clamp(max=last_row), (column + 1).clamp(max=last_column)

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        return flat[rows * picture.shape[1] + columns].movedim(-1, 0).to(torch.float32)

    left = at(row, column) * (1 - down) + at(below, column) * down
    beside = at(row, right) * (1 - down) + at(below, right) * down
    return torch.where(inside, left * (1 - across) + beside * across, fill)


def _tap(position: Tensor, reduce: int, last: int) -> tuple[Tensor, Tensor]:
    """The pixel at or before each position, and the weight of the next one."""
    place = (position / reduce - 0.5).clamp(0, last)
    low = place.to(torch.int64)
    return low, (place - low).to(torch.float32)


def _reduction(plan: Plan) -> tuple[int, int]:
    """Rows and columns of the blocks that the picture is reduced by; see `kernels.warp_image`."""
    matrix = plan.matrix
    x, y = plan.size[1] / 2, plan.size[0] / 2
    u, v, w = (across * x + (down * y + start) for across, down, start in matrix)
    if w <= 0:
        return 1, 1
    horizon = matrix[2]
    factors = [
        math.hypot((row[0] - place * horizon[0]) / w, (row[1] - place * horizon[1]) / w)
        for row, place in ((matrix[1], v / w), (matrix[0], u / w))
    ]
    return max(1, int(factors[0])), max(1, int(factors[1]))


def _reduced(image: Tensor, reduce: tuple[int, int]) -> Tensor:
    """Means over blocks, rounded; those at the right and below may be cut off."""
    height, width = image.shape[:2]
    rows, columns = math.ceil(height / reduce[0]), math.ceil(width / reduce[1])
    whole = image.new_zeros((rows * reduce[0], columns * reduce[1], 3))
    whole[:height, :width] = image
    blocks = whole.reshape(rows, reduce[0], columns, reduce[1], 3)
    sums = blocks.sum((1, 3), dtype=torch.int64)
    starts = torch.arange(rows, device=image.device), torch.arange(columns, device=image.device)
    heights = (height - starts[0] * reduce[0]).clamp(max=reduce[0])
    widths = (width - starts[1] * reduce[1]).clamp(max=reduce[1])
    counts = (heights[:, None] * widths).to(torch.float32)[..., None]
    return (sums.to(torch.float32) * (1 / counts) + 0.5).to(torch.uint8)


def _coloured(plan: Plan, values: Tensor) -> Tensor:
    """Other colours, `[3, H, W]` in 0..255."""
    red, green, blue = values
    matrix = np.array(plan.colour, np.float32).tolist()
    mixed = torch.stack([red * a + green * b + blue * c + offset for a, b, c, offset in matrix])
    clamped = mixed.clamp(0, 255)
    return clamped if plan.gamma == 1 else 255 * (clamped * (1 / 255)) ** plan.gamma


def _bytes(values: Tensor) -> Tensor:
    return (values + 0.5).to(torch.uint8)


def _blurred(planes: Tensor, deviation: float) -> Tensor:
    """A Gaussian as `kernels.blur` has it, `[3, H, W]`."""
    halves = [
        math.exp(-0.5 * (step / deviation) ** 2) for step in range(math.ceil(3 * deviation) + 1)
    ]
    weights = [half / (2 * math.fsum(halves) - 1) for half in halves]
    for axis in (1, 2):
        places = torch.arange(planes.shape[axis], device=planes.device)
        total = planes * weights[0]
        for step, weight in enumerate(weights[1:], start=1):
            before = planes.index_select(axis, (places - step).clamp(min=0))
            after = planes.index_select(axis, (places + step).clamp(max=len(places) - 1))
            total += (before + after) * weight
        planes = total
    return planes


def _through_jpeg(planes: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = planes.to(torch.uint8).movedim(0, -1).contiguous().cpu().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(file)))
    return decoded.movedim(-1, 0).to(planes.device, torch.float32)
