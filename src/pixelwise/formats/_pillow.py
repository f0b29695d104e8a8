"""From a stream to checked, upright pixels, in this process.

Pillow decodes, but its front door `Image.open` is not used: that one checks sizes against a global
of the whole process. Here each call has its own cap, tested on the header before any pixel is
decoded.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import ImageFileError, PixelwiseError
from pixelwise.formats.png_pixels import read_plain_png

__all__ = ["Picture", "decode_pillow", "decode_stream"]

FORMATS = "JPEG, PNG, WebP, TIFF, BMP and GIF"

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
}
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}
_FOREIGN_MAGIC = {
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file or SVG drawing",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}
# These formats check sizes against Pillow's global again while they decode.
_GLOBALLY_CAPPED = {"TIFF", "GIF", "WEBP"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 274
_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 254, 258, 262, 277, 339
_PLAIN = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "F"}
_VIA = {"La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


@dataclass(frozen=True)
class Picture:
    """Decoded pixels, upright, with what is needed to give them a meaning.

    Attributes:
        pixels: `[H, W]` or `[H, W, B]`: uint8, uint16, int32 or float32.
        kind: "1" (0 and 1), "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I" or "F".
        stored_as: the colour space in the file where it is another one: "CMYK", "LAB", ….
        container: "JPEG", "PNG", …, or "" for a picture made in memory.
        bits: bits per sample in the file.
        palette: RGBA of each index, uint8 `[256, 4]`, for "P" and "PA".
        colour_key: the one colour that the file calls transparent, in the numbers of `pixels`.
        white_is_zero: the file stores white as 0 (TIFF); `pixels` of 1 to 8 bits are turned round
            already, those of 16 bits are as stored.
    """

    pixels: NDArray[Any]
    kind: str
    stored_as: str = ""
    container: str = ""
    bits: int = 8
    palette: NDArray[np.uint8] | None = None
    colour_key: tuple[int, ...] | None = None
    white_is_zero: bool = False


def decode_stream(stream: IO[bytes], name: str, max_megapixels: float) -> Picture | None:
    """Decodes the first picture of a stream; None where only another process can do it.

    That is so for a picture above Pillow's own limit, in the formats in which Pillow applies it
    while decoding: it is a global that this function neither trusts nor changes.

    Raises:
        ImageFileError: the stream is no picture, damaged or too large; it is named `name`.
    """
    prefix = stream.read(64)
    container = _container(prefix, name)
    stream.seek(0)
    with _damage_reported(name, container):
        plain = read_plain_png(stream, max_megapixels) if container == "PNG" else None
        if plain is not None:
            return Picture(**vars(plain), container=container)
        stream.seek(0)
        size = _size_in_prefix(prefix, container)
        if size is not None:
            _check_size(size, max_megapixels, name)
            if _beyond_global_cap(size, container):
                return None
        module, plugin = _PLUGINS[container]
        with getattr(importlib.import_module(module), plugin)(stream) as image:
            _check_size(image.size, max_megapixels, name)
            if _beyond_global_cap(image.size, container):
                return None
            if container == "BMP":
                _refuse_misread_bmp(image, prefix, name)
            elif container == "JPEG":
                _refuse_endless_jpeg(stream, name)
            return _picture(image, container, name, png_bits=prefix[24])


def decode_pillow(image: Image.Image, name: str, max_megapixels: float) -> Picture:
    """The same for a Pillow picture, whose own pixels and metadata stay as they are.

    Raises:
        ImageFileError: it cannot be loaded, has an unknown mode or is too large.
    """
    container = image.format or ""
    with _damage_reported(name, container or "PIL"):
        _check_size(image.size, max_megapixels, name)
        return _picture(image, container, name, png_bits=_bits_of_tile(image))


def _container(prefix: bytes, name: str) -> str:
    if not prefix:
        raise ImageFileError("the file is empty", where=name, fix="copy or download it again")
    if prefix[:4] == b"RIFF" and prefix[8:12] == b"WEBP":
        return "WEBP"
    for magic, container in _MAGIC.items():
        if prefix.startswith(magic):
            return container
    raise ImageFileError(
        "not a picture that pixelwise reads",
        where=name,
        got=f"{_foreign_kind(prefix)}, expected {FORMATS}",
        fix="export it as PNG or JPEG",
    )


def _foreign_kind(prefix: bytes) -> str:
    for magic, kind in _FOREIGN_MAGIC.items():
        if prefix.lstrip().lower().startswith(magic.lower()):
            return f"this looks like {kind}"
    if prefix[4:8] == b"ftyp":
        return f"this looks like a HEIC, AVIF or video file ({prefix[8:12].decode('latin-1')!r})"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in prefix):
        return "this looks like text"
    return f"a file that starts with the bytes {prefix[:8].hex(' ')}"


def _size_in_prefix(prefix: bytes, container: str) -> tuple[int, int] | None:
    """(width, height) where Pillow would allocate or check before it tells the size."""
    if container == "GIF":
        return int.from_bytes(prefix[6:8], "little"), int.from_bytes(prefix[8:10], "little")
    if container != "WEBP":
        return None
    chunk = prefix[12:16]
    if chunk == b"VP8X":
        width, height = prefix[24:27], prefix[27:30]
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(prefix[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = prefix[26:28], prefix[28:30]
    return int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF


def _check_size(size: tuple[int, int], max_megapixels: float, name: str) -> None:
    width, height = size
    if width * height > max_megapixels * 1e6:
        raise ImageFileError(
            "the picture is larger than allowed",
            where=name,
            got=f"{width} × {height} = {width * height / 1e6:,.1f} megapixels, "
            f"at most {max_megapixels:g}",
            fix="if you trust the file, raise max_megapixels",
        )


def _beyond_global_cap(size: tuple[int, int], container: str) -> bool:
    cap = Image.MAX_IMAGE_PIXELS
    return cap is not None and container in _GLOBALLY_CAPPED and size[0] * size[1] > cap


@contextmanager
def _damage_reported(name: str, container: str) -> Iterator[None]:
    """Turns whatever Pillow raises on a broken file, and that is a long list, into one error."""
    try:
        yield
    except PixelwiseError:
        raise
    except MemoryError as error:
        raise ImageFileError(
            "the picture does not fit into memory", where=name, fix="use a smaller picture"
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        truncated = "truncated" in reason.lower()
        raise ImageFileError(
            "the picture is cut off" if truncated else "the picture cannot be decoded",
            where=name,
            got=f"{container}: {reason}",
            fix="copy or download the file again"
            if truncated
            else "the file is damaged or of a rare kind: export it again as PNG or JPEG",
        ) from error


def _picture(image: Image.Image, container: str, name: str, *, png_bits: int) -> Picture:
    tags = getattr(image, "tag_v2", {}) if container == "TIFF" else {}
    _refuse_rare_tiff(image, tags, name)
    bits = png_bits if container == "PNG" else int(tags.get(_BITS, (8,))[0])
    image.load()
    turn = _TURNS.get(_orientation(image))
    # Read before turning: a turned copy loses the raw palette of some modes.
    palette = _palette(image)
    colour_key = _colour_key(image, bits if container == "PNG" else 8)
    # One of the turns is the number 0.
    upright = image if turn is None else image.transpose(turn)
    stored_as, kind, pixels = _pixels(upright, container, name)
    return Picture(
        pixels=pixels,
        kind=kind,
        stored_as=stored_as,
        container=container,
        bits=bits,
        palette=palette,
        colour_key=colour_key,
        white_is_zero=tags.get(_PHOTOMETRIC) == 0,
    )


def _refuse_rare_tiff(image: Image.Image, tags: Any, name: str) -> None:
    """Refuses what Pillow opens as something else than it is."""
    samples, bands = tags.get(_SAMPLES, 1), len(image.getbands())
    signs = tags.get(_SAMPLE_FORMAT, (1,))
    reason = ""
    if tags.get(_SUBFILE, 0) & 1:
        reason = "its first page is only a thumbnail, as in a camera's raw file"
    elif bands < 3 and samples > bands:
        reason = f"{samples} values per pixel, of which only {bands} would be read"
    elif 2 in signs and image.mode not in {"I", "F"}:
        reason = "signed 8-bit values"
    if reason:
        raise ImageFileError(
            "this TIFF is no plain picture",
            where=name,
            got=reason,
            fix="export it as an 8-bit RGB or grey picture",
        )


def _refuse_misread_bmp(image: Image.Image, prefix: bytes, name: str) -> None:
    """Refuses the one BMP whose half-byte pixels Pillow takes for bytes."""
    bits = prefix[24 if prefix[14] == 12 else 28]
    if image.mode == "L" and bits < 8:
        raise ImageFileError(
            "this BMP is of a rare kind",
            where=name,
            got=f"{bits} bits per pixel with a grey palette",
            fix="export it as PNG",
        )


def _refuse_endless_jpeg(stream: IO[bytes], name: str) -> None:
    """Refuses a JPEG without an end marker after the start of its scan, where `stream` stands.

    A broken download is often filled up with zeros, and libjpeg makes grey rows of them. Inside
    a scan the marker cannot occur by chance: FF is always followed by 00 there (ITU-T T.81, B.1.1).
    """
    # Searched from the end, where it nearly always is.
    if stream.read().rfind(b"\xff\xd9") < 0:
        raise ImageFileError(
            "the picture is cut off",
            where=name,
            got="JPEG: no end marker",
            fix="copy or download the file again",
        )


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Broken EXIF around sound pixels is common; it then tells no orientation.
        return 1
    return value if isinstance(value, int) else 1


def _palette(image: Image.Image) -> NDArray[np.uint8] | None:
    if image.mode not in {"P", "PA"}:
        return None
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    colours = np.asarray(image.getpalette("RGBA"), np.uint8).reshape(-1, 4)[:256]
    table[: len(colours)] = colours
    # Pillow keeps one transparent entry apart, and puts several into the palette or not.
    hidden = image.info.get("transparency")
    if isinstance(hidden, bytes):
        table[: len(hidden), 3] = np.frombuffer(hidden, np.uint8)[:256]
    elif isinstance(hidden, int) and 0 <= hidden < 256:
        table[hidden, 3] = 0
    return table


def _colour_key(image: Image.Image, bits: int) -> tuple[int, ...] | None:
    """The transparent colour of a grey or RGB picture, in the numbers that Pillow's pixels have."""
    key = image.info.get("transparency")
    if key is None or image.mode not in {"1", "L", "RGB", "I;16", "I"}:
        return None
    values = tuple(key) if isinstance(key, tuple | list | bytes) else (key,)
    if len(values) != len(image.getbands()) or not all(isinstance(v, int) for v in values):
        return None
    if image.mode == "1":
        return tuple(int(value > 0) for value in values)
    if image.mode == "L":
        return tuple(value * (255 // (2**bits - 1)) for value in values)
    return tuple(value >> 8 for value in values) if image.mode == "RGB" and bits == 16 else values


def _pixels(image: Image.Image, container: str, name: str) -> tuple[str, str, NDArray[Any]]:
    """What the file holds, what it is now, and the numbers."""
    mode = image.mode
    if mode == "LAB":
        return mode, "RGB", np.array(_lab_to_rgb(image, name))
    if mode in _VIA:
        return mode, _VIA[mode], np.array(image.convert(_VIA[mode]))
    if mode.startswith("I;16"):
        return "", "I;16", np.asarray(image).astype(np.uint16)
    if mode == "I" and container == "PNG":
        # Pillow before 11 opens 16-bit grey PNG so; PNG has no wider samples.
        return "", "I;16", np.asarray(image).astype(np.uint16)
    if mode == "1":
        return "", mode, np.asarray(image).astype(np.uint8)
    if mode in _PLAIN:
        return "", mode, np.array(image)
    raise ImageFileError(
        "the picture has an unknown kind of pixels",
        where=name,
        got=f"Pillow mode {mode!r}",
        fix='convert it first: image.convert("RGB")',
    )


def _lab_to_rgb(image: Image.Image, name: str) -> Image.Image:
    """CIE L*a*b* (D50) to sRGB, by LittleCMS."""
    try:
        cms = importlib.import_module("PIL.ImageCms")
        lab, rgb = cms.createProfile("LAB"), cms.createProfile("sRGB")
        converted: Image.Image | None = cms.profileToProfile(image, lab, rgb, outputMode="RGB")
    except ImportError:
        converted = None
    if converted is None:
        raise ImageFileError(
            "this Pillow cannot convert LAB pictures",
            where=name,
            fix="install Pillow with LittleCMS, or export the picture as RGB",
        )
    return converted


def _bits_of_tile(image: Image.Image) -> int:
    """Bits per sample of a grey PNG that Pillow has opened but not decoded yet; else 8."""
    for tile in getattr(image, "tile", ()):
        mode = tile[3] if isinstance(tile[3], str) else tile[3][0]
        if mode in {"L;2", "L;4"}:
            return int(mode[2:])
    return 8
