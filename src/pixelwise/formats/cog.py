"""Cloud-optimised GeoTIFFs out, from tiles that were written one after the other.

A file is: header, what GDAL's readers are told of the layout, the directories of all levels, then
the tiles, the coarsest level first (OGC 21-026, Cloud Optimized GeoTIFF; GDAL, COG driver; TIFF
6.0; BigTIFF where classic offsets end). Everything is known before the first byte goes out, so the
file is written once, from front to back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from xml.sax.saxutils import escape, quoteattr, unescape

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from pixelwise.extras import extra
from pixelwise.formats.block_file import BlockFile, TileForm, tile_grid
from pixelwise.formats.overviews import average_of_four, mode_of_four

__all__ = [
    "BandFacts",
    "CogFacts",
    "Level",
    "cog_pieces",
    "read_cog_facts",
    "write_level",
    "write_overviews",
]

_METADATA, _NODATA = 42112, 42113
_PLACES = (33550, 33922, 34264, 34735, 34736, 34737)
_SHORT, _LONG, _ASCII, _LONG8, _DOUBLE = 3, 4, 2, 16, 12
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q", _DOUBLE: "d"}
_DEFLATE, _HORIZONTAL = 8, 2
_GREY, _PALETTE = 1, 3
_LARGEST_CLASSIC = 2**32 - 1
# Bytes of tiles, not compressed, that are held together.
_AT_ONCE = 1 << 24
_GHOST = (
    "LAYOUT=IFDS_BEFORE_DATA\n"
    "BLOCK_ORDER=ROW_MAJOR\n"
    "BLOCK_LEADER=SIZE_AS_UINT4\n"
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    "KNOWN_INCOMPATIBLE_EDITION=NO\n "
)

_Entry: TypeAlias = tuple[int, int, bytes]


@dataclass(frozen=True)
class BandFacts:
    """What a band is called, and what its numbers mean: `value = number × scale`."""

    description: str
    scale: float | None = None


@dataclass(frozen=True)
class CogFacts:
    """What a file says beside its pixels.

    Attributes:
        size: `(H, W)`.
        transform: six numbers as those of `RasterFacts`, or None.
        crs: WKT, or None.
        bands: one for each channel.
        palette: uint8 `[K, 3]`, the colour of each value, or None: the band is then grey.
        items: further names and texts.
    """

    size: tuple[int, int]
    transform: tuple[float, float, float, float, float, float] | None
    crs: str | None
    bands: tuple[BandFacts, ...]
    palette: NDArray[np.uint8] | None = None
    items: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """The picture, or one of its overviews: all tiles, row by row."""

    tiles: BlockFile
    form: TileForm
    size: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return tile_grid(self.size, self.form.side)

    def tile(self, row: int, column: int) -> NDArray[Any]:
        """One tile, `[side, side, channels]`.

        Raises:
            OutputError: the file is damaged.
        """
        side = self.form.side
        return self.tiles.block(row * self.grid[1] + column, self.form, (side, side))

    def whole(self) -> NDArray[Any]:
        """The whole picture, `[H, W, channels]`.

        Raises:
            OutputError: the file is damaged.
        """
        rows = [
            np.concatenate([self.tile(row, column) for column in range(self.grid[1])], axis=1)
            for row in range(self.grid[0])
        ]
        whole: NDArray[Any] = np.concatenate(rows)[: self.size[0], : self.size[1]]
        return whole


def write_level(
    path: Path,
    form: TileForm,
    size: tuple[int, int],
    tile: Callable[[int, int], NDArray[Any]],
    pool: Executor,
    seen: Callable[[int, NDArray[Any]], object] = lambda _row, _tile: None,
) -> Level:
    """Makes all tiles of a picture and writes them row by row.

    Args:
        path: of the file that is made.
        form: of the tiles.
        size: `(H, W)` of the picture.
        tile: gives the tile at a row and column; called in the threads of the pool.
        pool: threads that make and compress tiles.
        seen: called with the row and each tile, in order.

    Raises:
        OutputError: the file cannot be written.
    """
    level = Level(BlockFile(path), form, size)
    down, across = level.grid
    together = max(1, _AT_ONCE // form.tile_bytes)
    for row in range(down):
        for first in range(0, across, together):
            columns = range(first, min(first + together, across))
            tiles = list(pool.map(partial(tile, row), columns))
            level.tiles.append(pool.map(form.encode, tiles))
            for made in tiles:
                seen(row, made)
    return level


def write_overviews(base: Level, pool: Executor) -> list[Level]:
    """Halves a picture until one tile holds it; each level comes from the one before.

    Of label maps (tiles without predictor) a pixel is the commonest value of its four, a tie the
    lowest; of others the mean, rounded half up. Pixels of the fill value count only among their
    like.

    Args:
        base: the picture.
        pool: threads that make and compress tiles.

    Returns:
        The picture and its overviews, the finest first.

    Raises:
        OutputError: they cannot be written.
    """
    levels = [base]
    while max(levels[-1].size) > base.form.side:
        below = levels[-1]
        size = (below.size[0] + 1) // 2, (below.size[1] + 1) // 2
        path = base.tiles.path.with_suffix(f".{len(levels)}")
        levels.append(write_level(path, base.form, size, partial(_halved, below), pool))
    return levels


def _halved(below: Level, row: int, column: int) -> NDArray[Any]:
    """The tile that four of the level below make, or fewer at the edge."""
    form, side = below.form, below.form.side
    four = np.full((2 * side, 2 * side, form.channels), form.fill, form.dtype)
    for down in range(2):
        for across in range(2):
            y, x = 2 * row + down, 2 * column + across
            if y < below.grid[0] and x < below.grid[1]:
                place = np.s_[down * side : (down + 1) * side, across * side : (across + 1) * side]
                four[place] = below.tile(y, x)
    reduce = average_of_four if form.predictor else mode_of_four
    return reduce(four, form.fill)


def cog_pieces(levels: Sequence[Level], facts: CogFacts) -> Iterator[bytes]:
    """The bytes of the file, piece by piece.

    Args:
        levels: the picture and its overviews, the finest first.
        facts: all else.

    Raises:
        MissingExtraError: a place is given, and rasterio is not installed.
    """
    place = _place_entries(facts)
    data = sum(level.tiles.length for level in levels)
    # Far more than directories ever take beside their lists of tiles, which take 16 bytes a tile.
    tiles_in_all = sum(len(level.tiles.sizes) for level in levels)
    room = data + 64 * tiles_in_all + (1 << 21) * len(levels)
    big = room > _LARGEST_CLASSIC
    ghost = f"GDAL_STRUCTURAL_METADATA_SIZE={len(_GHOST):06d} bytes\n{_GHOST}".encode()
    header_size = 16 if big else 8
    first = header_size + len(ghost)
    first += first % 2
    starts = [0] * len(levels)
    for final in (False, True):
        directories, position = [], first
        for index, level in enumerate(levels):
            entries = _entries(level, facts, starts[index], index, place, big=big)
            last = index == len(levels) - 1
            content = _directory(entries, position, big=big, last=last)
            directories.append(content)
            position += len(content)
        if not final:
            for index in reversed(range(len(levels))):
                starts[index] = position
                position += levels[index].tiles.length
    yield _header(first, big=big) + ghost + bytes(first - header_size - len(ghost))
    yield from directories
    for level in reversed(levels):
        yield from level.tiles.chunks()


def read_cog_facts(path: Path) -> dict[str, str]:
    """The items that a file of ours carries; `{}` where it carries none that can be read."""
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if header[2:3] == b"\x2b":
                header += file.read(8)
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            # Pillow takes the bytes of a text for Latin-1.
            text = str(directory.get(_METADATA, "")).encode("latin-1").decode(errors="replace")
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return {}
    return dict(_items(text))


def _items(text: str) -> Iterator[tuple[str, str]]:
    from xml.etree.ElementTree import ParseError, fromstring

    # A document type could name other files, or grow without end.
    if "<!" in text:
        return
    try:
        root = fromstring(text.rstrip("\0"))  # noqa: S314 - no document type, so no entities
    except ParseError:
        return
    for item in root.iter("Item"):
        if "sample" not in item.attrib:
            yield item.get("name", ""), unescape(item.text or "")


def _entries(
    level: Level,
    facts: CogFacts,
    start: int,
    number: int,
    place: list[_Entry],
    *,
    big: bool,
) -> list[_Entry]:
    form, size, tiles = level.form, level.size, level.tiles
    bits = 8 * form.dtype.itemsize
    offset_type = _LONG8 if big else _LONG
    palette = facts.palette
    entries = [
        _numbers(254, _LONG, [int(number > 0)]),
        _numbers(256, _LONG, [size[1]]),
        _numbers(257, _LONG, [size[0]]),
        _numbers(258, _SHORT, [bits] * form.channels),
        _numbers(259, _SHORT, [_DEFLATE]),
        _numbers(262, _SHORT, [_GREY if palette is None else _PALETTE]),
        _numbers(277, _SHORT, [form.channels]),
        _numbers(284, _SHORT, [1]),
        _numbers(322, _SHORT, [form.side]),
        _numbers(323, _SHORT, [form.side]),
        _numbers(324, offset_type, tiles.offsets(start)),
        _numbers(325, _LONG, tiles.sizes),
        _numbers(339, _SHORT, [1] * form.channels),
        _text(_NODATA, str(form.fill)),
    ]
    if form.predictor:
        entries.append(_numbers(317, _SHORT, [_HORIZONTAL]))
    if form.channels > 1:
        entries.append(_numbers(338, _SHORT, [0] * (form.channels - 1)))
    if palette is not None:
        colours = np.zeros((3, 2**bits), np.uint16)
        colours[:, : len(palette)] = palette.T.astype(np.uint16) * 257
        entries.append(_numbers(320, _SHORT, colours.ravel()))
    if number == 0:
        entries += [*place, _text(_METADATA, _metadata(facts))]
    return sorted(entries)


def _metadata(facts: CogFacts) -> str:
    lines = [
        f"<Item name={quoteattr(key)}>{_twice(value)}</Item>" for key, value in facts.items.items()
    ]
    for sample, band in enumerate(facts.bands):
        for role, value in (("description", band.description), ("scale", band.scale)):
            if value is not None:
                head = f'name="{role.upper()}" sample="{sample}" role="{role}"'
                lines.append(f"<Item {head}>{_twice(str(value))}</Item>")
    return f"<GDALMetadata>{''.join(lines)}</GDALMetadata>"


def _twice(text: str) -> str:
    # GDAL's TIFF driver escapes values before they go into its XML, and undoes that on reading.
    return escape(escape(text))


def _place_entries(facts: CogFacts) -> list[_Entry]:
    """The GeoTIFF tags, as GDAL writes them for this transform and coordinate system."""
    if facts.transform is None and facts.crs is None:
        return []
    with extra("geo"):
        from rasterio import Affine
        from rasterio.io import MemoryFile
    import warnings

    options = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    if facts.transform is not None:
        options["transform"] = Affine(*facts.transform)
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with memory.open(**options, crs=facts.crs):
            pass
        content = memory.read()
    return [entry for entry in _read_entries(content) if entry[0] in _PLACES]


def _read_entries(content: bytes) -> Iterator[_Entry]:
    """Entries of the first directory of a small classic little-endian TIFF."""
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    sizes = {1: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, 5: 8, _DOUBLE: 8}
    for index in range(count):
        at = place + 2 + 12 * index
        tag, kind, number = struct.unpack_from("<HHI", content, at)
        length = sizes[kind] * number
        begin = at + 8 if length <= 4 else struct.unpack_from("<I", content, at + 8)[0]
        yield tag, kind, content[begin : begin + length]


def _numbers(tag: int, kind: int, values: Iterable[int] | NDArray[Any]) -> _Entry:
    return (
        tag,
        kind,
        np.asarray(values).astype("<" + {"H": "u2", "I": "u4", "Q": "u8"}[_CODES[kind]]).tobytes(),
    )


def _text(tag: int, text: str) -> _Entry:
    return tag, _ASCII, text.encode() + b"\0"


def _header(first: int, *, big: bool) -> bytes:
    if big:
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)
    return struct.pack("<2sHI", b"II", 42, first)


def _directory(entries: list[_Entry], position: int, *, big: bool, last: bool) -> bytes:
    """A directory with its long values behind it, for a place in the file; of an even length."""
    inline, count_size, entry_size, pointer = (8, 8, 20, "Q") if big else (4, 2, 12, "I")
    after = position + count_size + entry_size * len(entries) + inline
    table, values = b"", b""
    for tag, kind, content in entries:
        number = len(content) // (1 if kind == _ASCII else struct.calcsize(_CODES[kind]))
        head = struct.pack(f"<HH{pointer}", tag, kind, number)
        if len(content) <= inline:
            table += head + content.ljust(inline, b"\0")
            continue
        table += head + struct.pack(f"<{pointer}", after + len(values))
        values += content + bytes(len(content) % 2)
    total = after + len(values)
    count = struct.pack("<Q" if big else "<H", len(entries))
    return count + table + struct.pack(f"<{pointer}", 0 if last else total) + values
