"""Masks in: class ids exactly as they are stored, or an error that says what the file holds."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.colours import Colour, colour_codes
from pixelwise.errors import ArrayError, ImageFileError, MaskFileError, UsageError
from pixelwise.formats.decoding import (
    DEFAULT_MEGAPIXELS,
    FileSource,
    Picture,
    decode,
    describe_source,
)
from pixelwise.formats.png import encode_grey, encode_mask, encode_rgb, read_png_text
from pixelwise.kernels import count_labels

__all__ = [
    "check_ids",
    "encode_grey",
    "encode_mask",
    "encode_rgb",
    "read_mask",
    "read_png_text",
]

_LISTED = 20


def read_mask(
    source: FileSource,
    *,
    colours: Mapping[Colour, int] | None = None,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The class ids of a mask, `[H, W]`: never scaled, never interpolated, upright as its photo.

    =========================  =============================  ================================
    stored as                  without `colours`              with `colours`
    =========================  =============================  ================================
    palette                    the indices, uint8             ids of the palette's colours
    grey of 8, 4 or 2 bits     the values, uint8              ids of the greys (v, v, v)
    1 bit                      0 and 1, uint8                 ids of black and white
    grey of 16 bits            the values, uint16             error
    32-bit integers            uint16, if all fit             error
    RGB, RGBA, grey and alpha  error that lists the colours   ids of the colours; alpha unused
    float, CMYK, LAB, …, JPEG  error                          error
    =========================  =============================  ================================

    Args:
        source: path, file content or Pillow picture.
        colours: RGB to class id, 0 … 65,535; every colour in the mask must be there. The result is
            uint8 where all ids of the table fit, else uint16.
        max_megapixels: larger masks are refused by their header.

    Raises:
        MaskFileError: the file cannot be read, or not as class ids; colours outside the table are
            listed with their pixel counts.
        UsageError: `colours` or `max_megapixels` has a value that it cannot have, or the source is
            no picture at all.
    """
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        raise UsageError(
            "not a mask file",
            got=describe_source(source),
            fix="pass a path, the bytes of a file or a PIL image; an array of ids needs no reading",
        )
    table = None if colours is None else _checked_table(colours)
    name = describe_source(source)
    try:
        picture = decode(source, max_megapixels=max_megapixels)
    except ImageFileError as error:
        raise MaskFileError(
            f"the mask cannot be read: {error.what}",
            where=error.where,
            got=error.got,
            fix=error.fix,
        ) from error
    _refuse_without_ids(picture, name)
    if table is not None:
        return _ids_of_colours(picture, table, name)
    if picture.kind == "P":
        return cast(NDArray[np.uint8], picture.pixels)
    if picture.kind == "PA":
        return np.ascontiguousarray(picture.pixels[..., 0])
    if picture.kind in {"1", "L"}:
        return _stored_greys(picture)
    if picture.kind == "I;16":
        return cast(NDArray[np.uint16], picture.pixels)
    if picture.kind == "I":
        return _narrowed(picture.pixels, name)
    raise _table_missing(picture, name)


def check_ids(
    mask: NDArray[np.integer[Any]],
    ids: Collection[int],
    *,
    ignore_index: int | None,
    where: str,
) -> None:
    """Refuses a mask that holds other values than class ids and the ignored id.

    Args:
        mask: integers of any shape.
        ids: the class ids that may occur.
        ignore_index: one more value that may occur, or None.
        where: the name of the mask in the message.

    Raises:
        MaskFileError: names the values with their counts, the expected ids and the likely fix.
        ArrayError: the mask is not of integers.
    """
    mask = np.asarray(mask)
    if not np.issubdtype(mask.dtype, np.integer):
        raise ArrayError("a mask holds integer class ids", where=where, got=f"dtype {mask.dtype}")
    found = _counted(mask)
    expected = set(ids) | ({ignore_index} if ignore_index is not None else set())
    outside = {value: count for value, count in found.items() if value not in expected}
    if outside:
        ignored = "" if ignore_index is None else f" or {ignore_index} (ignored)"
        raise MaskFileError(
            "the mask holds values that are no class ids",
            where=where,
            got=f"{_listed(outside)}, expected {_ranges(ids)}{ignored}",
            fix=_likely_fix(set(found), set(outside), set(ids), ignore_index),
        )


def _checked_table(colours: Mapping[Colour, int]) -> dict[int, int]:
    """Packed colour (0xBBGGRR) to id; all faults of the table are named at once."""
    table: dict[int, int] = {}
    faults: list[str] = []
    for colour, number in colours.items():
        values = tuple(colour) if isinstance(colour, tuple | list) else ()
        channels_fit = len(values) == 3 and all(_is_integer(v, 255) for v in values)
        if channels_fit and _is_integer(number, 65_535):
            red, green, blue = (int(value) for value in values)
            table[red | green << 8 | blue << 16] = int(number)
        else:
            faults.append(f"{colour!r}: {number!r}")
    if faults or not table:
        raise UsageError(
            "colours maps (red, green, blue), each 0 … 255, to a class id of 0 … 65,535",
            got=", ".join(faults[:_LISTED]) or "an empty table",
        )
    return table


def _is_integer(value: object, highest: int) -> bool:
    return isinstance(value, int | np.integer) and 0 <= int(value) <= highest


def _refuse_without_ids(picture: Picture, name: str) -> None:
    reason = ""
    if picture.container in {"JPEG", "MPO"}:
        reason = "JPEG does not keep values exactly: ids change along every edge"
    elif picture.stored_as:
        reason = f"{picture.stored_as} colours"
    elif picture.kind == "F":
        reason = f"fractional numbers ({picture.pixels.dtype})"
    elif picture.white_is_zero and picture.kind != "1":
        reason = "a TIFF that stores white as 0, so that its values and its greys differ"
    if reason:
        raise MaskFileError(
            "the file cannot hold class ids",
            where=name,
            got=reason,
            fix="export the mask from its source as an indexed or grey PNG",
        )


def _stored_greys(picture: Picture) -> NDArray[np.uint8]:
    if picture.kind == "L" and picture.bits in {2, 4}:
        # Pillow stretches these over 0 … 255.
        return picture.pixels // np.uint8(255 // (2**picture.bits - 1))
    return cast(NDArray[np.uint8], picture.pixels)


def _narrowed(pixels: NDArray[Any], name: str) -> NDArray[np.uint16]:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65_535:
        outside = pixels[(pixels < 0) | (pixels > 65_535)]
        raise MaskFileError(
            "the mask holds values that cannot be class ids",
            where=name,
            got=f"{_listed(_counted(outside))}, expected 0 … 65,535",
            fix="give unlabelled pixels an id such as 255 and export the mask as a 16-bit PNG",
        )
    return pixels.astype(np.uint16)


def _ids_of_colours(
    picture: Picture, table: dict[int, int], name: str
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if picture.kind in {"I;16", "I"}:
        raise MaskFileError(
            "the mask holds numbers, not colours",
            where=name,
            got=f"grey of {picture.bits if picture.kind == 'I;16' else 32} bits",
            fix="read it without a colour table",
        )
    codes = _codes(picture)
    flat = codes.ravel()
    # A mask is made of runs of one colour, some fifty pixels long: each is looked up once.
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    runs = flat[starts]
    known = np.array(sorted(table), np.uint32)
    ids = np.array([table[code] for code in known.tolist()])
    rows = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    unknown = known[rows] != runs
    if unknown.any():
        raise _unknown_colours(np.repeat(runs[unknown], lengths[unknown]), len(table), name)
    # uint16 also where only ids that this mask lacks need it: one type for one table.
    kind = np.min_scalar_type(max(table.values()))
    found: NDArray[np.uint8] | NDArray[np.uint16] = np.repeat(ids.astype(kind)[rows], lengths)
    return found.reshape(codes.shape)


def _codes(picture: Picture) -> NDArray[np.uint32]:
    """Each pixel's colour as 0xBBGGRR, `[H, W]`."""
    pixels = picture.pixels
    if picture.kind in {"1", "L", "LA"}:
        greys = pixels[..., 0] if pixels.ndim == 3 else pixels
        factor = 0xFFFFFF if picture.kind == "1" else 0x010101
        return greys.astype(np.uint32) * np.uint32(factor)
    if picture.palette is not None:
        indices = pixels[..., 0] if pixels.ndim == 3 else pixels
        codes: NDArray[np.uint32] = colour_codes(picture.palette)[indices]
        return codes
    return colour_codes(pixels)


def _table_missing(picture: Picture, name: str) -> MaskFileError:
    codes, counts = np.unique(_codes(picture), return_counts=True)
    greys = [int(code) & 255 for code in codes]
    if all(int(code) == grey * 0x010101 for code, grey in zip(codes, greys, strict=True)):
        fix = (
            "its three channels are equal, so the ids may stand in them: "
            f"pass colours={{{', '.join(f'({g}, {g}, {g}): {g}' for g in greys[:3])}, …}}"
        )
    else:
        fix = "pass the colour table, colours={(red, green, blue): id, …}"
    return MaskFileError(
        "the mask holds colours, and what they mean is not said",
        where=name,
        got=_listed_colours(codes, counts),
        fix=fix,
    )


def _unknown_colours(codes: NDArray[np.uint32], known: int, name: str) -> MaskFileError:
    values, counts = np.unique(codes, return_counts=True)
    smeared = len(values) > 4 * max(known, 8)
    return MaskFileError(
        "the mask holds colours outside the table",
        where=name,
        got=_listed_colours(values, counts),
        fix="so many colours come from smoothed edges or lossy compression: export the mask again "
        "without them"
        if smeared
        else "add them to the colour table, or correct the mask",
    )


def _listed_colours(codes: NDArray[np.uint32], counts: NDArray[np.integer[Any]]) -> str:
    order = np.argsort(-counts, kind="stable")
    parts = [
        f"({codes[i] & 255}, {codes[i] >> 8 & 255}, {codes[i] >> 16}) × {counts[i]:,}"
        for i in order[:_LISTED]
    ]
    more = f" and {len(codes) - _LISTED:,} more" if len(codes) > _LISTED else ""
    return f"{len(codes):,} colour{'s' * (len(codes) != 1)}: {', '.join(parts)}{more}"


def _counted(mask: NDArray[np.integer[Any]]) -> dict[int, int]:
    if mask.dtype in (np.uint8, np.uint16) and mask.size:
        labels = cast("NDArray[np.uint8] | NDArray[np.uint16]", mask.reshape(1, -1))
        counts = count_labels(labels, np.iinfo(mask.dtype).max + 1, threads=1)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, counts = np.unique(mask, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _listed(found: Mapping[int, int]) -> str:
    order = sorted(found, key=lambda value: (-found[value], value))
    parts = [f"{value} × {found[value]:,}" for value in order[:_LISTED]]
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    return f"{len(found):,} value{'s' * (len(found) != 1)}: {', '.join(parts)}{more}"


def _ranges(ids: Collection[int]) -> str:
    """The ids as ranges, such as 0 … 10, 12."""
    parts: list[list[int]] = []
    for number in sorted(set(ids)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a} … {b}" for a, b in parts) or "no id at all"


def _likely_fix(found: set[int], outside: set[int], ids: set[int], ignore_index: int | None) -> str:
    if found <= {0, 255} and {0, 1} <= ids:
        return (
            "a mask of 0 and 255, not of ids: "
            "read it with colours={(0, 0, 0): 0, (255, 255, 255): 1}"
        )
    values = found - {ignore_index}
    if outside <= {255} or outside <= {65_535}:
        number = max(outside)
        return f"{number} often marks unlabelled pixels: if it does here, set ignore_index={number}"
    if values - {0} <= {number + 1 for number in ids} and len(outside) == 1:
        shifted = "subtract 1 from the mask, or give the class table the ids 1 and up"
        if 0 not in values:
            return f"the ids look one too high: {shifted}"
        number = max(outside)
        return (
            f"if {number} marks unlabelled pixels, set ignore_index={number}; if 0 does and the "
            f"ids are one too high, {shifted}"
        )
    return _fix_of_greys(values, ids)


def _fix_of_greys(values: set[int], ids: set[int]) -> str:
    if values <= {_voc_grey(number) for number in {*ids, 255}}:
        return (
            "a palette mask was turned to grey (0, 38, 75, … for the ids 0, 1, 2, …): use the "
            "original indexed PNG, and read it with read_mask"
        )
    step = _step(values, ids)
    if step:
        return (
            f"the ids look stretched to greys, {step:g} apart, as by a program that shows masks: "
            f"export the mask again unscaled, or divide it by {step:g}"
        )
    return "map these values to class ids, add them to the class table, or set ignore_index"


def _step(values: set[int], ids: set[int]) -> float:
    """How far apart evenly stretched ids lie; 0 where the values are not such."""
    divisor = math.gcd(*values) if len(values) > 1 else 0
    if divisor > 1 and {value // divisor for value in values} <= ids:
        return float(divisor)
    step = 255 / (max(len(ids), 2) - 1)
    near = {round(value / step) for value in values}
    stretched = all(abs(value - round(value / step) * step) <= 1 for value in values)
    return step if step > 4 and len(values) > 1 and stretched and near <= ids else 0.0


def _voc_grey(number: int) -> int:
    """Luma (ITU-R BT.601) of a class colour of the PASCAL VOC palette.

    The palette deals the bits of the id to red, green and blue in turn, highest bits first
    (Everingham et al., The PASCAL VOC 2012 Development Kit, function VOClabelcolormap).
    """
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            bit = number >> (3 * place + channel) & 1
            channels[channel] |= bit << (7 - place)
    red, green, blue = channels
    return (19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16
