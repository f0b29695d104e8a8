"""From a photo to the network's input, as the model's card says, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise import kernels
from pixelwise.geometry import Geometry
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize

__all__ = ["InputPlan", "plan_input", "prepare", "resized_size", "score_geometry"]


@dataclass(frozen=True)
class InputPlan:
    """Sizes `(H, W)` on the way in: of the photo, of the resized photo, of the padded input."""

    picture: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]


def plan_input(size: tuple[int, int], card: Preprocessing) -> InputPlan:
    """Works out the sizes for a picture of `(H, W)`."""
    height, width = resized_size(size, card.resize)
    return InputPlan(
        picture=size,
        resized=(height, width),
        padded=(_pad(height, card), _pad(width, card)),
    )


def resized_size(size: tuple[int, int], rule: Resize) -> tuple[int, int]:
    """`(H, W)` of a picture of `size` after the rule."""
    if rule.size is not None and rule.rule == "exact":
        return rule.size
    factor = 1.0
    if rule.pixels is not None and rule.rule == "area":
        factor = math.sqrt(rule.pixels / (size[0] * size[1]))
    factor = min(factor, rule.longest / max(size))
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def prepare(
    image: NDArray[np.uint8], plan: InputPlan, card: Preprocessing, *, threads: int
) -> NDArray[np.float32]:
    """uint8 `[H, W, 3]` RGB -> float32 `[3, H', W']`, scaled, normalised and padded with zeros."""
    if plan.resized != plan.picture:
        height, width = plan.resized
        # Pillow's filter widens when it shrinks, so that thin things fade instead of vanishing.
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        image = np.asarray(resized)
    if card.colour_order == "BGR":
        image = np.ascontiguousarray(image[..., ::-1])
    mean, std = np.array(card.mean), np.array(card.std)
    scale = (card.scale / std).astype(np.float32)
    shift = (-mean / std).astype(np.float32)
    return kernels.normalise(image, scale, shift, plan.padded, threads=threads)


def score_geometry(plan: InputPlan, scores: tuple[int, int], card: Postprocessing) -> Geometry:
    """How the picture's pixels fall on scores of size `(h, w)`.

    Picture pixel p has its centre at `u = (p + 1/2) r - 1/2` of the resized picture, r being
    resized over original size; the scores then align with the padded input by their corners or by
    half pixels.
    """
    axes = []
    for picture, resized, padded, cells in zip(
        plan.picture, plan.resized, plan.padded, scores, strict=True
    ):
        ratio = resized / picture
        start = 0.5 * ratio - 0.5
        if card.alignment == "corners":
            step = (cells - 1) / (padded - 1) if padded > 1 else 0.0
            axes.append(kernels.Axis(size=picture, scale=ratio * step, offset=start * step))
        else:
            step = cells / padded
            offset = (start + 0.5) * step - 0.5
            axes.append(kernels.Axis(size=picture, scale=ratio * step, offset=offset))
    return Geometry(rows=axes[0], columns=axes[1])


def _pad(side: int, card: Preprocessing) -> int:
    return side + (card.remainder - side) % card.multiple
