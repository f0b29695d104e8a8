"""Colours for classes that have none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError

__all__ = ["Colour", "colour_codes", "colour_of", "distinct_colours"]

Colour = tuple[int, int, int]

_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)


def colour_codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Colours `[…, 3 or more]` as numbers `[…]`: red + 256 green + 65536 blue."""
    codes = pixels[..., 2].astype(np.uint32)
    for channel in (1, 0):
        codes <<= np.uint32(8)
        codes |= pixels[..., channel]
    return codes


def colour_of(code: int) -> Colour:
    """The colour that `colour_codes` made the number of."""
    return code & 255, code >> 8 & 255, code >> 16


def distinct_colours(count: int, *, taken: Iterable[Colour] = ()) -> tuple[Colour, ...]:
    """Colours that are easy to tell apart, the same at every call.

    Each of the first 512 is the one of 16³ colours, neither very dark nor very light, that lies
    farthest from black, white, those before it and those taken, in Oklab (Ottosson 2020). Any
    further ones only differ.

    Args:
        count: 0 … 65,535.
        taken: colours to keep away from.

    Raises:
        UsageError: `count` is out of range.
    """
    if not 0 <= count <= 65_535:
        raise UsageError("colours are given for 0 to 65,535 classes", got=f"count={count}")
    used = {_BLACK, _WHITE, *taken}
    grid = np.arange(16**3)
    candidates = np.stack([grid >> 8, grid >> 4 & 15, grid & 15], axis=1) * 17  # [N, 3]
    places = _oklab(candidates)  # [N, 3]
    middle = (places[:, 0] > 0.35) & (places[:, 0] < 0.9)
    candidates, places = candidates[middle], places[middle]
    distance = np.full(len(places), np.inf)
    for place in _oklab(np.array(sorted(used))):
        np.minimum(distance, ((places - place) ** 2).sum(axis=1), out=distance)
    found: list[Colour] = []
    while len(found) < min(count, 512) and distance.max() > 1e-6:
        best = int(distance.argmax())
        red, green, blue = candidates[best].tolist()
        found.append((red, green, blue))
        np.minimum(distance, ((places - places[best]) ** 2).sum(axis=1), out=distance)
    used.update(found)
    # An odd factor visits every one of the 2**24 colours once, in big steps.
    number = 0
    while len(found) < count:
        number = (number + 10_368_889) % 2**24
        colour = (number >> 16, number >> 8 & 255, number & 255)
        if colour not in used:
            found.append(colour)
    return tuple(found)


def _oklab(colours: NDArray[np.integer]) -> NDArray[np.float64]:
    """Colours in sRGB, 0 … 255 `[N, 3]` -> Oklab `[N, 3]`: lightness, green-red, blue-yellow."""
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    result: NDArray[np.float64] = np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
    return result
