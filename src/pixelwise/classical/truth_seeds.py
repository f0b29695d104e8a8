"""What a patient user would show a method that must be shown where to look, drawn from the truth.

Scores of such methods are no scores of something automatic: they say how far the method gets once
somebody has pointed at the right places. The drawing has no chance in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.errors import UsageError
from pixelwise.extras import extra

__all__ = ["HOW_DRAWN", "SHOWN", "seeds_of_truth"]

HOW_DRAWN = (
    "a disc at the most inner point of the largest region of each class; for grabcut and snake all "
    "but the first class is foreground: a box around it if it is one object, and a circle around "
    "its largest region"
)

# A brush: half the way to the border, so that discs of two classes never touch, and no wider.
_BRUSH_RADIUS = 6
# What a hand leaves around an object, as a part of its longer side.
_MARGIN = 0.1
# A region with less than this part of the foreground is not all that there is to put into a box.
_ONE_OBJECT = 0.9
_CIRCLE_CORNERS = 32

_Draw: TypeAlias = Callable[[NDArray[np.uint16]], dict[str, Any]]


def seeds_of_truth(
    method: str, channels: NDArray[np.uint16], names: Sequence[str]
) -> dict[str, Any]:
    """Options that show the method where to look in one picture.

    Args:
        method: one of `SHOWN`.
        channels: uint16 `[H, W]`, the truth: places of classes in `names`, 65535 ignored.
        names: of the classes; the first is the ground of methods that know two parts alone.

    Raises:
        UsageError: nothing in the picture can be pointed at.
    """
    drawn = SHOWN[method](channels)
    return drawn | {"names": tuple(names)} if method == "random-walker" else drawn


def _discs(channels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Discs of the classes, uint16 `[H, W]`: 1 + channel, 0 elsewhere."""
    with extra("classical"):
        import cv2
    seeds = np.zeros(channels.shape, np.uint16)
    for channel in np.unique(channels[channels != IGNORED]).tolist():
        region = _largest_region(channels == channel)
        # The frame of the picture is a border too: nobody points at its very edge.
        distances = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distances = distances[1:-1, 1:-1]
        y, x = np.unravel_index(np.argmax(distances), distances.shape)
        radius = min(_BRUSH_RADIUS, (float(distances[y, x]) - 1) / 2)
        rows, columns = np.ogrid[: channels.shape[0], : channels.shape[1]]
        seeds[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = channel + 1
    return seeds


def _largest_region(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Of the pixels that hang together by their sides, uint8 `[H, W]`, 1 in it."""
    with extra("classical"):
        import cv2
    _, regions, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    largest = 1 + np.argmax(facts[1:, cv2.CC_STAT_AREA])
    return np.asarray(regions == largest, np.uint8)


def _foreground(channels: NDArray[np.uint16]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (channels != 0) & (channels != IGNORED)
    if not found.any():
        raise UsageError("there is no object to point at")
    return found


def _for_random_walker(channels: NDArray[np.uint16]) -> dict[str, Any]:
    return {"seeds": _discs(channels)}


def _for_grabcut(channels: NDArray[np.uint16]) -> dict[str, Any]:
    foreground = _foreground(channels)
    seeds = {"seeds": np.minimum(_discs(channels), 2)}
    if _largest_region(foreground).sum() < _ONE_OBJECT * foreground.sum():
        return seeds
    rows, columns = np.nonzero(foreground)
    height, width = channels.shape
    margin = math.ceil(_MARGIN * max(np.ptp(rows), np.ptp(columns)))
    box = (
        max(0, int(columns.min()) - margin),
        max(0, int(rows.min()) - margin),
        min(width, int(columns.max()) + 1 + margin),
        min(height, int(rows.max()) + 1 + margin),
    )
    return {"box": box, **seeds}


def _for_snake(channels: NDArray[np.uint16]) -> dict[str, Any]:
    rows, columns = np.nonzero(_largest_region(_foreground(channels)))
    y, x = (int(rows.min()) + int(rows.max())) / 2, (int(columns.min()) + int(columns.max())) / 2
    reach = float(np.hypot(rows - y, columns - x).max())
    radius = (1 + _MARGIN) * reach + 1
    turns = np.linspace(0, 2 * np.pi, _CIRCLE_CORNERS, endpoint=False)
    corners = np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], axis=1)
    height, width = channels.shape
    return {"contour": np.clip(corners, 0, (width - 1, height - 1)).tolist()}


SHOWN: Mapping[str, _Draw] = {
    "snake": _for_snake,
    "grabcut": _for_grabcut,
    "random-walker": _for_random_walker,
}
"""How seeds are drawn, by the methods that must have them."""
