from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ArrayError, ImageFileError, UsageError
from pixelwise.formats import IMAGE_SUFFIXES, read_image

# A picture without any symmetry, of soft colours that survive JPEG.
ROWS, COLUMNS = np.mgrid[0:24, 0:40]
PHOTO = np.stack([ROWS * 9, COLUMNS * 6, 255 - ROWS * 4 - COLUMNS * 3], -1).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def encoded(image, container, **options):
    buffer = io.BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


def png(width, depth, colour_type, row, *, palette=b"", transparency=b"", height=1):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"tRNS", transparency) if transparency else b"",
            chunk(b"IDAT", zlib.compress(b"\0" + row)),
            chunk(b"IEND", b""),
        ]
    )


def row_of(source, **options):
    image = read_image(source, **options)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.shape[0] == 1
    return image[0].tolist()


def greys(*values):
    return [[value] * 3 for value in values]


def pillow(mode, *pixels):
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def tiff(mode, *pixels, **options):
    return encoded(pillow(mode, *pixels), "TIFF", **options)


PALETTE = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90])
TABLE = {
    "1 bit": (png(4, 1, 0, b"\xa0"), greys(255, 0, 255, 0)),
    "2 bits": (png(4, 2, 0, b"\x1b"), greys(0, 85, 170, 255)),
    "4 bits": (png(4, 4, 0, b"\x01\x2f"), greys(0, 17, 34, 255)),
    "L": (png(3, 8, 0, b"\x00\x07\xff"), greys(0, 7, 255)),
    "L with key": (png(2, 8, 0, b"\x00\x07", transparency=b"\0\7"), greys(0, 255)),
    "2 bits with key": (png(4, 2, 0, b"\x1b", transparency=b"\0\1"), greys(0, 255, 170, 255)),
    "1 bit with key": (png(4, 1, 0, b"\xa0", transparency=b"\0\0"), greys(255, 255, 255, 255)),
    "LA": (png(3, 8, 4, b"\x64\xff\x64\x80\x64\x00"), greys(100, 177, 255)),
    "P": (png(3, 8, 3, b"\0\1\2", palette=PALETTE), [[10, 20, 30], [40, 50, 60], [70, 80, 90]]),
    "P of 2 bits": (
        png(3, 2, 3, b"\x18", palette=PALETTE),
        [[10, 20, 30], [40, 50, 60], [70, 80, 90]],
    ),
    "P with one transparent entry": (
        png(2, 8, 3, b"\0\1", palette=PALETTE, transparency=b"\0"),
        [[255, 255, 255], [40, 50, 60]],
    ),
    "P with half transparent entries": (
        png(3, 8, 3, b"\0\1\2", palette=PALETTE, transparency=b"\x80\0"),
        [[132, 137, 142], [255, 255, 255], [70, 80, 90]],
    ),
    "RGB": (png(2, 8, 2, bytes(range(6))), [[0, 1, 2], [3, 4, 5]]),
    "RGB with key": (
        png(2, 8, 2, bytes(range(6)), transparency=b"\0\3\0\4\0\5"),
        [[0, 1, 2], [255, 255, 255]],
    ),
    "RGB of 16 bits": (png(1, 16, 2, b"\x80\xff\x01\x02\xff\xff"), [[128, 1, 255]]),
    "RGB of 16 bits with key": (
        png(1, 16, 2, b"\x80\xff\x01\x02\xff\xff", transparency=b"\x80\xff\x01\x02\xff\xff"),
        [[255, 255, 255]],
    ),
    "RGBA": (
        png(3, 8, 6, bytes([9, 8, 7, 255, 100, 0, 255, 128, 1, 2, 3, 0])),
        [[9, 8, 7], [177, 127, 255], [255, 255, 255]],
    ),
    "LA of 16 bits": (png(2, 16, 4, b"\x40\0\xff\xff\x40\0\0\0"), greys(64, 255)),
    "16 bits": (png(4, 16, 0, b"\0\0\0\x81\x80\0\xff\xff"), greys(0, 1, 128, 255)),
    "16 bits with key": (png(2, 16, 0, b"\0\0\0\x81", transparency=b"\0\0"), greys(255, 1)),
    "16 bits TIFF": (tiff("I;16", 0, 257, 65535), greys(0, 1, 255)),
    "16 bits TIFF, big-endian": (tiff("I;16B", 0, 257, 65535), greys(0, 1, 255)),
    "16 bits TIFF, white is 0": (
        tiff("I;16", 0, 257, 65535, tiffinfo={262: 0}),
        greys(255, 254, 0),
    ),
    "RGBa": (pillow("RGBa", (50, 0, 128, 128)), [[177, 127, 255]]),
    "RGBX": (pillow("RGBX", (9, 8, 7, 0)), [[9, 8, 7]]),
    "La": (pillow("La", (50, 128)), greys(177)),
    "CMYK": (
        tiff("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 51, 0, 128)),
        [[255] * 3, [0, 255, 255], [127, 102, 127]],
    ),
    "YCbCr": (pillow("YCbCr", (100, 128, 128), (76, 85, 255)), [[100, 100, 100], [254, 0, 0]]),
    "HSV": (pillow("HSV", (0, 255, 255), (85, 255, 255)), [[255, 0, 0], [0, 255, 0]]),
    "BMP": (encoded(pillow("RGB", (1, 2, 3)), "BMP"), [[1, 2, 3]]),
    "GIF": (encoded(pillow("L", 5, 250), "GIF"), greys(5, 250)),
    "WebP": (encoded(pillow("RGB", (1, 2, 3)), "WEBP", lossless=True), [[1, 2, 3]]),
    "WebP with alpha": (
        encoded(pillow("RGBA", (100, 100, 100, 128)), "WEBP", lossless=True),
        greys(177),
    ),
}


@pytest.mark.parametrize("kind", TABLE)
def test_conversion_table(kind):
    source, expected = TABLE[kind]
    assert row_of(source) == expected


def test_palette_with_alpha():
    image = Image.frombytes("PA", (3, 1), bytes([1, 255, 1, 0, 2, 128]))
    image.putpalette(PALETTE)
    assert row_of(image) == [[40, 50, 60], [255, 255, 255], [162, 167, 172]]


def test_lab_white_black_and_red():
    lab = pillow("LAB", (255, 128, 128), (0, 128, 128), (138, 209, 198))
    found = read_image(encoded(lab, "TIFF"))[0].astype(int)
    assert np.abs(found - [[255, 255, 255], [0, 0, 0], [255, 0, 0]]).max() <= 6


def test_cmyk_jpeg_is_taken_as_inverted():
    flat = Image.new("CMYK", (16, 16), (200, 20, 30, 40))
    expected = flat.convert("RGB").getpixel((0, 0))
    assert np.abs(read_image(encoded(flat, "JPEG", quality=100)) - np.int64(expected)).max() <= 2


def test_white_mixing_is_exact_for_all_values_and_alphas():
    value, alpha = np.mgrid[0:256, 0:256]
    picture = np.stack([value, value, value, alpha], -1).astype(np.uint8)
    expected = np.floor((value * alpha + 255 * (255 - alpha)) / 255 + 0.5)
    assert (read_image(picture) == expected[..., None]).all()
    grey = Image.fromarray(picture[..., [0, 3]])
    assert (read_image(grey) == expected[..., None]).all()


@pytest.mark.parametrize("timeout", [None, 60])
def test_value_range_shows_low_as_black_and_high_as_white(timeout):
    source = tiff("I;16", 0, 1000, 1500, 2000, 9999)
    wanted = greys(0, 0, 128, 255, 255)
    assert row_of(source, value_range=(1000, 2000), timeout=timeout) == wanted
    source = tiff("F", -9.0, 0.0, 0.5, float("nan"), float("inf"))
    wanted = greys(0, 0, 128, 0, 255)
    assert row_of(source, value_range=(0, 1), timeout=timeout) == wanted
    source = tiff("I", -5, 0, 100, 2**30)
    assert row_of(source, value_range=(-5, 95), timeout=timeout) == greys(0, 13, 255, 255)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_numbers_without_a_range_are_refused(mode):
    with pytest.raises(ImageFileError, match=r"values -5 … 100\n  fix: pass value_range"):
        read_image(tiff(mode, -5, 100))


@pytest.mark.parametrize(
    "value_range", [(1, 1), (2, 1), (0, float("nan")), (0, float("inf")), (1,), "ab"]
)
def test_a_bad_value_range_is_named(value_range):
    with pytest.raises(UsageError, match="value_range"):
        read_image(PHOTO, value_range=value_range)


def with_orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("number", TURNS)
def test_all_orientations_give_the_same_picture(container, number):
    # What a camera held that way would have stored.
    stored = Image.fromarray(np.ascontiguousarray(TURNS[number](PHOTO)))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    content = encoded(
        stored, container, exif=with_orientation(number), **options.get(container, {})
    )
    tolerance = 5 if container == "JPEG" else 0
    opened = Image.open(io.BytesIO(content))
    loaded = Image.open(io.BytesIO(content))
    loaded.load()
    for source in (content, opened, loaded, loaded):
        found = read_image(source)
        assert found.shape == PHOTO.shape
        assert np.abs(found.astype(int) - PHOTO).max() <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGBA", "CMYK"])
def test_every_kind_is_turned(mode):
    image = Image.fromarray(PHOTO).convert("L").convert(mode)
    content = encoded(image, "TIFF", exif=with_orientation(6))
    assert (read_image(content) == np.rot90(read_image(image), -1)).all()


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_an_unknown_orientation_turns_nothing(number):
    content = encoded(Image.fromarray(PHOTO), "PNG", exif=with_orientation(number))
    assert (read_image(content) == PHOTO).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\xff", b"II", b"no tags at all"])
def test_broken_exif_is_no_reason_to_refuse_sound_pixels(exif):
    content = encoded(Image.fromarray(PHOTO), "PNG", exif=b"Exif\0\0" + exif)
    assert (read_image(content) == PHOTO).all()


@pytest.mark.parametrize("container", ["GIF", "TIFF", "WEBP", "MPO"])
def test_the_first_frame_is_read(container):
    frames = [Image.new("RGB", (16, 16), grey) for grey in ("black", "white")]
    options = {"lossless": True} if container == "WEBP" else {}
    content = encoded(frames[0], container, save_all=True, append_images=frames[1:], **options)
    assert (read_image(content) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_the_smallest_pictures(shape, container):
    content = encoded(Image.new("RGB", shape[::-1], "white"), container)
    assert (read_image(content) == 255).all()
    assert read_image(content).shape == (*shape, 3)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays(shape, dtype):
    top = np.iinfo(dtype).max
    array = np.random.default_rng(0).integers(0, top + 1, shape).astype(dtype)
    if shape[-1] == 4:
        array[..., 3] = top
    colours = array[..., :3] if array.ndim == 3 else array[..., None]
    expected = np.broadcast_to(np.floor(colours / (top / 255) + 0.5), (5, 7, 3))
    found = read_image(array)
    assert found.dtype == np.uint8
    assert (found == expected).all()
    assert (read_image(array[::-1, ::-1]) == expected[::-1, ::-1]).all()


@pytest.mark.parametrize(
    ("array", "fix"),
    [
        (np.zeros((4, 4), bool), "astype(np.uint8) * 255"),
        (np.zeros((4, 4, 3), np.float32), "array * 255"),
        (np.zeros((4, 4), np.int64), "astype(np.uint8)"),
        (np.zeros((4, 4), "datetime64[s]"), "astype(np.uint8)"),
        (np.zeros((3, 4, 5), np.uint8), "moveaxis"),
        (np.zeros((1, 4, 5, 3), np.uint8), "one by one"),
        (np.zeros((5, 5, 2), np.uint8), "[H, W, 3]"),
        (np.zeros(4, np.uint8), "[H, W, 3]"),
        (np.zeros((0, 4), np.uint8), "one pixel"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(array, fix):
    with pytest.raises(ArrayError) as caught:
        read_image(array)
    assert fix in caught.value.fix


@pytest.mark.parametrize("source", [None, 7, [1, 2], io.BytesIO()])
def test_other_objects_are_refused(source):
    with pytest.raises(UsageError, match="not a picture"):
        read_image(source)


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_cut_off_file_is_refused_by_name(tmp_path, container, part):
    content = encoded(Image.fromarray(NOISE), container)
    path = tmp_path / "photo.bin"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ImageFileError) as caught:
        read_image(path)
    assert caught.value.where == str(path)
    assert caught.value.got
    assert caught.value.fix


def test_a_jpeg_filled_up_with_zeros_is_refused():
    content = encoded(Image.fromarray(np.tile(NOISE, (8, 7, 1))), "JPEG")
    half = len(content) // 2
    with pytest.raises(ImageFileError, match="cut off"):
        read_image(content[:half] + bytes(len(content) - half))
    assert read_image(content + bytes(5000)).shape == (192, 280, 3)


def test_thumbnails_of_raw_files_and_odd_tiffs_are_refused():
    thumbnail = encoded(Image.fromarray(PHOTO), "TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageFileError, match="thumbnail"):
        read_image(thumbnail)
    signed = encoded(Image.fromarray(PHOTO).convert("L"), "TIFF", tiffinfo={339: 2})
    with pytest.raises(ImageFileError, match="signed"):
        read_image(signed)


def test_a_bmp_that_pillow_misreads_is_refused():
    header = b"BM" + struct.pack("<IIIIiiHHIIiiII", 122, 0, 118, 40, 4, 1, 1, 4, 0, 4, 0, 0, 16, 0)
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in range(16))
    with pytest.raises(ImageFileError, match="4 bits"):
        read_image(header + palette + b"\x01\x2f\0\0")


def test_a_pillow_picture_stays_as_it_is():
    image = Image.fromarray(PHOTO)
    image.getexif()[274] = 6
    read_image(image)
    assert image.size == (40, 24)
    assert image.getexif()[274] == 6
    closed = Image.open(io.BytesIO(TABLE["RGB"][0]))
    closed.close()
    with pytest.raises(ImageFileError):
        read_image(closed)


def test_suffixes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)
