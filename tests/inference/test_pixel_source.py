from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.errors import ArrayError
from pixelwise.geometry import Window
from pixelwise.inference.pixel_source import ArraySource, read_scaled

SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=50)
@given(size=SIDES, resized=SIDES, data=st.data())
def test_a_window_is_that_of_the_picture_resized_whole(size, resized, data):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    left = data.draw(st.integers(0, resized[1] - 1))
    top = data.draw(st.integers(0, resized[0] - 1))
    right = data.draw(st.integers(left + 1, resized[1]))
    bottom = data.draw(st.integers(top + 1, resized[0]))
    found = read_scaled(ArraySource(picture), resized, Window(left, top, right, bottom))
    whole = np.asarray(Image.fromarray(picture).resize(resized[::-1], Image.Resampling.BILINEAR))
    expected = whole[top:bottom, left:right]
    assert found.shape == expected.shape
    # The weights of the filter may be rounded otherwise, by one grey value at most.
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_bands_of_any_number_and_type(kind):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 5)).astype(kind)
    found = read_scaled(ArraySource(picture), (20, 25), Window(3, 2, 20, 20))
    assert found.dtype == kind
    for band in range(5):
        grey = Image.fromarray(picture[..., band].astype(np.float32))
        whole = np.asarray(grey.resize((25, 20), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(found[..., band], whole[2:20, 3:20], atol=1)


def test_a_window_at_the_same_scale_is_the_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (9, 8, 2), np.uint16)
    source = ArraySource(picture)
    assert (source.size, source.bands) == ((9, 8), 2)
    found = read_scaled(source, (9, 8), Window(1, 2, 5, 9))
    np.testing.assert_array_equal(found, picture[2:9, 1:5])


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 3), (4, 4, 3, 1)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ArrayError, match="no picture"):
        ArraySource(np.zeros(shape, np.uint8))
