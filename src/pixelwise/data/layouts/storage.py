"""How mask files hold their classes: found out by looking at some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.colours import Colour, colour_codes, colour_of
from pixelwise.data.layouts.mask_files import MaskFiles, read_values
from pixelwise.data.layouts.tables import numbered_table
from pixelwise.data.targets import TargetKind
from pixelwise.errors import ImageFileError, MaskFileError, MissingExtraError, PixelwiseError
from pixelwise.formats.decoding import Picture, decode
from pixelwise.kernels import count_labels, label_regions

__all__ = ["Look", "Reading", "decide", "look_at"]

_LOOKED_AT = 24
_MOST_COLOURS = 256
_NOWHERE = 65_535
"""Never the id of a class."""
_TIFF_SUFFIXES = {".tif", ".tiff"}


@dataclass(frozen=True)
class Look:
    """What one mask file holds.

    Attributes:
        stored: as numbers under a palette, as greys or plain numbers, or as colours.
        values: the stored numbers; empty for colours.
        colours: the colours; of greys and numbers up to 255 the grey levels.
        pairs: of a palette: number and colour of each used entry.
        objects: how many connected regions the numbers above 0 make.
    """

    stored: Literal["palette", "numbers", "colours"]
    values: frozenset[int]
    colours: frozenset[Colour]
    pairs: frozenset[tuple[int, Colour]]
    objects: int
    wide: bool = False


@dataclass(frozen=True)
class Reading:
    """How the masks are read, and what the ids mean."""

    truth: MaskFiles
    classes: ClassTable
    note: str


def look_at(root: Path, masks: Sequence[str]) -> tuple[Look, ...]:
    """Looks into some masks, evenly spread; those that cannot be read are passed over.

    Raises:
        MissingExtraError: none can be read, as a package for them is not installed.
    """
    step = max(1, len(masks) // _LOOKED_AT)
    looks = []
    missing = None
    for mask in masks[::step][:_LOOKED_AT]:
        try:
            looks.append(_look(root / mask))
        except MissingExtraError as error:
            missing = MissingExtraError(error.what, where=str(root / mask), fix=error.fix)
        except PixelwiseError:
            continue
    if missing is not None and not looks:
        raise missing
    return tuple(looks)


def decide(
    looks: Sequence[Look],
    table: ClassTable | None,
    *,
    kind: TargetKind | None,
    valid: Mapping[str, str],
    name: str,
) -> Reading:
    """The reading that fits the masks looked at.

    Raises:
        MaskFileError: no mask could be read, or they hold too many colours to be classes.
    """
    if not looks:
        raise MaskFileError(
            "none of the masks looked at can be read",
            fix="`pixelwise data check` lists what is wrong with each",
        )
    coloured = [look for look in looks if look.stored == "colours"]
    if coloured and len(frozenset[Colour]().union(*(look.colours for look in coloured))) > (
        _MOST_COLOURS
    ):
        raise MaskFileError(
            "the masks hold too many colours to be classes",
            got=f"{max(len(look.colours) for look in coloured):,} colours in one mask",
            fix="photos, or masks that were smoothed or saved as JPEG? Export the masks again, "
            "or name the right folder with --masks",
        )
    if table is not None:
        truth, note = _with_table(looks, table, kind)
    else:
        truth, table, note = _without_table(looks, kind, name)
    if valid and table.ignore_index is None:
        table = ClassTable(
            table.name, table.classes, 255 if table.ids[-1] < 255 else 65_535, table.source
        )
    return Reading(MaskFiles(truth.reading, truth.values, truth.colours, valid, kind), table, note)


def _with_table(
    looks: Sequence[Look], table: ClassTable, kind: TargetKind | None
) -> tuple[MaskFiles, str]:
    known = {*table.ids, table.ignore_index}
    colours = {info.colour for info in table} | set(table.ignore_colours)
    if any(look.stored == "colours" for look in looks):
        greys = _grey_table(looks)
        own = all(look.colours <= colours for look in looks)
        if greys and set(greys.values()) <= known and not own:
            return MaskFiles("colours", colours=greys), "masks hold ids as greys of three channels"
        return MaskFiles("colours"), "masks hold the colours of the class table"
    palettes = [look for look in looks if look.stored == "palette"]
    coloured = len(palettes) == len(looks) and all(look.colours <= colours for look in looks)
    if coloured and not _own_palette(palettes, table):
        return MaskFiles("colours"), "the palettes of the masks hold the colours of the class table"
    return _numbers_with_table(looks, table, kind)


def _numbers_with_table(
    looks: Sequence[Look], table: ClassTable, kind: TargetKind | None
) -> tuple[MaskFiles, str]:
    known = {*table.ids, table.ignore_index}
    values = frozenset[int]().union(*(look.values for look in looks))
    if values <= {0, 255} and 255 in values and 255 not in known and len(table) == 2:
        return _binary(table), "masks hold 0 and 255, read as the table's two classes"
    if len(table) == 2 and not values <= known and (kind == "instance" or _are_objects(looks)):
        return MaskFiles("objects"), "masks hold numbers of objects, all of the table's last class"
    if -1 in values and table.ignore_index is not None:
        own = {number: number for number in known if number is not None}
        return MaskFiles("ids", {**own, -1: table.ignore_index}), "-1 in the masks is ignored"
    return MaskFiles("ids"), "masks hold ids"


def _own_palette(looks: Sequence[Look], table: ClassTable) -> bool:
    """Whether every number stands for the colour that the table gives to just this id."""
    own = table.palette
    known = {*table.ids, table.ignore_index}
    return all(
        value in known and value < len(own) and tuple(own[value].tolist()) == colour
        for look in looks
        for value, colour in look.pairs
    )


def _without_table(
    looks: Sequence[Look], kind: TargetKind | None, name: str
) -> tuple[MaskFiles, ClassTable, str]:
    if any(look.stored == "colours" for look in looks):
        return _colours_without_table(looks, name)
    values = frozenset[int]().union(*(look.values for look in looks))
    if values <= {0, 255} and 255 in values:
        table = _two_classes(name)
        return _binary(table), table, "masks hold 0 and 255, read as background and foreground"
    if kind == "instance" or _are_objects(looks):
        names = [(0, "background"), (1, "object")]
        table = numbered_table(name, names, None, "numbers of objects in the masks")
        background, thing = table.classes
        table = replace(table, classes=(background, replace(thing, kind="thing")))
        return (
            MaskFiles("objects"),
            table,
            "each number in a mask looks like one object (its pixels hang together)",
        )
    if values <= {0, 1}:
        return MaskFiles("ids"), _two_classes(name), "masks hold 0 and 1"
    return _ids_without_table(values, name)


def _ids_without_table(values: frozenset[int], name: str) -> tuple[MaskFiles, ClassTable, str]:
    classes = sorted(value for value in values if value >= 0)
    if not classes or classes[-1] > _NOWHERE:
        raise MaskFileError(
            "the masks hold values that cannot be class ids",
            got=f"{min(values)} … {max(values)}, expected 0 … {_NOWHERE - 1}",
            fix="numbers of objects? Pass kind='instance'; else export the masks again with ids",
        )
    ignore_index = None
    if classes[-1] == _NOWHERE or (classes[-1] == 255 and len(classes) > 1 and classes[-2] < 254):
        ignore_index = classes.pop()
        classes = classes or [0]
    lost = "" if ignore_index is None else f' ({ignore_index} looks like "ignored")'
    mapping: dict[int, int] = {}
    if min(values) < 0:
        ignore_index = 255 if classes[-1] < 255 else 65_535
        mapping = {
            **{value: value for value in classes},
            **{value: ignore_index for value in values if value < 0},
        }
        lost = " (below 0: ignored)"
    table = numbered_table(
        name,
        [(value, f"class {value}") for value in classes],
        ignore_index,
        "ids found in some of the masks",
    )
    return (
        MaskFiles("ids", mapping),
        table,
        f"no class table: {len(classes)} ids were found in some of the masks{lost}; "
        "name them in a classes.csv or pass --classes",
    )


def _colours_without_table(looks: Sequence[Look], name: str) -> tuple[MaskFiles, ClassTable, str]:
    greys = _grey_table(looks)
    if greys:
        truth = MaskFiles("colours", colours=greys)
        if (255, 255, 255) in greys and set(greys.values()) <= {0, 1}:
            return (
                truth,
                _two_classes(name),
                "masks hold black and white, as background and foreground",
            )
        _, table, note = _ids_without_table(frozenset(greys.values()), name)
        return truth, table, f"ids as greys of three channels; {note}"
    colours = sorted(frozenset[Colour]().union(*(look.colours for look in looks)))
    classes = tuple(
        ClassInfo(place, "colour #{:02x}{:02x}{:02x}".format(*colour), colour)
        for place, colour in enumerate(colours)
    )
    table = ClassTable(name, classes, None, "colours found in some of the masks")
    return (
        MaskFiles("colours"),
        table,
        f"no class table: {len(colours)} colours were found in some of the masks; "
        "`pixelwise data colours` helps to name them",
    )


def _grey_table(looks: Sequence[Look]) -> dict[Colour, int]:
    """Greys to their level, where all colours are grey and more than black and white."""
    colours = frozenset[Colour]().union(*(look.colours for look in looks))
    if any(not red == green == blue for red, green, blue in colours):
        return {}
    if colours <= {(0, 0, 0), (255, 255, 255)}:
        return {(0, 0, 0): 0, (255, 255, 255): 1}
    return {colour: colour[0] for colour in colours}


def _binary(table: ClassTable) -> MaskFiles:
    return MaskFiles("ids", {0: table.ids[0], 255: table.ids[1]})


def _two_classes(name: str) -> ClassTable:
    dark, bright = (0, 0, 0), distinct_colours(1)[0]
    classes = (ClassInfo(0, "background", dark), ClassInfo(1, "foreground", bright))
    return ClassTable(name, classes, None, "masks of two values")


def _are_objects(looks: Sequence[Look]) -> bool:
    """Numbers of objects differ from picture to picture, and each makes about one region."""
    crowded = [look for look in looks if len(look.values - {0}) > 2]
    if not crowded or any(look.stored == "palette" for look in looks):
        return False
    counts = {max(look.values) for look in crowded}
    whole = all(look.objects <= 1.2 * len(look.values - {0}) + 1 for look in crowded)
    wide = any(look.wide for look in looks)
    return whole and (wide or len(counts) > len(crowded) // 2) and (wide or len(crowded) > 2)


def _look(path: Path) -> Look:
    try:
        picture = decode(path)
    except ImageFileError:
        if path.suffix.lower() not in _TIFF_SUFFIXES:
            raise
        return _look_at_numbers(read_values(path), wide=False)
    if picture.palette is not None:
        return _look_at_palette(picture)
    if picture.kind in {"RGB", "RGBA", "LA"}:
        # A grey with its alpha has the grey for all three channels.
        channels = picture.pixels if picture.kind != "LA" else picture.pixels[..., [0, 0, 0]]
        return Look("colours", frozenset(), _colours_of(channels), frozenset(), 0)
    return _look_at_numbers(read_values(path), wide=picture.kind in {"I;16", "I"})


def _look_at_numbers(values: NDArray[Any], *, wide: bool) -> Look:
    found = frozenset(_values_in(values))
    greys = frozenset((value, value, value) for value in found if 0 <= value < 256)
    shifted = values.astype(np.uint16) if values.dtype not in (np.uint8, np.uint16) else values
    regions = label_regions(shifted)
    objects = int((regions.label > 0).sum()) if len(found) > 3 else 0
    return Look("numbers", found, greys, frozenset(), objects, wide)


def _look_at_palette(picture: Picture) -> Look:
    pixels = picture.pixels[..., 0] if picture.pixels.ndim == 3 else picture.pixels
    values = _values_in(pixels)
    table = picture.palette
    pairs = (
        frozenset()
        if table is None
        else frozenset((value, _colour(table[value])) for value in values)
    )
    return Look("palette", frozenset(values), frozenset(colour for _, colour in pairs), pairs, 0)


def _values_in(pixels: NDArray[Any]) -> list[int]:
    """The different values, rising: counted where they are few, which no sort can match."""
    if pixels.dtype not in (np.uint8, np.uint16):
        return list(np.unique(pixels).tolist())
    counts = count_labels(np.ascontiguousarray(pixels), np.iinfo(pixels.dtype).max + 1, threads=1)
    return list(np.flatnonzero(counts).tolist())


def _colours_of(pixels: NDArray[np.uint8]) -> frozenset[Colour]:
    flat = colour_codes(pixels).ravel()
    # Masks are mostly runs of one colour: the starts of runs hold every colour.
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    return frozenset(map(colour_of, np.unique(flat[starts]).tolist()))


def _colour(row: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(value) for value in row[:3])
    return red, green, blue
