from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelwise.data.stored import exif_orientation, form_of

ARRAY = np.zeros((4, 4, 3), np.uint8)


def saved(mode, kind, **options):
    stream = io.BytesIO()
    Image.new(mode, (6, 5)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "stored"),
    [
        ("RGB", "PNG", "PNG, RGB, 8 bits"),
        ("RGBA", "PNG", "PNG, RGBA, 8 bits"),
        ("LA", "PNG", "PNG, grey and alpha, 8 bits"),
        ("P", "PNG", "PNG, palette, 1 bit"),
        ("1", "PNG", "PNG, grey, 1 bit"),
        ("I;16", "PNG", "PNG, grey, 16 bits"),
        ("RGB", "JPEG", "JPEG, RGB, 8 bits"),
        ("L", "JPEG", "JPEG, grey, 8 bits"),
        ("CMYK", "JPEG", "JPEG, CMYK, 8 bits"),
        ("RGB", "TIFF", "TIFF, read as 3 bands, uint8"),
        ("RGB", "WEBP", "WebP, read as 3 bands, uint8"),
        ("RGB", "BMP", "BMP, read as 3 bands, uint8"),
        ("P", "GIF", "GIF, read as 3 bands, uint8"),
    ],
)
def test_the_form_is_told_by_the_header(mode, kind, stored):
    form = form_of(saved(mode, kind), ARRAY)
    assert (form.stored, form.bands, form.dtype) == (stored, 3, "uint8")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_each_orientation_is_read(orientation, kind):
    exif = Image.Exif()
    exif[274] = orientation
    assert exif_orientation(saved("RGB", kind, exif=exif)) == orientation


def test_no_or_odd_orientation_is_upright():
    exif = Image.Exif()
    exif[274] = 77
    assert exif_orientation(saved("RGB", "JPEG")) == 1
    assert exif_orientation(saved("RGB", "JPEG", exif=exif)) == 1


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe1\0\x40Exif\0\0", b"\x89PNG"])
)
def test_no_content_is_too_odd(content, start):
    assert 1 <= exif_orientation(start + content) <= 8
    assert form_of(start + content, ARRAY).bands == 3
