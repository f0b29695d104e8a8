from __future__ import annotations

import dataclasses
import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.errors import ImageFileError
from pixelwise.formats import _pillow
from pixelwise.formats.png_pixels import read_plain_png
from pixelwise.kernels import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="plain PNGs need the compiled kernels")

ROOT = Path(__file__).parents[2]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PLAIN = [(8, 0), (8, 2), (8, 3), (8, 4), (8, 6), (16, 0)]
KEY_BYTES = {0: 2, 2: 6}
FEW = settings(max_examples=150, deadline=None)


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def written(  # an encoder in which everything can be chosen, also what is wrong
    width,
    height,
    bits,
    colour_type,
    rows,
    *,
    ahead=(),
    after=(),
    packed=None,
    cut=1 << 30,
    methods=0,
):
    packed = zlib.compress(rows) if packed is None else packed
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, *divmod(methods, 2), 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *ahead,
            *(chunk(b"IDAT", packed[at : at + cut]) for at in range(0, len(packed), cut)),
            *after,
            chunk(b"IEND"),
        ]
    )


def by_pillow(content, max_megapixels=200):
    """What the general decoder makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pillow, "read_plain_png", lambda *_: None)
        return _pillow.decode_stream(io.BytesIO(content), "a.png", max_megapixels)


def outcome(decode, content):
    try:
        return decode(content)
    except ImageFileError as error:
        return str(error)


def assert_same(content, *, plain):
    """The same picture, field by field, or the same error; `plain` says which way it must go."""
    assert (read_plain_png(io.BytesIO(content), 200) is not None) == plain
    expected = outcome(by_pillow, content)
    found = outcome(lambda c: _pillow.decode_stream(io.BytesIO(c), "a.png", 200), content)
    if isinstance(expected, str):
        assert found == expected
        return found
    for field in dataclasses.fields(expected):
        value, wanted = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(wanted, np.ndarray):
            assert value.dtype == wanted.dtype
            assert value.flags.c_contiguous
            assert value.flags.writeable
            np.testing.assert_array_equal(value, wanted)
        else:
            assert (value, type(value)) == (wanted, type(wanted))
    return found


INERT = [
    chunk(b"gAMA", struct.pack(">I", 45455)),
    chunk(b"cHRM", bytes(32)),
    chunk(b"sRGB", b"\0"),
    chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    chunk(b"tIME", bytes(7)),
    chunk(b"tEXt", b"Software\0pixelwise"),
    chunk(b"tEXt", b"date:create\x002020-01-01"),
]


@st.composite
def plain_files(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits, colour_type = draw(st.sampled_from(PLAIN))
    width = draw(st.sampled_from([1, 2, 3, 7, 8, 9, 31, 64, 65]))
    height = draw(st.sampled_from([1, 2, 5, 16]))
    row_bytes = width * CHANNELS[colour_type] * bits // 8
    rows = rng.integers(0, 256, (height, 1 + row_bytes)) * (rng.random((height, 1)) < 0.6)
    rows = rows.astype(np.uint8)
    rows[:, 0] = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    ahead = draw(st.lists(st.sampled_from(INERT), max_size=3))
    if colour_type == 3:
        entries = draw(st.integers(1, 256))
        ahead.append(chunk(b"PLTE", rng.bytes(3 * entries)))
        alphas = draw(st.lists(st.sampled_from([0, 7, 255]), max_size=min(entries, 5)))
        ahead += [chunk(b"tRNS", bytes(alphas))] if alphas else []
    elif colour_type in KEY_BYTES and draw(st.booleans()):
        ahead.append(chunk(b"tRNS", rng.bytes(KEY_BYTES[colour_type])))
    ahead += draw(st.lists(st.sampled_from(INERT), max_size=1))
    return written(
        width,
        height,
        bits,
        colour_type,
        b"",
        packed=zlib.compress(rows.tobytes(), draw(st.sampled_from([0, 1, 6, 9]))),
        ahead=ahead,
        after=draw(st.lists(st.sampled_from(INERT), max_size=2)),
        cut=draw(st.sampled_from([1, 13, 100, 1 << 30])),
    )


@FEW
@given(plain_files())
def test_plain_files_give_the_same_picture(content):
    assert_same(content, plain=True)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 21)])
def test_files_of_pillow_are_plain(mode, size):
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, size[::-1]).astype(np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
        image = image.convert("L").convert(mode) if mode == "LA" else image.convert(mode)
    buffer = io.BytesIO()
    # Without it, a palette of few colours is packed into less than a byte.
    image.save(buffer, "PNG", **({"bits": 8} if mode == "P" else {}))
    picture = assert_same(buffer.getvalue(), plain=True)
    assert picture.kind == mode
    assert picture.container == "PNG"


GREY = b"\0\1\2\3\4" * 3
PALETTE = chunk(b"PLTE", bytes(range(12)))


def grey(**options):
    return written(4, 3, 8, 0, options.pop("rows", GREY), **options)


def exif(orientation):
    block = Image.Exif()
    block[274] = orientation
    return chunk(b"eXIf", block.tobytes()[6:])


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
OTHERS = {
    "turned": grey(ahead=[exif(6)]),
    "turned, said after the pixels": grey(after=[exif(3)]),
    "EXIF that turns nothing": grey(ahead=[exif(1)]),
    "turned by XMP": grey(ahead=[chunk(b"iTXt", XMP)]),
    "turned by XMP as plain text": grey(
        ahead=[chunk(b"tEXt", b'XML:com.adobe.xmp\0<x tiff:Orientation="6"/>')]
    ),
    "a colour profile": grey(ahead=[chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile"))]),
    "a chunk of a program": grey(ahead=[chunk(b"prVt", b"anything")]),
    "an animation": grey(ahead=[chunk(b"acTL", struct.pack(">II", 1, 0))]),
    "two palettes": written(4, 3, 8, 3, GREY, ahead=[PALETTE, PALETTE]),
    "a palette of RGB": written(1, 3, 8, 2, b"\0\1\2\3" * 3, ahead=[chunk(b"PLTE", b"abcdef")]),
    "a palette with a part of a colour": written(
        4, 3, 8, 3, GREY, ahead=[chunk(b"PLTE", bytes(range(11)))]
    ),
    "transparency before the palette": written(
        4, 3, 8, 3, GREY, ahead=[chunk(b"tRNS", b"\0\7"), PALETTE]
    ),
    "more alphas than colours": written(
        4, 3, 8, 3, GREY, ahead=[PALETTE, chunk(b"tRNS", bytes(9))]
    ),
    "a last alpha of 10": written(4, 3, 8, 3, GREY, ahead=[PALETTE, chunk(b"tRNS", b"\xff\0\n")]),
    "16-bit RGB": written(1, 2, 16, 2, b"\0abcdef" * 2),
    "16-bit RGBA": written(1, 2, 16, 6, b"\0abcdefgh" * 2),
    "half bytes": written(8, 3, 4, 0, GREY),
    "half bytes with a palette": written(4, 3, 4, 3, b"\0\x01\x23" * 3, ahead=[PALETTE]),
    "1 bit": written(8, 3, 1, 0, b"\0\xaa" * 3),
    "more rows than the header says": grey(rows=GREY * 2),
    "far more text than pixels": grey(ahead=[chunk(b"tEXt", b"Comment\0" + bytes(2 << 20))]),
    "far more bytes than pixels": grey() + bytes(2 << 20),
    "a gap behind the pixels": grey(after=[INERT[0], chunk(b"IDAT")]),
    "more text than a large picture may have": written(
        1000,
        1000,
        8,
        0,
        bytes(1001 * 1000),
        ahead=[chunk(b"tEXt", b"Comment\0" + bytes(3 << 19))],
    ),
    "bytes behind the stream": grey(packed=zlib.compress(GREY) + b"ab"),
    "a stream without its checksum": grey(packed=zlib.compress(GREY)[:-4]),
    "an unknown method of compression": grey(methods=2),
    "wrong checksum of the pixels": grey()[:-16] + b"abcd" + grey()[-12:],
    "no end": grey()[:-12],
}


@pytest.mark.parametrize("kind", OTHERS)
def test_others_are_read_as_before(kind):
    picture = assert_same(OTHERS[kind], plain=False)
    assert not isinstance(picture, str)


def test_without_compiled_kernels_nothing_is_plain(monkeypatch):
    monkeypatch.setattr("pixelwise.formats.png_pixels.COMPILED", False)
    assert_same(grey(), plain=False)


def test_what_stands_behind_the_end_is_not_looked_at():
    assert_same(grey() + b"something", plain=True)


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGED = {
    "cut off in the pixels": grey()[:-30],
    "cut off in the header": grey()[:20],
    "wrong checksum of the header": flipped(grey(), 30),
    "unknown filter type": grey(rows=b"\0\1\2\3\4\5\1\2\3\4\0\1\2\3\4"),
    "too few rows": grey(rows=GREY[:10]),
    "a row too short": grey(rows=GREY[:-1]),
    "no pixels": b"\x89PNG\r\n\x1a\n" + grey()[8:33] + chunk(b"IEND"),
    "no palette colours": written(4, 3, 8, 3, GREY, ahead=[chunk(b"PLTE", b"ab")]),
    "a gap in the pixels": grey(
        packed=zlib.compress(GREY)[:9],
        after=[chunk(b"bKGD"), chunk(b"IDAT", zlib.compress(GREY)[9:])],
    ),
    "an unknown method of filtering": grey(methods=1),
    "no width": written(0, 3, 8, 0, b"\0\0\0"),
    "another depth": written(4, 3, 7, 0, GREY),
    "a sound checksum of the header, but a short gamma": grey(ahead=[chunk(b"gAMA", b"ab")]),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_reported_as_before(kind):
    assert_same(DAMAGED[kind], plain=False)


@FEW
@given(plain_files(), st.data())
def test_a_changed_byte_changes_nothing_but_the_file(content, data):
    at = data.draw(st.integers(8, len(content) - 1))
    changed = flipped(content, at) if data.draw(st.booleans()) else content[:at]
    # A chunk that was damaged is never plain; one that was cut off neither.
    assert_same(changed, plain=False)


def test_a_picture_above_the_cap_is_left_to_the_general_decoder():
    assert read_plain_png(io.BytesIO(grey()), 11.9e-6) is None
    assert read_plain_png(io.BytesIO(grey()), 12e-6) is not None
    huge = written(2**32 - 1, 2**32 - 1, 8, 6, GREY)
    assert read_plain_png(io.BytesIO(huge), float("inf")) is None


def test_data_that_inflate_to_more_than_the_picture_take_no_memory():
    bomb = grey(rows=bytes(1 << 27))
    stream = io.BytesIO(bomb)
    tracemalloc.start()
    try:
        assert read_plain_png(stream, 200) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb)
    finally:
        tracemalloc.stop()


def real_files():
    """A few files of each folder of examples, and of the data sets where they are."""
    data = Path(os.environ.get("PIXELWISE_DATA") or ROOT.parent / "shared" / "data")
    folders = [ROOT / "examples", *(sorted(data.iterdir()) if data.is_dir() else [])]
    return [path for folder in folders for path in sorted(folder.rglob("*.png"))[::60][:4]]


@pytest.mark.skipif(not real_files(), reason="no examples: tests run outside a checkout")
def test_real_files_give_the_same_picture():
    plain = 0
    for path in real_files():
        content = path.read_bytes()
        is_plain = read_plain_png(io.BytesIO(content), 200) is not None
        assert_same(content, plain=is_plain)
        plain += is_plain
    assert plain > len(real_files()) / 2
