from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from pixelwise.errors import ImageFileError, UsageError
from pixelwise.formats import describe_source, read_image

NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def encoded(image, container, **options):
    buffer = io.BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


def png(width, depth, colour_type, row, *, palette=b"", transparency=b"", height=1, packed=False):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"tRNS", transparency) if transparency else b"",
            chunk(b"IDAT", row if packed else zlib.compress(b"\0" + row)),
            chunk(b"IEND", b""),
        ]
    )


def with_orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif


@pytest.mark.parametrize("options", [{"max_megapixels": 0}, {"timeout": float("nan")}])
def test_limits_must_be_positive(options):
    with pytest.raises(UsageError, match="above 0"):
        read_image(SOURCES["1 bit"], **options)


def test_cut_off_files_are_refused_also_where_pillow_is_told_to_pass_them(monkeypatch):
    content = encoded(Image.fromarray(NOISE), "PNG")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert (read_image(content) == NOISE).all()
    with pytest.raises(ImageFileError, match="cut off"):
        read_image(content[:-200])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello, this is a text", "text"),
        (b"%PDF-1.7", "a PDF"),
        (b"<svg xmlns=''/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\x01\x02\x03\x04", "01 02 03 04"),
        (b"P6 1 1 255\nabc", "text"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "text"),
    ],
)
def test_what_is_no_picture_says_what_it_looks_like(content, said):
    with pytest.raises(ImageFileError) as caught:
        read_image(content)
    assert said in str(caught.value)
    assert caught.value.fix


def test_missing_files_folders_and_other_names(tmp_path):
    (tmp_path / "street_01.jpg").touch()
    with pytest.raises(ImageFileError, match=r"did you mean street_01\.jpg\?"):
        read_image(tmp_path / "stret_01.jpg")
    with pytest.raises(ImageFileError, match="not there either"):
        read_image(tmp_path / "none" / "a.jpg")
    with pytest.raises(ImageFileError, match="folder"):
        read_image(str(tmp_path))
    with pytest.raises(ImageFileError, match="download it first"):
        read_image("https://example.org/a.jpg")
    for name in ("a\0b", "x" * 5000, tmp_path / "street_01.jpg" / "b"):
        with pytest.raises(ImageFileError):
            read_image(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageFileError, match="regular file"):
        read_image(tmp_path / "pipe.png")


HEADERS = {
    "PNG": lambda w, h: png(w, 8, 2, b"", height=h),
    "GIF": lambda w, h: b"GIF89a" + struct.pack("<HH", w, h) + b"\0\0\0,\0\0\0\0\1\0\1\0\0\2",
    "WEBP": lambda w, h: (
        b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
        + (w - 1).to_bytes(3, "little")
        + (h - 1).to_bytes(3, "little")
    ),
    "BMP": lambda w, h: b"BM" + struct.pack("<IIIIiiHH24x", 99, 0, 54, 40, w, h, 1, 24),
    "JPEG": lambda w, h: (
        b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", h, w) + b"\3\1\x22\0\2\x11\1\3\x11\1"
        b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0?\0"
    ),
}


@pytest.mark.parametrize("container", HEADERS)
def test_a_huge_header_is_refused_before_anything_is_decoded(container):
    with pytest.raises(ImageFileError) as caught:
        read_image(HEADERS[container](16_000, 16_000))
    assert "16000 × 16000 = 256.0 megapixels, at most 200" in caught.value.got
    assert "max_megapixels" in caught.value.fix


def test_the_cap_counts_also_for_small_caps_and_pillow_pictures():
    with pytest.raises(ImageFileError, match=r"at most 0\.0009"):
        read_image(encoded(Image.fromarray(NOISE), "PNG"), max_megapixels=0.0009)
    with pytest.raises(ImageFileError, match=r"at most 0\.0009"):
        read_image(Image.fromarray(NOISE), max_megapixels=0.0009)


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_the_limit_of_pillow_does_not_matter(container, monkeypatch):
    content = encoded(Image.fromarray(NOISE), container)
    expected = read_image(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_image(content) == expected).all()
    assert Image.MAX_IMAGE_PIXELS == 100


SOURCES = {
    "1 bit": png(4, 1, 0, b"\xa0"),
    "palette with a transparent entry": png(
        2, 8, 3, b"\0\1", palette=bytes(range(6)), transparency=b"\0"
    ),
    "RGB with a transparent colour": png(2, 8, 2, bytes(range(6)), transparency=b"\0\3\0\4\0\5"),
    "16-bit TIFF with white as 0": encoded(
        Image.fromarray(np.array([[0, 257, 65535]], np.uint16)), "TIFF", tiffinfo={262: 0}
    ),
    "turned": encoded(Image.fromarray(NOISE), "PNG", exif=with_orientation(6)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_the_child_process_gives_the_same(kind, tmp_path):
    (tmp_path / "a").write_bytes(SOURCES[kind])
    for source in (SOURCES[kind], tmp_path / "a"):
        assert (read_image(source, timeout=60) == read_image(source)).all()


def test_errors_of_the_child_process_are_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(NOISE), "PNG")[:-200])
    with pytest.raises(ImageFileError) as here:
        read_image(path)
    with pytest.raises(ImageFileError) as there:
        read_image(path, timeout=60)
    assert str(here.value) == str(there.value)


@pytest.fixture(scope="module")
def slow_file():
    # 195 megapixels in 2.6 MB: seconds to decode, and nothing to write, as the deflate blocks of
    # a few equal rows are repeated.
    compressor = zlib.compressobj(1)
    first = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    rows = compressor.compress(bytes(20 * (1 + 3 * 15_000))) + compressor.flush(zlib.Z_FULL_FLUSH)
    return png(15_000, 8, 2, first + rows * 650, height=13_000, packed=True)


@pytest.fixture
def children(monkeypatch):
    """The child processes that a test starts."""
    started = []
    popen = subprocess.Popen

    def remembered(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", remembered)
    return started


def test_a_picture_that_takes_too_long_is_stopped(slow_file, tmp_path, children):
    (tmp_path / "slow.png").write_bytes(slow_file)
    for source in (slow_file, tmp_path / "slow.png"):
        with pytest.raises(ImageFileError, match=r"too long.*\n.*\n.*after 0\.4 s"):
            read_image(source, timeout=0.4)
    assert len(children) == 2


def test_a_child_that_hangs_is_killed(children, monkeypatch):
    monkeypatch.setattr("pixelwise.formats._decode_child._START", "import time; time.sleep(30)")
    with pytest.raises(ImageFileError, match="takes too long"):
        read_image(SOURCES["1 bit"], timeout=0.2)
    assert children[0].returncode == -signal.SIGKILL


def test_a_child_that_dies_is_an_error(slow_file, children):
    def kill():
        while not children:
            time.sleep(0.01)
        children[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ImageFileError, match="died"):
        read_image(slow_file, timeout=60)
    killer.join()


def test_an_interpreter_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ImageFileError, match="cannot be started"):
        read_image(SOURCES["1 bit"], timeout=60)


SMALL = Image.fromarray(NOISE).resize((11, 7))
SEEDS = [
    encoded(SMALL.convert(mode), container, **options)
    for container, mode, options in [
        ("JPEG", "RGB", {"exif": with_orientation(6)}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("PNG", "RGBA", {"exif": with_orientation(3)}),
        ("PNG", "P", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "L", {"exif": with_orientation(5)}),
        ("TIFF", "1", {"compression": "group4"}),
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("GIF", "P", {}),
    ]
]


def mutated(content, random_numbers):
    changed = bytearray(content)
    for _ in range(random_numbers.choice((1, 1, 2, 4))):
        reach = min(len(changed), random_numbers.choice((60, 300, 9999)))
        at = random_numbers.randrange(min(3, reach - 1), reach)
        choice = random_numbers.randrange(4)
        if choice == 0:
            changed[at] = random_numbers.choice(
                (0, 1, 127, 128, 255, random_numbers.randrange(256))
            )
        elif choice == 1:
            changed[at : at + 4] = random_numbers.choice(
                (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff")
            )
        elif choice == 2:
            del changed[at : at + random_numbers.randrange(9)]
        else:
            changed = changed[: max(at, 4)]
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_broken_files_raise_nothing_but_image_file_errors(seed):
    random_numbers = random.Random(seed)
    for content in SEEDS:
        try:
            image = read_image(mutated(content, random_numbers), max_megapixels=1)
        except ImageFileError:
            continue
        assert image.dtype == np.uint8
        assert image.shape[2] == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(content=st.binary(max_size=60), magic=st.sampled_from([s[:12] for s in SEEDS] + [b""]))
@settings(max_examples=200, deadline=None)
def test_noise_raises_nothing_but_image_file_errors(content, magic):
    with pytest.raises(ImageFileError):
        read_image(magic + content)


def test_sources_have_names(tmp_path):
    assert describe_source(b"") == "bytes"
    assert describe_source(NOISE) == "array"
    assert describe_source(Image.new("L", (1, 1))) == "PIL image"
    assert describe_source(tmp_path) == str(tmp_path)
    Image.new("L", (1, 1)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert describe_source(image) == str(tmp_path / "a.png")
