"""Weights of classes against imbalance, from how often they occur."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from pixelwise.errors import ArrayError, UsageError, did_you_mean

__all__ = ["CLASS_WEIGHT_RULES", "POSITIVE_WEIGHT_RULES", "class_weights", "positive_weights"]

_MOST_POSITIVE = 10.0


def _median_frequency(pixels: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    frequency = pixels / among
    return frequency.quantile(0.5) / frequency


def _effective_number(pixels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    # β = (N - 1) / N; β^n by logarithms, since β is next to 1.
    prototypes = pixels.mean().clamp_min(2)
    return 1 / -torch.expm1(pixels * torch.log1p(-1 / prototypes))


_RULES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "none": lambda pixels, _: torch.ones_like(pixels),
        "median-frequency": _median_frequency,
        "sqrt-median-frequency": lambda pixels, among: _median_frequency(pixels, among).sqrt(),
        "inverse": lambda pixels, _: 1 / pixels,
        "sqrt-inverse": lambda pixels, _: 1 / pixels.sqrt(),
        "effective-number": _effective_number,
    }
)

CLASS_WEIGHT_RULES = tuple(_RULES)
POSITIVE_WEIGHT_RULES = ("none", "inverse", "sqrt-inverse")


def class_weights(
    counts: torch.Tensor, rule: str, *, pixels_around: torch.Tensor | None = None
) -> torch.Tensor:
    """float32 `[C]`: how much a pixel of each class counts.

    - `none`: all the same.
    - `median-frequency`: the median frequency by that of the class. Eigen, Fergus, ICCV 2015
      (arXiv 1411.4734), section 6.3.2; frequency is the share of the pixels of those pictures
      that have the class.
    - `sqrt-median-frequency`: the square root of it, for when rare classes would be overdone.
    - `inverse`: one by the class's pixels; every class has the same part in the loss.
    - `sqrt-inverse`: the square root of it.
    - `effective-number`: Cui et al., CVPR 2019 (arXiv 1901.05555), equation 2. Its number of
      distinct samples N, from which β = (N - 1) / N, is here the mean count of a class: for
      pixels, which come by the million, the paper's β would make all classes alike. Classes far
      rarer than the mean get weights as by `inverse`, those far more frequent as by `none`.

    Weights are scaled so that their mean over all counted pixels is 1: an average pixel counts as
    much as without weights. A class without a pixel cannot occur in a truth of this kind; it gets
    1, for a weight of 0 would take from the unions that it belongs to.

    Args:
        counts: integers `[C]`: pixels of each class in the training pictures.
        rule: one of `CLASS_WEIGHT_RULES`.
        pixels_around: integers `[C]`: the counted pixels of all pictures that have the class;
            None: of all pictures. For the median frequency.

    Raises:
        UsageError: there is no such rule.
        ArrayError: counts of other shape or type, or below 0.
    """
    if rule not in _RULES:
        raise UsageError(
            "there is no such rule for class weights",
            where="class_weights",
            got=repr(rule),
            fix=did_you_mean(rule, _RULES),
        )
    _check(counts, "counts", tuple(counts.shape))
    pixels = counts.double()
    among = pixels.sum().expand_as(pixels)
    if pixels_around is not None:
        _check(pixels_around, "pixels_around", tuple(counts.shape))
        among = pixels_around.double()
    present = counts > 0
    weights = torch.ones_like(pixels)
    if present.any():
        found = _RULES[rule](pixels[present], among[present])
        weights[present] = found * pixels.sum() / (found * pixels[present]).sum()
    return weights.float()


def positive_weights(counts: torch.Tensor, rule: str, *, pixels: int) -> torch.Tensor:
    """float32 `[C]`: how much a pixel with a class counts beside one without it.

    - `none`: as much.
    - `inverse`: as often as there are pixels without the class for one with it: both have the same
      part in the loss.
    - `sqrt-inverse`: the square root of it, for when rare classes would be overdone.

    None is below 1 or above 10: beyond that, few pixels of a rare class would lead the whole
    network. A class without a pixel gets 1.

    Args:
        counts: integers `[C]`: pixels with each class in the training pictures.
        rule: one of `POSITIVE_WEIGHT_RULES`.
        pixels: that count in these pictures.

    Raises:
        UsageError: there is no such rule.
        ArrayError: counts of other shape or type, or below 0.
    """
    if rule not in POSITIVE_WEIGHT_RULES:
        raise UsageError(
            "there is no such rule for weights of pixels with a class",
            where="class_weights",
            got=repr(rule),
            fix=did_you_mean(rule, POSITIVE_WEIGHT_RULES),
        )
    _check(counts, "counts", tuple(counts.shape))
    there = counts.double()
    ratio = torch.where(counts > 0, (pixels - there) / there.clamp_min(1), 1.0)
    power = {"none": 0.0, "inverse": 1.0, "sqrt-inverse": 0.5}[rule]
    return ratio.clamp_min(0).pow(power).clamp(1, _MOST_POSITIVE).float()


def _check(counts: torch.Tensor, name: str, shape: tuple[int, ...]) -> None:
    whole = not counts.is_floating_point() and not counts.is_complex()
    if counts.ndim != 1 or tuple(counts.shape) != shape or not whole or (counts < 0).any():
        raise ArrayError(
            "the pixels of the classes are no counts",
            where=name,
            got=f"{counts.dtype} {list(counts.shape)}; expected whole numbers [C], none below 0",
            fix="count the pixels of each class of the network",
        )
