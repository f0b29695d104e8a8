from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ArrayError, ImageFileError, UsageError
from pixelwise.inference.card import Preprocessing, Resize
from pixelwise.inference.picture_input import read_input

PHOTOS = Preprocessing(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, resize=Resize(rule="none"))
BANDS = PHOTOS.model_copy(
    update={"mean": (0.0,) * 4, "std": (1.0,) * 4, "dtype": "uint16", "bands": ("a", "b", "c", "d")}
)


def read(source, card, **options):
    return read_input(source, card, **{"max_megapixels": 1.0} | options)


def values(dtype="uint16", bands=4):
    return np.random.default_rng(0).integers(1, 200, (5, 6, bands)).astype(dtype)


@pytest.fixture
def raster(tmp_path):
    rasterio = pytest.importorskip("rasterio")

    def make(pixels, names=(), **options):
        path = tmp_path / "x.tif"
        height, width, count = pixels.shape
        shape = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
            file.write(np.moveaxis(pixels, -1, 0))
            if names:
                file.descriptions = names
        return path

    return make


def test_photos_are_read_as_photos(tmp_path):
    pixels = values("uint8", 3)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png", PHOTOS), pixels)
    assert read(pixels, PHOTOS) is pixels


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32"])
def test_arrays_of_bands(dtype):
    found = read(values(dtype), BANDS)
    np.testing.assert_array_equal(found, values(dtype))


@pytest.mark.parametrize(
    "array", [values("uint8"), values("float32"), values(bands=3), values()[0], values()[:0]]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ArrayError, match="not a picture for this model"):
        read(array, BANDS)


def test_a_raster_gives_its_bands_by_name_and_nan_without_data(raster):
    pixels = values(bands=5)
    pixels[1, 2] = 0
    found = read(raster(pixels, ("d", "c", "x", "b", "a"), nodata=0), BANDS)
    expected = pixels[..., [4, 3, 1, 0]].astype(np.float32)
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(found, expected)


PLACED = {"crs": "EPSG:32640", "transform": (0.5, 0, 3e5, 0, -0.5, 2.8e6)}


def test_a_placed_photo_is_one_only_where_it_has_data_everywhere(raster):
    pixels = values("uint8", 3)
    np.testing.assert_array_equal(read(raster(pixels, nodata=0, **PLACED), PHOTOS), pixels)
    pixels[1, 2:4] = 0
    path = raster(pixels, nodata=0, **PLACED)
    with pytest.raises(UsageError, match="without data") as caught:
        read(path, PHOTOS)
    assert caught.value.got == "2 of 30 pixels without data"
    assert "predict_raster" in caught.value.fix
    assert str(path) == caught.value.where


def test_transparent_pixels_of_a_placed_photo_have_no_data(raster):
    pixels = values("uint8", 4)
    pixels[..., 3] = 255
    path = raster(pixels, photometric="RGB", ALPHA="YES", **PLACED)
    np.testing.assert_array_equal(read(path, PHOTOS), pixels[..., :3])
    pixels[0, 0, 3] = 0
    with pytest.raises(UsageError, match="without data"):
        read(raster(pixels, photometric="RGB", ALPHA="YES", **PLACED), PHOTOS)


def test_a_raster_for_a_model_of_photos_is_sent_to_where_rasters_are_read(raster, tmp_path):
    with pytest.raises(ImageFileError) as caught:
        read(raster(values()), PHOTOS)
    assert "predict_raster" in caught.value.fix
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError) as caught:
        read(tmp_path / "x.png", PHOTOS)
    assert "predict_raster" not in caught.value.fix


def test_large_rasters_are_refused_by_their_header(raster):
    with pytest.raises(ImageFileError, match="larger than allowed"):
        read(raster(values()), BANDS, max_megapixels=1e-5)


@pytest.mark.parametrize("source", [b"bytes", Image.new("RGB", (3, 3))])
def test_what_is_no_raster(source):
    with pytest.raises(UsageError, match="4 bands of uint16") as caught:
        read(source, BANDS, name="x.png")
    assert caught.value.where == "x.png"
