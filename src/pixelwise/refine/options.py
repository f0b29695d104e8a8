"""What the methods of refinement may be told, and what is wrong with what they are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from pixelwise.class_entries import is_whole, shown
from pixelwise.errors import did_you_mean
from pixelwise.kernels.dense_crf import CRF_RANGES
from pixelwise.kernels.guided import GUIDED_RANGES

__all__ = ["METHODS", "MOST_AREA", "MOST_RADIUS", "WHOLE", "number_fault", "option_faults"]

# The kernel holds 100,000 deviations: colours of 0..255, and pictures of as many pixels a side.
_LEAST_DEVIATIONS = {"colour_deviation": 0.01, "position_deviation": 1.0}

METHODS: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "none": {},
        "crf": {
            name: (_LEAST_DEVIATIONS.get(name, least), most)
            for name, (least, most) in CRF_RANGES.items()
        },
        "guided": GUIDED_RANGES,
    }
)
"""Of each method the least and the most that each option may be."""

WHOLE = frozenset({"iterations", "radius"})
"""Options that are whole numbers."""

MOST_RADIUS = 1000
MOST_AREA = 2**31


def option_faults(method: str, options: Mapping[str, object]) -> list[str]:
    """Everything that is wrong with a method and its options; empty if nothing is."""
    if method not in METHODS:
        return [f"{shown(method)}: no such method ({did_you_mean(str(method)[:80], METHODS)})"]
    ranges = METHODS[method]
    faults = []
    for name, value in options.items():
        if name not in ranges:
            offer = did_you_mean(str(name)[:80], ranges) if ranges else "it has none"
            faults.append(f"{shown(name)}: no option of {method} ({offer})")
        else:
            faults += number_fault(name, value, *ranges[name], whole=name in WHOLE)
    return faults


def number_fault(name: str, value: object, least: float, most: float, *, whole: bool) -> list[str]:
    """What is wrong with a number, if anything is."""
    number = is_whole(value) or (
        not whole and isinstance(value, float | np.floating) and math.isfinite(value)
    )
    if number and least <= value <= most:  # type: ignore[operator]
        return []
    if whole:
        expected = f"a whole number from {int(least):,} to {int(most):,}"
    else:
        expected = f"a number from {least:,g} to {most:,g}"
    return [f"{name}={shown(value)}, expected {expected}"]
