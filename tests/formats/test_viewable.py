from __future__ import annotations

import numpy as np
import pytest

from pixelwise.formats.viewable import viewable


def test_a_photo_stays_itself():
    photo = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert viewable(photo) is photo


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
def test_any_raster_becomes_a_photo(dtype, bands):
    ramp = np.arange(600).reshape(20, 30, 1) % 120 + np.zeros(bands)
    shown = viewable(ramp.astype(dtype))
    assert shown.shape == (20, 30, 3)
    assert shown.dtype == np.uint8
    if (dtype, bands) != ("uint8", 3):
        assert (shown.min(), shown.max()) == (0, 255)


def test_what_is_no_number_is_black():
    raster = np.linspace(1, 2, 100, dtype=np.float32).reshape(10, 10, 1)
    raster[0, 0], raster[3, 3] = np.nan, np.inf
    shown = viewable(raster)
    assert shown[0, 0].tolist() == shown[3, 3].tolist() == [0, 0, 0]


def test_a_raster_of_one_value_is_black():
    assert not viewable(np.full((3, 4, 1), 7, np.uint16)).any()
