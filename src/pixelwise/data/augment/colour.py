"""Changes of colour: all of them make one matrix on red, green and blue, and one exponent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pixelwise.data.augment.limits import within
from pixelwise.data.augment.plan import SAME_PLACES, Matrix, Tint, product

__all__ = ["Photometric"]

_GREY = 127.5
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

# From red, green and blue to luma and the two differences of NTSC (FCC, 1953), and back.
_YIQ: Matrix = (
    _LUMA,
    (0.595716, -0.274453, -0.321263),
    (0.211456, -0.522591, 0.311135),
)
_RGB: Matrix = (
    (1.0, 0.956296, 0.621024),
    (1.0, -0.272122, -0.647381),
    (1.0, -1.106989, 1.704615),
)


@dataclass(frozen=True, slots=True)
class Photometric:
    """Other light, another camera. Each change is drawn evenly between its limits.

    All but `gamma` are linear and come in the order of the attributes; values are clamped once,
    after them, and the tone curve comes last. Contrast turns about the fixed grey 127.5, not about
    the mean of the picture, which would take a pass over its pixels.

    Attributes:
        brightness: all channels times 1 ± brightness, 0 … 1.
        contrast: distance from the mid grey times 1 ± contrast, 0 … 1.
        saturation: distance from the pixel's own grey times 1 ± saturation, 0 … 1.
        grey: chance of losing all colour, 0 … 1.
        hue: colours turn by ± hue of the full circle at the same luma (a rotation in YIQ, not in
            HSV), 0 … 0.5.
        white_balance: each channel times 1 ± white_balance of its own, 0 … 0.5.
        gamma: exponent of the tone curve, 1 / gamma … gamma, evenly on a logarithmic axis, 1 … 4.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    hue: float = 0.0
    white_balance: float = 0.0
    gamma: float = 1.0

    def faults(self) -> Iterator[str]:
        """What is outside its limits."""
        for name in ("brightness", "contrast", "saturation", "grey"):
            yield from within(name, getattr(self, name), 0, 1)
        yield from within("hue", self.hue, 0, 0.5)
        yield from within("white_balance", self.white_balance, 0, 0.5)
        yield from within("gamma", self.gamma, 1, 4)

    def draw(self, generator: np.random.Generator) -> tuple[Tint, float]:
        """The colours' matrix and the exponent."""
        # Always as many numbers, so that one change more or less leaves the others as they were.
        share = generator.uniform(-1, 1, 8).tolist()
        lost = generator.random() < self.grey
        contrast = 1 + self.contrast * share[1]
        gain = (1 + self.brightness * share[0]) * contrast
        added = _GREY * (1 - contrast)
        mixing = _saturation(0.0 if lost else 1 + self.saturation * share[2])
        if self.hue:
            mixing = product(_hue(self.hue * share[3]), mixing)
        rows = []
        for channel, row in enumerate(mixing):
            balance = 1 + self.white_balance * share[4 + channel]
            # Saturation and hue take a grey to itself, so the grey added passes through them.
            rows.append((*(weight * gain * balance for weight in row), added * balance))
        return (rows[0], rows[1], rows[2]), math.exp(math.log(self.gamma) * share[7])


def _saturation(factor: float) -> Matrix:
    rest = 1 - factor
    red, green, blue = (rest * weight for weight in _LUMA)
    return (
        (red + factor, green, blue),
        (red, green + factor, blue),
        (red, green, blue + factor),
    )


def _hue(turn: float) -> Matrix:
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotation: Matrix = (SAME_PLACES[0], (0.0, cos, -sin), (0.0, sin, cos))
    return product(_RGB, product(rotation, _YIQ))
