"""What colours found in masks may be: classes of known tables, or strays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.colours import Colour, colour_of

__all__ = ["ColourNames", "placeholder", "strays_among"]

_TABLES = ("camvid", "cityscapes", "ade20k", "coco", "voc")
# Drawing programs use the colours of VOC for anything: a match tells nothing.
_USED_FOR_ANYTHING = "voc"
_LEAST_MATCHES = 3
_RARE_IN_ALL, _RARE_IN_ITS_FILES = 1e-4, 1e-3
_EDGE_IN_ALL, _EDGE_IN_ITS_FILES = 1e-3, 1e-2
_NEAR, _OFF_LINE = 24, 12.0
_FREQUENT_LOOKED_AT = 40
_IGNORED_VALUE = 255


def placeholder(colour: Colour) -> str:
    """A name for a class of which only the colour is known."""
    return "colour #{:02x}{:02x}{:02x}".format(*colour)


def strays_among(counts: Mapping[int, tuple[int, int]], pixels: int) -> dict[int, str]:
    """Colours that are taken for no class, and why.

    Args:
        counts: by code 0xBBGGRR its pixels, and all pixels of the masks that have it.
        pixels: of all masks.
    """
    frequent_codes = sorted(counts, key=lambda code: (-counts[code][0], code))
    frequent_codes = frequent_codes[:_FREQUENT_LOOKED_AT]
    frequent = np.array([colour_of(code) for code in frequent_codes], float).reshape(-1, 3)
    numbers = np.array([counts[code][0] for code in frequent_codes])
    strays = {}
    for code, (own, area) in counts.items():
        in_all, in_its_files = own / pixels, own / area
        if in_all < _RARE_IN_ALL and in_its_files < _RARE_IN_ITS_FILES:
            strays[code] = "rare"
        if in_all < _EDGE_IN_ALL and in_its_files < _EDGE_IN_ITS_FILES:
            reason = _edge(colour_of(code), frequent[numbers >= 100 * own])
            if reason:
                strays[code] = reason
    return strays


class ColourNames:
    """Names for colours and values: of the own table, and of built-in ones that fit as a whole.

    Args:
        codes: colours that may be classes, 0xBBGGRR.
        values: values of masks of numbers.
        own: the class table of the data set, if it is known.
    """

    def __init__(
        self, codes: Sequence[int], values: Collection[int], own: ClassTable | None
    ) -> None:
        self._own = own
        self._values = values
        self._binary = values == {0, 255} and not codes
        self._tables = {
            name: {info.colour: info.name for info in ClassTable.builtin(name)} for name in _TABLES
        }
        colours = [colour_of(code) for code in codes]
        self._best: dict[Colour, str] = {}
        for name, table in self._tables.items():
            fitting = [colour for colour in colours if colour in table]
            every = len(fitting) >= _LEAST_MATCHES and len(fitting) >= len(colours) - 1
            if every and name != _USED_FOR_ANYTHING and not self._best:
                self._best = table

    def known_as(self, colour: Colour) -> tuple[str, ...]:
        """What the colour stands for in each built-in table that has it."""
        return tuple(
            f"{name}: {table[colour]}" for name, table in self._tables.items() if colour in table
        )

    def of_colour(self, colour: Colour) -> str:
        """The name suggested for a colour; "" if there is none."""
        named = [] if self._own is None else [i.name for i in self._own if i.colour == colour]
        # A table made from the masks alone has no names either.
        if named and named[0] != placeholder(colour):
            return named[0]
        return self._best.get(colour, "")

    def of_value(self, value: int) -> str:
        """The own table's name for a value; "" if there is none."""
        if self._own is None:
            return ""
        number = 1 if self._binary and value else value
        return self._own.find(number).name if number in self._own else ""

    def ignores_colour(self, colour: Colour) -> bool:
        """Whether the own table says that the colour does not count."""
        return self._own is not None and colour in self._own.ignore_colours

    def ignores_value(self, value: int) -> bool:
        """Whether a value seems not to count: by the own table, 255 above all others, below 0."""
        if self._binary or value < 0:
            return value < 0
        if self._own is not None:
            return value == self._own.ignore_index
        return value == _IGNORED_VALUE == max(self._values) and len(self._values) > 1


def _edge(colour: Colour, frequent: NDArray[np.float64]) -> str:
    """Why this may be a colour of smoothed or compressed edges; "" if it does not look so."""
    point = np.array(colour, float)
    distances = np.abs(frequent - point).max(axis=1, initial=0)
    if len(frequent) and distances.min() <= _NEAR:
        return f"close to {_hex(frequent[int(distances.argmin())])}"
    if len(frequent) < 2:
        return ""
    # Of each pair of frequent colours: how far the colour is from the line between them.
    one, two = np.triu_indices(len(frequent), 1)
    along = frequent[two] - frequent[one]
    offset = point - frequent[one]
    part = (offset * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1)
    off = np.linalg.norm(offset - part[:, None] * along, axis=1)
    off[(part < 0.05) | (part > 0.95)] = np.inf
    best = int(off.argmin())
    if off[best] > _OFF_LINE:
        return ""
    return f"between {_hex(frequent[one[best]])} and {_hex(frequent[two[best]])}"


def _hex(colour: NDArray[np.float64]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour.astype(int).tolist())
