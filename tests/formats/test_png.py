from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from PIL import Image

from pixelwise.errors import ArrayError, UsageError
from pixelwise.formats import encode_grey, encode_mask, encode_rgb, read_mask, read_png_text

SIZES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=33)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
quick = settings(max_examples=60, deadline=None)


@quick
@given(arrays.arrays(np.uint8, SIZES))
def test_indexed_masks_come_back_exactly(labels):
    content = encode_mask(labels, palette=PALETTE)
    assert (read_mask(content) == labels).all()
    image = Image.open(io.BytesIO(content))
    assert image.mode == "P"
    assert (np.asarray(image.convert("RGB")) == PALETTE[labels]).all()


@quick
@given(arrays.arrays(np.uint8, SIZES))
def test_grey_masks_come_back_exactly(labels):
    content = encode_mask(labels)
    assert Image.open(io.BytesIO(content)).mode == "L"
    found = read_mask(content)
    assert found.dtype == np.uint8
    assert (found == labels).all()


@quick
@given(arrays.arrays(np.uint16, SIZES))
def test_masks_of_16_bits_come_back_exactly(labels):
    found = read_mask(encode_mask(labels, palette=PALETTE))
    assert found.dtype == np.uint16
    assert (found == labels).all()


@quick
@given(arrays.arrays(np.uint8, SIZES.map(lambda size: (*size, 3))))
def test_pictures_come_back_exactly(image):
    assert (np.asarray(Image.open(io.BytesIO(encode_rgb(image)))) == image).all()
    grey = image[..., 0]
    assert (np.asarray(Image.open(io.BytesIO(encode_grey(grey)))) == grey).all()


def test_strided_arrays_are_written_as_they_look():
    labels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert (read_mask(encode_mask(labels[::-2, ::-3])) == labels[::-2, ::-3]).all()
    assert (read_mask(encode_mask(labels.T.astype(np.uint16))) == labels.T).all()


def test_a_label_map_with_regions_is_small():
    labels = np.kron(np.arange(48).reshape(6, 8), np.ones((100, 100))).astype(np.uint8)
    assert len(encode_mask(labels, palette=PALETTE)) < 6000


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((3, 3), np.int64),
        np.zeros((3, 3), np.float32),
        np.zeros((3, 3, 1), np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros(3, np.uint8),
    ],
)
def test_other_labels_are_refused(labels):
    with pytest.raises(ArrayError, match="labels must be"):
        encode_mask(labels)


@pytest.mark.parametrize(
    "palette",
    [
        PALETTE[:5],
        np.zeros((257, 3), np.uint8),
        np.zeros((256, 4), np.uint8),
        np.zeros((256, 3)),
        PALETTE[:0],
    ],
)
def test_a_palette_must_have_a_colour_for_every_id(palette):
    with pytest.raises(ArrayError, match="palette"):
        encode_mask(np.full((2, 2), 5, np.uint8), palette=palette)
    encode_mask(np.full((2, 2), 5, np.uint8), palette=PALETTE[:6])


@pytest.mark.parametrize("image", [PALETTE[:, :, None], PALETTE[None, :, :2], np.zeros((1, 1, 3))])
def test_other_pictures_are_refused(image):
    with pytest.raises(ArrayError):
        encode_rgb(image)
    with pytest.raises(ArrayError):
        encode_grey(image)


TEXTS = {"Software": "pixelwise 1", "Klassen": "Straße · 道路", "Empty": "", "Größe": "a\nb"}


def test_texts_come_back_from_each_kind_of_file(tmp_path):
    labels = np.zeros((4, 4), np.uint8)
    for content in (
        encode_mask(labels, palette=PALETTE, text=TEXTS),
        encode_mask(labels.astype(np.uint16), text=TEXTS),
        encode_rgb(PALETTE[labels], TEXTS),
        encode_grey(labels, TEXTS),
    ):
        (tmp_path / "a.png").write_bytes(content)
        assert read_png_text(tmp_path / "a.png") == TEXTS
        assert Image.open(tmp_path / "a.png").text == TEXTS


@pytest.mark.parametrize(
    "text", [{"": "a"}, {"x" * 80: "a"}, {"道": "a"}, {" a": "a"}, {"a": "\0"}, {"a": "\ud800"}]
)
def test_texts_that_png_cannot_hold_are_refused(text):
    with pytest.raises(UsageError):
        encode_grey(np.zeros((1, 1), np.uint8), text)


def test_texts_of_other_files_are_none(tmp_path):
    good = encode_grey(np.zeros((9, 9), np.uint8), TEXTS)
    (tmp_path / "a.png").write_bytes(good)
    assert read_png_text(tmp_path / "none.png") == {}
    assert read_png_text(tmp_path) == {}
    assert read_png_text("a\0b") == {}
    for content in (
        b"",
        b"text",
        good[:20],
        good[:30],
        good[8:],
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 99,
    ):
        (tmp_path / "a.png").write_bytes(content)
        assert read_png_text(tmp_path / "a.png") == {}


def test_broken_and_endless_texts_are_left_out(tmp_path):
    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    start = b"\x89PNG\r\n\x1a\n"
    long = chunk(b"tEXt", b"Long\0" + bytes(2 << 20))
    packed = chunk(b"iTXt", b"Packed\0\1\0\0\0" + zlib.compress(b"a"))
    foreign = chunk(b"iTXt", b"Foreign\0\0\0de\0fremd\0x\xff")
    kept = chunk(b"tEXt", b"Kept\0a")
    broken = chunk(b"tEXt", b"Broken\0a")[:-1] + b"?"
    (tmp_path / "a.png").write_bytes(start + long + packed + foreign + kept + broken)
    assert read_png_text(tmp_path / "a.png") == {"Foreign": "x�", "Kept": "a"}
    (tmp_path / "a.png").write_bytes(start + chunk(b"tEXt", b"Nil") * 2000 + kept)
    assert read_png_text(tmp_path / "a.png") == {"Nil": ""}
