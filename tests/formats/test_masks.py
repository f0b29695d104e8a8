from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.errors import ArrayError, MaskFileError, UsageError
from pixelwise.formats import check_ids, encode_mask, encode_rgb, read_mask

IDS = np.random.default_rng(0).integers(0, 6, (11, 17)).astype(np.uint8)
COLOURS = np.array(
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [255, 255, 255]], np.uint8
)
TABLE = {tuple(colour): number for number, colour in enumerate(COLOURS.tolist())}


def encoded(image, container="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


def grey_png(bits, row, width):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(b"\0" + row)),
            chunk(b"IEND", b""),
        ]
    )


def palette_image(ids, colours=COLOURS):
    image = Image.fromarray(ids)
    image.putpalette(colours.tobytes())
    return image


def refused(source, **options):
    with pytest.raises(MaskFileError) as caught:
        read_mask(source, **options)
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"bits": 4}, {"transparency": 0}, {"optimize": True}])
def test_palette_masks_give_their_indices(options):
    assert (read_mask(encoded(palette_image(IDS), **options)) == IDS).all()


def test_the_usual_trap_of_palette_masks_is_none_here():
    image = palette_image(np.array([[0, 1, 2]], np.uint8))
    assert np.asarray(image.convert("L")).tolist() == [[0, 38, 75]]
    assert read_mask(encoded(image)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("container", ["PNG", "TIFF", "BMP", "GIF"])
def test_palettes_in_every_container(container):
    assert (read_mask(encoded(palette_image(IDS), container)) == IDS).all()


@pytest.mark.parametrize(
    ("bits", "row", "expected"),
    [(1, b"\xa0", [1, 0, 1, 0]), (2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x2f", [0, 1, 2, 15])],
)
def test_grey_of_few_bits_is_not_stretched(bits, row, expected):
    content = grey_png(bits, row, 4)
    assert read_mask(content).tolist() == [expected]
    assert read_mask(Image.open(io.BytesIO(content))).tolist() == [expected]


def test_masks_keep_their_width():
    wide = np.array([[0, 255, 256, 65535]], np.uint16)
    for container in ("PNG", "TIFF"):
        found = read_mask(encoded(Image.fromarray(wide), container))
        assert found.dtype == np.uint16
        assert (found == wide).all()
    found = read_mask(encoded(Image.fromarray(wide.astype(np.int32)), "TIFF"))
    assert found.dtype == np.uint16
    assert (found == wide).all()
    assert read_mask(encoded(Image.fromarray(IDS))).dtype == np.uint8


@pytest.mark.parametrize("value", [-1, 65_536])
def test_numbers_that_no_id_can_be_are_listed(value):
    said = refused(encoded(Image.fromarray(np.array([[0, value, value]], np.int32)), "TIFF"))
    assert f"1 value: {value} × 2" in said


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_without_a_table_are_listed(mode):
    said = refused(encoded(palette_image(IDS).convert("RGB").convert(mode)))
    if mode != "LA":
        counts = np.bincount(IDS.ravel())
        assert all(
            f"{tuple(c)} × {n}" in said for c, n in zip(COLOURS.tolist(), counts, strict=True)
        )
    assert "6 colours" in said
    assert "colours={" in said


def test_only_the_twenty_most_frequent_colours_are_listed():
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    noise[:3] = 7
    said = refused(encode_rgb(noise))
    assert "55 colours: (7, 7, 7) × 27," in said
    assert "and 35 more" in said


def test_ids_repeated_in_three_channels_are_recognised():
    assert "three channels are equal" in refused(encode_rgb(np.repeat(IDS[..., None], 3, 2)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_a_table_turns_colours_to_ids(mode, container):
    image = palette_image(IDS)
    source = encoded(image if mode == "P" else image.convert(mode), container)
    assert (read_mask(source, colours=TABLE) == IDS).all()


def test_the_order_of_the_palette_means_nothing_with_a_table():
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = palette_image(np.argsort(order).astype(np.uint8)[IDS], COLOURS[order])
    assert (read_mask(encoded(shuffled), colours=TABLE) == IDS).all()


def test_unused_palette_entries_may_be_unknown_and_colours_may_stand_twice():
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 0, 0], [9, 9, 9]], np.uint8)
    image = palette_image(np.array([[0, 1, 2]], np.uint8), colours)
    assert read_mask(encoded(image), colours=TABLE).tolist() == [[0, 1, 0]]


def test_a_table_counts_for_greys_too():
    binary = {(0, 0, 0): 0, (255, 255, 255): 1}
    assert read_mask(grey_png(8, b"\0\xff", 2), colours=binary).tolist() == [[0, 1]]
    assert read_mask(grey_png(1, b"\x40", 2), colours=binary).tolist() == [[0, 1]]
    assert "numbers, not colours" in refused(
        encode_mask(np.zeros((2, 2), np.uint16)), colours=binary
    )


@pytest.mark.parametrize(
    ("highest", "dtype"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16)]
)
def test_ids_of_a_table_decide_the_type(highest, dtype):
    found = read_mask(encode_rgb(COLOURS[None]), colours={**TABLE, (0, 0, 0): highest})
    assert found.dtype == dtype
    assert found[0, 0] == highest


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_any_table_reads_what_it_wrote(size, seed):
    random_numbers = np.random.default_rng(seed)
    codes = random_numbers.choice(1 << 24, size, replace=False)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.uint8)
    numbers = random_numbers.integers(0, 65_536, size)
    rows = random_numbers.integers(0, size, (5, 9))
    table = dict(zip(map(tuple, colours.tolist()), numbers.tolist(), strict=True))
    assert (read_mask(encode_rgb(colours[rows]), colours=table) == numbers[rows]).all()


def test_unknown_colours_are_listed_with_their_counts():
    image = COLOURS[IDS]
    image[0, :3] = 1, 2, 3
    said = refused(encode_rgb(image), colours=TABLE)
    assert "1 colour: (1, 2, 3) × 3" in said
    assert "add them" in said
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    assert "smoothed edges" in refused(encode_rgb(noise), colours=TABLE)


@pytest.mark.parametrize(
    "colours",
    [
        {},
        {(0, 0): 1},
        {(0, 0, 256): 1},
        {(0, 0, -1): 1},
        {(0, 0, 0): 65_536},
        {(0, 0, 0): 1.5},
        {5: 1},
    ],
)
def test_a_broken_table_is_refused(colours):
    with pytest.raises(UsageError, match="colours maps"):
        read_mask(encode_rgb(COLOURS[None]), colours=colours)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("colours", [None, TABLE])
def test_jpeg_masks_are_refused(mode, colours):
    content = encoded(Image.new(mode, (16, 16)), "JPEG")
    assert "JPEG does not keep values" in refused(content, colours=colours)
    assert "JPEG" in refused(Image.open(io.BytesIO(content)), colours=colours)


@pytest.mark.parametrize("mode", ["F", "CMYK", "LAB", "YCbCr"])
def test_other_pixels_are_no_ids(mode):
    assert "cannot hold class ids" in refused(Image.new(mode, (3, 3)))


def test_a_tiff_that_stores_white_as_0_is_refused():
    content = encoded(Image.fromarray(IDS.astype(np.uint16)), "TIFF", tiffinfo={262: 0})
    assert "white as 0" in refused(content)


def test_masks_are_turned_as_their_photos():
    exif = Image.Exif()
    exif[274] = 6
    for image in (palette_image(IDS), Image.fromarray(IDS), Image.fromarray(IDS.astype(np.uint16))):
        assert (read_mask(encoded(image, exif=exif)) == np.rot90(IDS, -1)).all()


def test_files_that_cannot_be_read(tmp_path):
    assert str(tmp_path / "none.png") in refused(tmp_path / "none.png")
    assert "cut off" in refused(encoded(Image.fromarray(IDS))[:90])
    assert "at most 0.0001" in refused(encode_mask(IDS), max_megapixels=0.0001)
    with pytest.raises(UsageError):
        read_mask(IDS)


def test_a_mask_above_the_limit_of_pillow():
    size = (9_500, 9_500)
    assert size[0] * size[1] > Image.MAX_IMAGE_PIXELS
    content = encoded(Image.new("1", size, 1), "TIFF", compression="group4")
    mask = read_mask(content)
    assert mask.shape == size
    assert mask.all()


def test_ids_of_the_table_pass():
    check_ids(IDS, range(6), ignore_index=None, where="a")
    check_ids(np.array([[1, 255]], np.uint8), [1], ignore_index=255, where="a")
    check_ids(np.array([[1, -1]]), [1], ignore_index=-1, where="a")
    check_ids(np.zeros((0, 3), np.uint8), [1], ignore_index=None, where="a")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_other_ids_are_listed_with_counts(dtype):
    mask = np.array([[0, 9, 9], [1, 8, 3]], dtype)
    with pytest.raises(MaskFileError) as caught:
        check_ids(mask, [0, 1, 2, 3, 5], ignore_index=7, where="mask.png")
    assert caught.value.where == "mask.png"
    assert caught.value.got == "2 values: 9 × 2, 8 × 1, expected 0 … 3, 5 or 7 (ignored)"


@pytest.mark.parametrize(
    ("values", "ids", "fix"),
    [
        ([0, 255], range(2), "a mask of 0 and 255"),
        ([255], range(2), "a mask of 0 and 255"),
        ([0, 1, 2, 255], range(3), "ignore_index=255"),
        ([0, 1, 65_535], range(3), "ignore_index=65535"),
        ([1, 2, 150], range(150), "one too high"),
        ([0, 1, 2, 150], range(150), "if 150 marks unlabelled pixels, set ignore_index=150"),
        ([0, 38, 75, 113], range(21), "0, 38, 75"),
        ([0, 38, 75, 113, 220], range(21), "0, 38, 75"),
        ([0, 85, 170, 255], range(4), "85 apart"),
        ([0, 127, 255], range(3), "127.5 apart"),
        ([0, 20, 100], range(12), "20 apart"),
        ([0, 7, 200, 201], range(4), "map these values"),
    ],
)
def test_the_likely_fix_is_named(values, ids, fix):
    with pytest.raises(MaskFileError) as caught:
        check_ids(np.array([values], np.uint16), ids, ignore_index=None, where="a")
    assert fix in caught.value.fix


def test_masks_of_fractions_are_refused():
    with pytest.raises(ArrayError, match="integer"):
        check_ids(np.zeros((2, 2)), [0], ignore_index=None, where="a")
