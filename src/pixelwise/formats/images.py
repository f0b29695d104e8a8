"""Pictures in: one loader, one conversion table, always RGB uint8 `[H, W, 3]`."""

from __future__ import annotations

import math
import os
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import ArrayError, ImageFileError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS, Picture, decode, describe_source

__all__ = ["IMAGE_SUFFIXES", "ImageSource", "describe_source", "read_image"]

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {
        ".bmp",
        ".dib",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }
)


def read_image(
    source: ImageSource,
    *,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
    timeout: float | None = None,
    value_range: tuple[float, float] | None = None,
    name: str = "",
) -> NDArray[np.uint8]:
    """Any picture as RGB uint8 `[H, W, 3]`, contiguous, upright, always by the same rules.

    ===================  ========================================================================
    stored as            becomes
    ===================  ========================================================================
    1-bit, L (8-bit)     the grey value three times; 1 is 255
    LA, RGBA, PA         composited on white: round((v·a + 255·(255 − a)) / 255)
    P (palette)          the palette's colours; transparent entries composited on white
    RGB                  itself; of 16 bits per channel the upper 8
    CMYK                 (255 − C)(255 − K) / 255 and so on; JPEG is taken as inverted (Adobe)
    YCbCr, HSV           Pillow's conversion
    LAB                  D50 to sRGB by LittleCMS
    16-bit grey          `value_range` to 0 … 255; without it the full range: round(v·255 / 65535)
    32-bit int, float    `value_range` to 0 … 255; without it an error
    ===================  ========================================================================

    A colour key (tRNS of a grey or RGB PNG) counts as transparent. EXIF orientation is applied
    once, of Pillow pictures too. Colour profiles are not applied. Of an animation or a file of
    several pages the first is read. Every file is decoded whole.

    Args:
        source: path, file content, Pillow picture, or array: uint8 or uint16, `[H, W]`,
            `[H, W, 1]`, `[H, W, 3]` RGB or `[H, W, 4]` RGBA. An array that is already the answer
            is returned itself, not copied.
        max_megapixels: larger pictures are refused by their header, before anything is decoded.
        timeout: seconds; paths and bytes are then decoded in a child process that is killed at
            the limit. For untrusted files. Starting the child takes some 0.2 s of it.
        value_range: (low, high) in the picture's own numbers, shown as 0 and 255, for grey of 16
            bits and more; what lies outside is clipped, NaN is 0.
        name: what messages call a source that is no path, such as the address of its bytes.

    Raises:
        ImageFileError: missing, unreadable, foreign, damaged, cut off, too large or too slow.
        ArrayError: an array of another type or shape, or without pixels.
        UsageError: an option has a value that it cannot have, or the source is no picture at all.
    """
    if value_range is not None:
        _check_range(value_range)
    if isinstance(source, np.ndarray):
        return _to_rgb(_picture_of_array(source), name or "array", value_range)
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        raise UsageError(
            "not a picture",
            got=describe_source(source),
            fix="pass a path, the bytes of a file, a PIL image or a NumPy array [H, W, 3]",
        )
    picture = decode(cast(Any, source), max_megapixels=max_megapixels, timeout=timeout, name=name)
    return _to_rgb(picture, name or describe_source(source), value_range)


def _check_range(value_range: tuple[float, float]) -> None:
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            "value_range must be two finite numbers (low, high), low below high",
            got=f"value_range={value_range!r}",
        )


def _picture_of_array(array: NDArray[Any]) -> Picture:
    fix = _fix_of_type(array) or _fix_of_shape(array)
    if fix:
        raise ArrayError(
            "not a picture array",
            got=f"{array.dtype} {list(array.shape)}, expected uint8 or uint16 "
            "[H, W], [H, W, 1], [H, W, 3] or [H, W, 4]",
            fix=fix,
        )
    bands = 1 if array.ndim == 2 else array.shape[2]
    if bands == 1:
        array = array.reshape(array.shape[:2])
    if array.dtype == np.uint16:
        return Picture(pixels=array, kind="I;16", bits=16)
    return Picture(pixels=array, kind={1: "L", 3: "RGB", 4: "RGBA"}[bands])


def _fix_of_type(array: NDArray[Any]) -> str:
    if array.dtype in (np.uint8, np.uint16):
        return ""
    if array.dtype == np.bool_:
        return "array.astype(np.uint8) * 255"
    if np.issubdtype(array.dtype, np.floating):
        return "for values of 0 … 1: (array * 255).round().astype(np.uint8)"
    return "array.astype(np.uint8), if its values are 0 … 255"


def _fix_of_shape(array: NDArray[Any]) -> str:
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 3, 4}):
        return "" if array.size else "pass at least one pixel"
    if array.ndim == 3 and array.shape[0] in {1, 3, 4}:
        return "put the channels last: numpy.moveaxis(array, 0, -1)"
    if array.ndim == 4:
        return "pass the pictures of a batch one by one"
    return "pass [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA"


def _to_rgb(
    picture: Picture, name: str, value_range: tuple[float, float] | None
) -> NDArray[np.uint8]:
    pixels, kind = picture.pixels, picture.kind
    if kind in {"I;16", "I", "F"}:
        if kind != "I;16" and value_range is None:
            raise _range_missing(pixels, name)
        pixels = _to_bytes(picture, value_range)
    elif kind == "1":
        pixels = pixels * np.uint8(255)
    elif kind in {"P", "PA"} and picture.palette is not None:
        pixels = _palette_colours(pixels, picture.palette)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        # Pillow's paste rounds as _on_white does, eight times faster.
        flat = Image.new("RGB", (pixels.shape[1], pixels.shape[0]), "white")
        layer = Image.fromarray(pixels)
        flat.paste(layer, mask=layer)
        pixels = np.array(flat)
    elif pixels.ndim == 3 and pixels.shape[2] == 2:
        pixels = _on_white(pixels[..., :1], pixels[..., 1])
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if picture.colour_key is not None:
        pixels = _without_key(pixels, picture)
    return np.ascontiguousarray(pixels)


def _palette_colours(pixels: NDArray[Any], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = _on_white(palette[:, :3], palette[:, 3])
    if pixels.ndim == 2:
        colours: NDArray[np.uint8] = table[pixels]
        return colours
    return _on_white(table[pixels[..., 0]], pixels[..., 1])


def _on_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = alpha[..., None].astype(np.uint16)
    mixed = colours * weight + (255 - weight) * 255
    return ((mixed + 127) // 255).astype(np.uint8)


def _without_key(pixels: NDArray[np.uint8], picture: Picture) -> NDArray[np.uint8]:
    key = np.array(picture.colour_key)
    hidden = picture.pixels == key if picture.pixels.ndim == 2 else (picture.pixels == key).all(-1)
    return np.where(hidden[..., None], np.uint8(255), pixels)


def _to_bytes(picture: Picture, value_range: tuple[float, float] | None) -> NDArray[np.uint8]:
    if picture.kind != "I;16":
        low, high = value_range or (0.0, 1.0)
        return _scaled(picture.pixels, low, high)
    bits = picture.bits if picture.container == "TIFF" else 16
    low, high = value_range or (0.0, 2.0**bits - 1)
    values = np.arange(65536)
    if picture.white_is_zero and value_range is None:
        values = (2**bits - 1) - values
    pixels: NDArray[np.uint8] = _scaled(values, low, high)[picture.pixels]
    return pixels


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = np.nan_to_num((values.astype(np.float64) - low) * (255 / (high - low)))
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)


def _range_missing(pixels: NDArray[Any], name: str) -> ImageFileError:
    finite = pixels[np.isfinite(pixels)]
    found = f"{finite.min():g} … {finite.max():g}" if finite.size else "no finite value"
    return ImageFileError(
        "how the values of this picture become brightness is not said",
        where=name,
        got=f"{pixels.dtype}, values {found}",
        fix="pass value_range=(low, high): the values to show as black and white",
    )
