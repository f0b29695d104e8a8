"""How pictures reach the network: their scale, the pieces trained on, colours, which way is up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pixelwise.percentages import percent
from pixelwise.training.choices import Choices
from pixelwise.training.fingerprint import Fingerprint
from pixelwise.training.machine import Machine

__all__ = ["IMAGENET", "Scale", "choose_crop", "choose_pictures", "choose_scale", "size_text"]

# A whole picture at the network, and a piece of one in training: pixels.
_PICTURE = {"processor": 480 * 640, "GPU": 768 * 1024}
_PIECE = {"processor": 385 * 481, "GPU": 513 * 641}
_LARGER_WHOLE = 1.15
_NEAR = 2
_RIM = 2.0
_WIDTH_WANTED = 8.0
_SIDE_WANTED = 24.0
_MOST_ENLARGED_SCENE = 4 / 3
_MOST_ENLARGED = 2.0
_TINY = 128
_MOST_ENLARGED_TINY = 4.0
_AS_IT_IS = (0.85, 1.1)
_LONGEST, _SHORTEST = 4096, 1024
# Bytes that the maps of a light network take when a picture is scored, and as much to spare.
_SCORED_PIXEL = 1024
_LONGEST_ASPECT = 2.0
_LEAST_SPREAD = 1e-3

_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that most published encoders were trained with."""


@dataclass(frozen=True)
class Scale:
    """What becomes of the median picture.

    Attributes:
        factor: of its sides.
        size: `(H, W)` at the network.
        width: of the thinnest class at the network, in pixels; infinite where nothing is thin.
    """

    factor: float
    size: tuple[int, int]
    width: float


def choose_scale(choices: Choices, seen: Fingerprint, machine: Machine) -> Scale:
    """Whether pictures are resized, and to how many pixels."""
    place = "GPU" if machine.gpus else "processor"
    area = seen.median[0] * seen.median[1]
    _choose_longest(choices, seen, machine)
    longest = choices.plan.longest
    if choices.is_fixed("pixels"):
        choices.set("resize", "area", "pixels are given")
    else:
        factor, reason = _factor(seen, _PICTURE[place])
        if max(seen.median) * factor > longest:
            factor = longest / max(seen.median)
            reason = f"no side longer than {longest:,} is scored at once: cut pictures of "
            reason += f"{size_text(seen.median)} into tiles where their details matter"
            choices.warn(reason)
        _resize(choices, seen, factor, reason)
    plan = choices.plan
    factor = (plan.pixels / area) ** 0.5 if plan.resize == "area" and plan.pixels else 1.0
    factor = min(factor, plan.longest / max(seen.median))
    size = tuple(max(1, round(side * factor)) for side in seen.median)
    width = _width(seen)
    if seen.instances and plan.instances == "borders":
        width = min(width, _RIM)
    return Scale(factor, (size[0], size[1]), width * factor)


def _resize(choices: Choices, seen: Fingerprint, factor: float, reason: str) -> None:
    area = seen.median[0] * seen.median[1]
    if _AS_IT_IS[0] <= factor <= _AS_IT_IS[1] and (seen.alike or not seen.has_upper_side):
        choices.set("resize", "none", reason)
        choices.set("pixels", None, "pictures are not resized")
        return
    pixels = max(64, round(area * factor**2))
    choices.set("resize", "area", reason)
    size = tuple(round(side * factor) for side in seen.median)
    choices.set(
        "pixels", pixels, f"the median picture, {size_text(seen.median)}, becomes {size_text(size)}"
    )


def _factor(seen: Fingerprint, affordable: int) -> tuple[float, str]:
    """By how much the median picture is enlarged, and why."""
    area = seen.median[0] * seen.median[1]
    fitting = (affordable / area) ** 0.5
    if area < _TINY**2:
        factor = min(_MOST_ENLARGED_TINY, _TINY / area**0.5)
        return factor, f"pictures of {size_text(seen.median)} are too small for an encoder of " + (
            f"stride 32: they are enlarged {factor:.1f} times"
        )
    if not seen.alike and not seen.has_upper_side:
        return 1.0, (
            "pictures of several sizes without an upper side, as from above or through a "
            "microscope: the size of things says what they are"
        )
    needed = max(_WIDTH_WANTED / _width(seen), _least_for_regions(seen))
    if fitting >= 1:
        return _enlarged(seen, needed, affordable)
    return _made_smaller(seen, needed, affordable)


def _enlarged(seen: Fingerprint, needed: float, affordable: int) -> tuple[float, str]:
    """Of pictures that leave room."""
    fitting = (affordable / (seen.median[0] * seen.median[1])) ** 0.5
    most = min(fitting, _MOST_ENLARGED_SCENE if seen.has_upper_side else _MOST_ENLARGED)
    if not seen.alike:
        return most, f"photos of several sizes, {_range(seen)}, are brought to one scale"
    factor = min(max(1.0, needed), most)
    if factor <= _AS_IT_IS[1]:
        return 1.0, f"all pictures are {size_text(seen.median)}, and that suits what is in them"
    return factor, f"{_thin(seen)}: enlarged {factor:.2f} times, within {affordable:,} pixels"


def _made_smaller(seen: Fingerprint, needed: float, affordable: int) -> tuple[float, str]:
    """Of pictures that are more than a step can afford, as far as what is in them allows."""
    fitting = (affordable / (seen.median[0] * seen.median[1])) ** 0.5
    factor = min(1.0, max(fitting, needed))
    if factor < _AS_IT_IS[0]:
        return factor, (
            f"pictures of {size_text(seen.median)} are made smaller {1 / factor:.1f} times, so "
            f"that a piece shows more of the scene; {_thin(seen)}"
        )
    if fitting >= _AS_IT_IS[0]:
        reason = f"pictures are {_range(seen)}, near what {affordable:,} pixels allow"
    else:
        reason = f"pictures of {size_text(seen.median)} are large, but {_thin(seen)}"
    return 1.0 if seen.alike else factor, reason


def _least_for_regions(seen: Fingerprint) -> float:
    """The scale at which a typical region of every class is still some cells of the scores."""
    return 0.0 if math.isnan(seen.smallest_side) else _SIDE_WANTED / seen.smallest_side


def _width(seen: Fingerprint) -> float:
    """Of a band of which that share lies within 2 pixels of its rims; infinite if none was seen."""
    near = seen.thinnest.near_border
    return math.inf if math.isnan(near) or near <= 0 else 2 * _NEAR / near


def _thin(seen: Fingerprint) -> str:
    facts = seen.thinnest
    if math.isnan(facts.near_border):
        return "how thin things are is not known"
    return f"{percent(facts.near_border, 0)} of {facts.name!r} lies within 2 pixels of its border"


def _choose_longest(choices: Choices, seen: Fingerprint, machine: Machine) -> None:
    longest = _LONGEST
    while longest > _SHORTEST and 0 < machine.room < longest**2 * _SCORED_PIXEL:
        longest //= 2
    largest = max(seen.largest)
    choices.set(
        "longest",
        longest,
        f"the longest side in the data is {largest:,}"
        + ("" if largest <= longest else ": larger pictures do not fit into memory whole"),
    )


def choose_crop(choices: Choices, machine: Machine, scale: Scale, grid: tuple[int, int]) -> None:
    """The pieces that are trained on.

    Args:
        choices: where it goes.
        machine: whether pieces are for a GPU.
        scale: what becomes of the median picture.
        grid: sides that fit the network are `grid[0]` · k + `grid[1]`.
    """
    most = _PIECE["GPU" if machine.gpus else "processor"]
    height, width = scale.size
    pixels = height * width
    sides = f"sides of {grid[0]}k + {grid[1]} fit the network"
    if pixels <= _LARGER_WHOLE * most:
        crop = _on_grid(height, grid), _on_grid(width, grid)
        choices.set(
            "crop", crop, f"the median picture is {size_text(scale.size)} there and fits; {sides}"
        )
        return
    aspect = min(max(height / width, 1 / _LONGEST_ASPECT), _LONGEST_ASPECT)
    crop = (
        _on_grid(min(height, (most * aspect) ** 0.5), grid),
        _on_grid(min(width, (most / aspect) ** 0.5), grid),
    )
    share = min(1.0, crop[0] * crop[1] / pixels)
    choices.set(
        "crop",
        crop,
        f"about {most:,} pixels at a time: {percent(share, 0)} of the median picture, which is "
        f"{size_text(scale.size)} there; {sides}",
    )


def _on_grid(side: float, grid: tuple[int, int]) -> int:
    step, rest = grid
    return max(1, round((side - rest) / step)) * step + rest


def choose_pictures(choices: Choices, seen: Fingerprint) -> None:
    """Colours, and which way is up."""
    plan = choices.plan
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    if seen.bands == 3 and plan.encoder_weights == "shipped":
        centre, spread = _HALVES
        reason = "what the encoder's shipped weights were trained with"
    elif seen.photos and plan.encoder_weights is not None:
        centre, spread = IMAGENET
        reason = "of ImageNet, as most encoders' weights want it"
    else:
        centre = tuple(round(value, 4) for value in seen.mean)
        spread = tuple(max(_LEAST_SPREAD, round(value, 4)) for value in seen.std)
        reason = f"of {seen.looked_at} pictures, in shares of {seen.full_scale:g}"
    choices.set("mean", centre, reason)
    choices.set("std", spread, reason)
    choices.set("any_way_up", not seen.has_upper_side, _up(seen))


def _up(seen: Fingerprint) -> str:
    if math.isnan(seen.upright):
        return f"{seen.looked_at} pictures are too few to tell whether they have an upper side"
    text = f"upper and lower halves differ by {seen.upright:.1f} standard errors, where chance "
    text += f"alone would give up to {seen.chance:.1f}: "
    return text + ("they have an upper side" if seen.has_upper_side else "up means nothing")


def size_text(size: tuple[int, ...]) -> str:
    """Height × width."""
    return "×".join(f"{side:,}" for side in size)


def _range(seen: Fingerprint) -> str:
    if seen.alike:
        return f"all {size_text(seen.median)}"
    return f"{size_text(seen.smallest)} to {size_text(seen.largest)}"
