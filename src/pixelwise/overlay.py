"""Pictures for people: a label map laid over its photo, and the legend below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelwise import kernels
from pixelwise.classes import ClassInfo
from pixelwise.lettering import lettering

__all__ = ["LegendEntry", "draw_layers", "draw_legend", "draw_overlay", "format_share", "heat_map"]

_BACKGROUND = (24, 24, 27)
_TEXT = (235, 235, 235)
_FRAME = (110, 110, 115)

# Stripes across the shorter side of a picture; pixels of that side for each pixel of a contour.
_STRIPES = 60
_LEAST_STRIPE = 3
_CONTOURS = 450

# Points of the heat map, dark to bright with rising lightness, so that it reads in grey too.
_HEAT_POINTS = np.array(
    [
        (0, 0, 4),
        (58, 9, 99),
        (130, 37, 104),
        (203, 65, 73),
        (243, 128, 36),
        (247, 209, 61),
        (252, 255, 200),
    ],
    np.float64,
)


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: a class and its share of the picture, 0..1."""

    info: ClassInfo
    share: float

    @property
    def text(self) -> str:
        """Name and percentage."""
        return f"{self.info.name} {format_share(self.share)}"


def format_share(share: float) -> str:
    """A share of the picture, 0..1, as a percentage; what is below 0.1 % is not shown as none."""
    return "<0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def draw_overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8] | NDArray[np.uint16],
    palette: NDArray[np.uint8],
    entries: list[LegendEntry],
    *,
    opacity: float,
    legend: bool,
    threads: int,
) -> NDArray[np.uint8]:
    """The photo `[H, W, 3]` under its classes, with the legend as a strip below.

    Returns:
        uint8 `[H + strip, max(W, strip's width), 3]`; the photo stays at the upper left, pixel for
        pixel.
    """
    blended = kernels.blend(image, labels, palette, opacity=opacity, borders=True, threads=threads)
    return _with_legend(blended, entries) if legend and entries else blended


def draw_layers(
    image: NDArray[np.uint8],
    masks: Sequence[Callable[[], NDArray[np.bool_]]],
    entries: list[LegendEntry],
    *,
    opacity: float,
    legend: bool,
    threads: int,
) -> NDArray[np.uint8]:
    """The photo `[H, W, 3]` under classes that may lie over each other.

    Where several do, their colours take turns in slanting stripes; a contour in full colour runs
    along the inside of each class, the smallest class's over the others.

    Args:
        image: the photo.
        masks: for each entry what works out where its class is, bool `[H, W]`; asked for twice, so
            that one at a time is in memory.
        entries: the classes that occur, the largest first.
        opacity: of the class colours, 0..1.
        legend: whether there is a strip below the photo.
        threads: cores that may be used.

    Returns:
        As `draw_overlay`.
    """
    if not entries:
        return image.copy()
    height, width = image.shape[:2]
    count = np.zeros((height, width), np.uint16)
    for mask in masks:
        count += mask()
    side = max(_LEAST_STRIPE, round(min(height, width) / _STRIPES))
    turn = (np.arange(height)[:, None] + np.arange(width)) // side % np.maximum(count, 1)
    nothing = len(entries)
    shown = np.full((height, width), nothing, np.uint16)
    contour = shown.copy()
    passed = np.zeros((height, width), np.uint16)
    thickness = max(1, round(min(height, width) / _CONTOURS))
    for index, mask in enumerate(masks):
        present = mask()
        shown[present & (passed == turn)] = index
        passed += present
        contour[present & ~_inside(present, thickness)] = index
    palette = np.array([*(entry.info.colour for entry in entries), (0, 0, 0)], np.uint8)
    drawn = kernels.blend(image, shown, palette, opacity=opacity, borders=False, threads=threads)
    bare, lined = shown == nothing, contour != nothing
    drawn[bare] = image[bare]
    drawn[lined] = palette[contour[lined]]
    return _with_legend(drawn, entries) if legend else drawn


def _inside(present: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    """Pixels with nothing else within so many steps; the rim of the picture is no border."""
    inner = np.pad(present, thickness, mode="edge")
    for _ in range(thickness):
        inner[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return inner[thickness:-thickness, thickness:-thickness]


def _with_legend(blended: NDArray[np.uint8], entries: list[LegendEntry]) -> NDArray[np.uint8]:
    strip = draw_legend(entries, width=max(blended.shape[1], 160), picture_height=blended.shape[0])
    canvas = np.empty((blended.shape[0] + strip.shape[0], strip.shape[1], 3), np.uint8)
    canvas[:] = _BACKGROUND
    canvas[: blended.shape[0], : blended.shape[1]] = blended
    canvas[blended.shape[0] :] = strip
    return canvas


def draw_legend(
    entries: list[LegendEntry], *, width: int, picture_height: int
) -> NDArray[np.uint8]:
    """Swatch, name and share of each class, in as many columns as fit.

    Returns:
        uint8 `[h, w, 3]`, where w is the width given, or more if the longest text needs it.
    """
    size = int(np.clip(min(width, picture_height * 2) / 42, 11, 40))
    letters = lettering([entry.text for entry in entries], size)
    font, gap = letters.font, size // 2
    column = max(font.getlength(text) for text in letters.texts) + size + 3 * gap
    width = max(width, math.ceil(column) + gap)
    columns = int((width - gap) // column)
    rows = -(-len(entries) // columns)
    line = size + gap
    strip = Image.new("RGB", (width, rows * line + gap), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for position, (entry, text) in enumerate(zip(entries, letters.texts, strict=True)):
        left = gap + round(position % columns * column)
        top = gap + position // columns * line
        draw.rectangle((left, top, left + size, top + size), fill=entry.info.colour, outline=_FRAME)
        draw.text((left + size + gap, top + size / 2), text, fill=_TEXT, font=font, anchor="lm")
    drawn: NDArray[np.uint8] = np.asarray(strip)
    return drawn


def heat_map(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities 0..1 `[H, W]` as uint8 `[H, W, 3]`: black 0, red 0.5, pale yellow 1."""
    steps = np.linspace(0, len(_HEAT_POINTS) - 1, 256)
    table = np.stack(
        [np.interp(steps, np.arange(len(_HEAT_POINTS)), channel) for channel in _HEAT_POINTS.T],
        axis=1,
    )
    index = np.clip(probability * 255 + 0.5, 0, 255).astype(np.uint8)
    colours: NDArray[np.uint8] = np.rint(table).astype(np.uint8)[index]
    return colours
