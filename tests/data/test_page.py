from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from pixelwise.data.page import framed, picture_address, sections_with_links, swatch


def test_a_title_is_text_and_nothing_is_loaded():
    page = framed("<script>a & b", "<p>body</p>")
    assert "&lt;script&gt;a &amp; b" in page
    assert "<script" not in page
    assert "<p>body</p>" in page
    assert "default-src 'none'" in page


def test_sections_without_content_are_left_out():
    links, bodies = sections_with_links([("a", "A", "x"), ("b", "B", ""), ("c", "C", "y")])
    assert links.count("<a ") == 2
    assert 'href="#b"' not in links
    assert '<h2 id="c">C</h2>y' in bodies


def test_pictures_are_no_wider_than_asked():
    picture = np.zeros((30, 200, 3), np.uint8)
    picture[:, :100] = 255
    for widest, size in ((400, (200, 30)), (50, (50, 8))):
        kind, content = picture_address(picture, widest=widest).split(",")
        assert kind == "data:image/jpeg;base64"
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        assert image.size == size
        assert image.getpixel((0, 0))[0] > 250


def test_swatches():
    assert "rgb(1,2,3)" in swatch((1, 2, 3))
    assert swatch(None) == ""
