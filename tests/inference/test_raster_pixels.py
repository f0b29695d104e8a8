from __future__ import annotations

import numpy as np
import pytest

from pixelwise.formats.raster_reader import open_raster
from pixelwise.geometry import Window
from pixelwise.inference.bands import BandRule
from pixelwise.inference.raster_pixels import Preview, RasterPixels, shown_channels

rasterio = pytest.importorskip("rasterio")


@pytest.fixture
def reader(tmp_path):
    def make(values, names=(), **options):
        path = tmp_path / "x.tif"
        height, width, bands = values.shape
        shape = {"height": height, "width": width, "count": bands, "dtype": values.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
            file.write(np.moveaxis(values, -1, 0))
            if names:
                file.descriptions = names
        return open_raster(path)

    return make


def noise(height, width, bands, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 99, (height, width, bands)).astype(dtype)


def test_windows_have_the_models_bands(reader):
    values = noise(20, 30, 5, "int16")
    source = RasterPixels(reader(values), BandRule((3, 0), (None, None), None))
    assert (source.size, source.bands) == ((20, 30), 2)
    found = source.read(Window(4, 2, 9, 17))
    np.testing.assert_array_equal(found, values[2:17, 4:9][..., [3, 0]])
    assert source.missing(Window(0, 0, 30, 20)) is None


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_missing_in_a_window(reader, dtype, monkeypatch):
    # Three rows at a time.
    monkeypatch.setattr("pixelwise.inference.raster_pixels._AT_ONCE", 3 * 30 * 3 * 8)
    values = noise(20, 30, 3, dtype) + 1
    values[5:9, 10:20] = 0 if dtype == "uint8" else np.nan
    nodata = 0 if dtype == "uint8" else None
    source = RasterPixels(reader(values, nodata=nodata), BandRule((0, 1, 2), (nodata,) * 3, None))
    holes = np.zeros((20, 30), bool)
    holes[5:9, 10:20] = True
    np.testing.assert_array_equal(source.missing(Window(8, 3, 30, 20)), holes[3:, 8:])
    assert source.missing(Window(0, 10, 30, 20)) is None
    found = source.read(Window(0, 0, 30, 20))
    np.testing.assert_array_equal(np.isnan(found).all(axis=2), holes)


@pytest.mark.parametrize("step", [1, 2, 4, 16])
def test_the_preview_is_made_of_windows_that_overlap(tmp_path, reader, step):
    values = noise(37, 53, 3)
    preview = Preview(tmp_path / "p", (37, 53), step, np.dtype(np.uint8))
    source = RasterPixels(reader(values), BandRule((0, 1, 2), (None,) * 3, None), preview)
    for top in range(0, 37, 10):
        for left in range(0, 53, 20):
            source.read(Window(left, top, min(53, left + 25), min(37, top + 13)))
    y, x = (np.minimum(np.arange(-(-n // step)) * step + step // 2, n - 1) for n in (37, 53))
    np.testing.assert_array_equal(preview.pixels, values[y[:, None], x])
    # A run that goes on finds what the first one has seen.
    preview.save()
    again = Preview(tmp_path / "p", (37, 53), step, np.dtype(np.uint8))
    np.testing.assert_array_equal(again.pixels, preview.pixels)


def test_the_preview_of_bytes_is_black_where_nothing_is(tmp_path, reader):
    values = noise(4, 4, 3) + 1
    values[1, 1] = 0
    preview = Preview(tmp_path / "p", (4, 4), 1, np.dtype(np.uint8))
    rule = BandRule((0, 1, 2), (0,) * 3, None)
    RasterPixels(reader(values, nodata=0), rule, preview).read(Window(0, 0, 4, 4))
    np.testing.assert_array_equal(preview.pixels, values)


@pytest.mark.parametrize(
    ("names", "indices", "channels"),
    [
        ((), (0, 1, 2, 3), [0, 1, 2]),
        ((), (1,), [0, 0, 0]),
        (("B2", "B3", "B4", "B8"), (0, 1, 2, 3), [2, 1, 0]),
        (("B2", "B3", "B4", "B8"), (3, 2, 1), [0, 1, 2]),
        (("red", "Green", "BLUE", "nir"), (3, 2, 1, 0), [3, 2, 1]),
    ],
)
def test_channels_to_look_at(reader, names, indices, channels):
    rule = BandRule(indices, (None,) * len(indices), None)
    assert shown_channels(reader(noise(4, 4, 4, "int16"), names), rule) == channels
