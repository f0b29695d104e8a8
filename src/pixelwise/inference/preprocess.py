"""From a photo to the network's input, as the model's card says, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise import kernels
from pixelwise.geometry import Geometry
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize
from pixelwise.kernels.types import Values

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
    image: Values, plan: InputPlan, card: Preprocessing, *, threads: int
) -> NDArray[np.float32]:
    """A picture -> float32 `[B, H', W']`: resized, scaled, normalised and padded with zeros.

    Args:
        image: uint8, uint16, int16 or float32 `[H, W, B]`, of three bands in the order RGB. What is
            NaN in it, or infinite, counts as the mean.
        plan: the sizes.
        card: the rules.
        threads: cores to use.
    """
    if plan.resized != plan.picture:
        image = _resized(image, plan.resized, card)
    if card.colour_order == "BGR":
        reverse: Any = image[..., ::-1]
        image = np.ascontiguousarray(reverse)
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


def _resized(image: Values, size: tuple[int, int], card: Preprocessing) -> Values:
    # Pillow's filter widens when it shrinks, so that thin things fade instead of vanishing.
    def resize(pixels: Any) -> Any:
        return Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)

    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(resize(image))
    out = np.empty((*size, image.shape[2]), np.uint8 if image.dtype == np.uint8 else np.float32)
    for band in range(image.shape[2]):
        values: Any = np.ascontiguousarray(image[..., band], out.dtype)
        if image.dtype == np.float32:
            # One NaN would spread over the whole reach of the filter.
            values = np.where(np.isfinite(values), values, np.float32(card.mean[band] / card.scale))
        out[..., band] = resize(values)
    return out


def _pad(side: int, card: Preprocessing) -> int:
    return side + (card.remainder - side) % card.multiple
