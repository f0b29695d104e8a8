"""The pixels of a plain PNG, inflated in one piece, which is faster than row by row.

Plain is what nearly all masks and photos are: whole bytes, not interlaced, nothing that turns or
animates the picture, nothing damaged (W3C, Portable Network Graphics, second edition, 2003). Of
anything else this module says no more than that it is not plain: the general decoder reads it, or
finds the words for what is wrong.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.kernels import COMPILED, undo_png_filters

__all__ = ["PlainPng", "read_plain_png"]

_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_HEADER_END = 33
_PLAIN = {
    (8, 0): ("L", 1),
    (8, 2): ("RGB", 3),
    (8, 3): ("P", 1),
    (8, 4): ("LA", 2),
    (8, 6): ("RGBA", 4),
    (16, 0): ("I;16", 2),
}
"""Bits per sample and colour type (section 11.2.2): kind of pixels, and bytes per pixel."""

_COLOURS = {b"PLTE", b"tRNS"}
_KEY_BYTES = {"L": 2, "RGB": 6, "I;16": 2}
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}
_WITHOUT_EFFECT = {b"bKGD", b"hIST", b"sBIT", b"tIME"}
_KEYWORDS = {
    b"Author",
    b"Comment",
    b"Copyright",
    b"Creation Time",
    b"Description",
    b"Disclaimer",
    b"Software",
    b"Source",
    b"Title",
    b"Warning",
    b"date:create",
    b"date:modify",
    b"pixelwise",
}
"""Texts under other keywords may hold EXIF or XMP, and so an orientation."""

_ROOM = 1 << 20
"""For the chunks around the pixels, in bytes."""

_Chunk = tuple[bytes, memoryview]


@dataclass(frozen=True)
class PlainPng:
    """What a plain PNG holds; the fields are those of `Picture`.

    Attributes:
        pixels: `[H, W]` or `[H, W, B]`, uint8, or uint16 for "I;16".
        kind: "L", "LA", "P", "RGB", "RGBA" or "I;16".
        bits: bits per sample.
        palette: RGBA of each index, uint8 `[256, 4]`, for "P".
        colour_key: the transparent colour of "L", "RGB" or "I;16".
    """

    pixels: NDArray[Any]
    kind: str
    bits: int
    palette: NDArray[np.uint8] | None
    colour_key: tuple[int, ...] | None


class _Header(NamedTuple):
    kind: str
    bits: int
    height: int
    pixel_bytes: int
    filtered_bytes: int


def read_plain_png(stream: IO[bytes], max_megapixels: float) -> PlainPng | None:
    """Reads a PNG that is plain, from its start; None where it is not, is damaged or too large.

    Memory is bounded by the size in the header, which is tested first: a file that is larger than
    its pixels can need is not read, and no more is inflated than they take.
    """
    header = _header(stream.read(_HEADER_END), max_megapixels)
    if header is None:
        return None
    chunks = _chunks(stream, header.filtered_bytes + header.filtered_bytes // 256 + _ROOM)
    first, last = _span_of_data(chunks)
    colours = [chunk for chunk in chunks[1:first] if chunk[0] in _COLOURS]
    others = [chunk for chunk in chunks[1:first] if chunk[0] not in _COLOURS]
    kind = header.kind
    if not first or not _colours_fit(colours, kind) or not _are_inert(others + chunks[last:-1]):
        return None
    rows = _rows([data for _, data in chunks[first:last]], header)
    if rows is None:
        return None
    found = dict(colours)
    key = None if kind == "P" else found.get(b"tRNS")
    return PlainPng(
        pixels=_pixels(rows, header),
        kind=kind,
        bits=header.bits,
        palette=_palette(found) if kind == "P" else None,
        colour_key=None if key is None else struct.unpack(f">{len(key) // 2}H", key),
    )


def _header(start: bytes, max_megapixels: float) -> _Header | None:
    """The header of a picture that may be plain and is not too large."""
    # Without the compiled kernel the general decoder is the faster one.
    if not COMPILED or len(start) < _HEADER_END or not start.startswith(_START):
        return None
    width, height, bits, colour_type, *methods = struct.unpack_from(">IIBBBBB", start, len(_START))
    if (bits, colour_type) not in _PLAIN or any(methods):
        return None
    if not 0 < width * height <= max_megapixels * 1e6:
        return None
    kind, pixel_bytes = _PLAIN[bits, colour_type]
    return _Header(kind, bits, height, pixel_bytes, height * (1 + width * pixel_bytes))


def _chunks(stream: IO[bytes], most_bytes: int) -> list[_Chunk]:
    """Type and data of each chunk up to IEND; none where one is damaged or IEND is missing."""
    size = stream.seek(0, os.SEEK_END)
    if size > most_bytes:
        return []
    stream.seek(0)
    content = memoryview(stream.read(size))
    found: list[_Chunk] = []
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        checksum = content[end : end + 4]
        if len(checksum) < 4 or zlib.crc32(content[at + 4 : end]) != int.from_bytes(checksum):
            return []
        found.append((bytes(content[at + 4 : at + 8]), content[at + 8 : end]))
        if found[-1][0] == b"IEND":
            return found
        at = end + 4
    return []


def _span_of_data(chunks: Sequence[_Chunk]) -> tuple[int, int]:
    """The first IDAT and the first chunk after the last; (0, 0) where there is none or a gap."""
    places = [place for place, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    if not places or places[-1] - places[0] >= len(places):
        return 0, 0
    return places[0], places[-1] + 1


def _are_inert(chunks: Sequence[_Chunk]) -> bool:
    """Do these chunks say nothing about pixels, palette, transparency, turning or animation?"""
    return sum(len(data) for _, data in chunks) <= _ROOM and all(
        kind in _WITHOUT_EFFECT
        or _LENGTHS.get(kind) == len(data)
        or (kind == b"tEXt" and bytes(data[:80]).split(b"\0")[0] in _KEYWORDS)
        for kind, data in chunks
    )


def _colours_fit(colours: Sequence[_Chunk], kind: str) -> bool:
    """Are palette and transparency there, or not, in the order and of the lengths they must be?"""
    kinds, lengths = [chunk for chunk, _ in colours], [len(data) for _, data in colours]
    if kind == "P":
        if kinds not in ([b"PLTE"], [b"PLTE", b"tRNS"]):
            return False
        entries, rest = divmod(lengths[0], 3)
        # Pillow passes over a last alpha of 10, a line feed: it stays with what it makes of that.
        alphas_fit = all(1 <= len(a) <= entries and a[-1] != 10 for _, a in colours[1:])
        return 1 <= entries <= 256 and rest == 0 and alphas_fit
    return not kinds or (kinds == [b"tRNS"] and lengths == [_KEY_BYTES.get(kind)])


def _rows(data: Sequence[memoryview], header: _Header) -> NDArray[np.uint8] | None:
    """The inflated rows, `[H, n]`; None where they are damaged, too few or too many."""
    inflater = zlib.decompressobj()
    # One byte more than there may be: enough to see that there is more, however much it is.
    most = header.filtered_bytes + 1
    try:
        filtered = inflater.decompress(data[0] if len(data) == 1 else b"".join(data), most)
        if len(filtered) != most - 1 or not inflater.eof or inflater.unused_data:
            return None
        table = np.frombuffer(filtered, np.uint8).reshape(header.height, -1)
        return undo_png_filters(table, pixel_bytes=header.pixel_bytes)
    except (zlib.error, ArrayError, MemoryError, OverflowError):
        # The general decoder needs less memory.
        return None


def _pixels(rows: NDArray[np.uint8], header: _Header) -> NDArray[Any]:
    if header.kind == "I;16":
        return rows.view(">u2").astype(np.uint16)
    samples = header.pixel_bytes
    return rows if samples == 1 else rows.reshape(len(rows), -1, samples)


def _palette(colours: Mapping[bytes, memoryview]) -> NDArray[np.uint8]:
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    entries = np.frombuffer(colours[b"PLTE"], np.uint8).reshape(-1, 3)
    table[: len(entries), :3] = entries
    hidden = np.frombuffer(colours.get(b"tRNS", b""), np.uint8)
    table[: len(hidden), 3] = hidden
    return table
