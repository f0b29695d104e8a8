"""What a user shows a method: pixels whose class is known, as scribbles or as points."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import is_whole, key_of, shown
from pixelwise.classical.faults import Faults
from pixelwise.errors import UsageError, did_you_mean
from pixelwise.formats.masks import read_mask

__all__ = ["Point", "Seeds", "Shown", "parse_points", "place_seeds"]

# More are no drawing: soft brushes leave greys of all values.
_MOST_CLASSES = 64

Point: TypeAlias = tuple[int, int, str]
"""A pixel and its class: x, y, name."""

Seeds: TypeAlias = str | os.PathLike[str] | NDArray[Any] | Sequence[Point]
"""Scribbles, as a label map or its file with 0 where nothing is known; or points."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Seeds on the grid of a picture.

    Attributes:
        ids: int32 `[H, W]`: 0 unknown, else the number of the class from 1.
        names: of the classes; the first is number 1.
    """

    ids: NDArray[np.int32]
    names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of where which class was shown."""
        digest = hashlib.sha256(repr((self.ids.shape, self.names)).encode())
        digest.update(self.ids.tobytes())
        return digest.hexdigest()


def parse_points(texts: Sequence[str]) -> tuple[Point, ...]:
    """Points from texts like "120,48:sky".

    Raises:
        UsageError: lists the texts that are no points.
    """
    points: list[Point] = []
    faults: list[str] = []
    for text in texts:
        place, _, name = text.partition(":")
        try:
            x, y = (int(part) for part in place.split(","))
        except ValueError:
            faults.append(text)
            continue
        if name.strip():
            points.append((x, y, name.strip()))
        else:
            faults.append(text)
    if faults:
        raise UsageError(
            "seeds are a file of scribbles that is there, or points with a class",
            got=", ".join(shown(text) for text in faults),
            fix="such as --seeds scribbles.png, or --seeds 120,48:sky --seeds 60,200:road",
        )
    return tuple(points)


def place_seeds(
    seeds: Seeds,
    size: tuple[int, int],
    faults: Faults,
    *,
    names: Sequence[str] | None = None,
    only_these: bool = False,
) -> Shown:
    """Brings seeds onto the grid of a picture; adds what is wrong to the faults.

    Args:
        seeds: scribbles or points.
        size: `(H, W)` of the picture.
        faults: take what is wrong, seeds outside the picture and unknown classes among it.
        names: of the classes, in the order of the ids 1 …; None: of points those that occur, in
            their order, and of scribbles "region 1" ….
        only_these: whether the method knows these two classes alone, and needs no seed of each.

    Raises:
        MaskFileError: the file cannot be read as ids.
    """
    if names is not None and not _are_names(names, faults):
        names = None
    if isinstance(seeds, str | os.PathLike):
        seeds = read_mask(Path(seeds))
    if isinstance(seeds, np.ndarray):
        found = _scribbles(seeds, size, faults, names)
    else:
        found = _points(seeds, size, faults, names)
    present = np.unique(found.ids[found.ids > 0])
    if not only_these and len(present) < 2:
        told = "no seed" if not len(present) else "seeds of one class alone"
        faults.add(f"{told}, expected seeds of two classes or more")
    return found


def _are_names(names: Sequence[str], faults: Faults) -> bool:
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        faults.setting(f"names={shown(names)}, expected a name for each class")
    elif len({key_of(name) for name in names}) < len(names):
        faults.setting(f"names={shown(names)}, expected each name once")
    else:
        return True
    return False


def _scribbles(
    ids: NDArray[Any], size: tuple[int, int], faults: Faults, names: Sequence[str] | None
) -> Shown:
    nothing = np.zeros(size, np.int32)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        faults.add(f"seeds {ids.dtype} {list(ids.shape)}, expected integers [H, W]")
        return Shown(nothing, tuple(names or ()))
    if ids.shape != size:
        faults.add(
            f"seeds of {ids.shape[1]}×{ids.shape[0]}, the picture has {size[1]}×{size[0]} "
            "(width × height)"
        )
        return Shown(nothing, tuple(names or ()))
    highest, limit = int(ids.max()), len(names) if names is not None else _MOST_CLASSES
    if highest > limit or ids.min() < 0:
        known = ", ".join(f"{number} {name}" for number, name in enumerate(names or (), 1))
        faults.add(
            f"seeds hold {int(ids.min())} … {highest}, expected 0 (unknown) … {limit}"
            + (f": {known}" if known else "")
        )
        return Shown(nothing, tuple(names or ()))
    if names is None:
        names = [f"region {number}" for number in range(1, highest + 1)]
    return Shown(ids.astype(np.int32), tuple(names))


def _points(
    points: Sequence[Point], size: tuple[int, int], faults: Faults, names: Sequence[str] | None
) -> Shown:
    sound = [point for point in points if _is_point(point)]
    if len(sound) < len(points):
        wrong = next(point for point in points if not _is_point(point))
        faults.setting(f"seed {shown(wrong)}, expected x, y and the name of a class")
    known: list[str] = []
    places: dict[str, int] = {}
    for name in names if names is not None else [name for *_, name in sound]:
        if places.setdefault(key_of(name), len(known) + 1) > len(known):
            known.append(name)
    height, width = size
    ids = np.zeros(size, np.int32)
    for x, y, name in sound:
        number = places.get(key_of(name))
        if number is None:
            faults.setting(
                f"seed {x},{y}:{name[:80]}: no such class; {did_you_mean(name[:80], known)}"
            )
        if not (0 <= x < width and 0 <= y < height):
            faults.add(
                f"seed {x},{y}:{name[:80]}: outside the picture, "
                f"x 0 … {width - 1}, y 0 … {height - 1}"
            )
        elif number is not None and ids[y, x] not in (0, number):
            faults.add(f"seed {x},{y}: of {known[ids[y, x] - 1]} and of {known[number - 1]}")
        elif number is not None:
            ids[y, x] = number
    return Shown(ids, tuple(known))


def _is_point(point: object) -> bool:
    if not isinstance(point, tuple | list) or len(point) != 3:
        return False
    x, y, name = point
    return is_whole(x) and is_whole(y) and isinstance(name, str) and bool(name)
