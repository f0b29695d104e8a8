from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ImageFileError
from pixelwise.formats.rasters import read_picture, read_raster

rasterio = pytest.importorskip("rasterio")


def write(path, bands, **options):
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=count,
        dtype=bands.dtype,
        **options,
    ) as file:
        file.write(bands)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 13])
def test_bands_come_last_in_their_own_type(tmp_path, dtype, count):
    bands = np.arange(count * 6).reshape(count, 2, 3).astype(dtype)
    write(tmp_path / "x.tif", bands, nodata=7)
    found, nodata = read_raster(tmp_path / "x.tif")
    assert found.dtype == dtype
    assert nodata == 7
    np.testing.assert_array_equal(found, np.moveaxis(bands, 0, -1))


def test_photos_stay_photos(tmp_path):
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    for name in ("x.png", "x.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(read_picture(tmp_path / name), pixels)
    bands = np.arange(30, dtype=np.uint16).reshape(5, 2, 3)
    write(tmp_path / "s2.tif", bands)
    np.testing.assert_array_equal(read_picture(tmp_path / "s2.tif"), np.moveaxis(bands, 0, -1))


def test_bands_beside_each_other_are_read_in_silence(tmp_path, capfd):
    bands = np.arange(5 * 16 * 16, dtype=np.uint8).reshape(5, 16, 16)
    write(tmp_path / "x.tif", bands, interleave="pixel")
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif"), np.moveaxis(bands, 0, -1))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("count", "dtype"), [(4, "uint8"), (1, "uint16"), (1, "uint8")])
def test_what_has_a_place_on_the_ground_keeps_its_bands(tmp_path, count, dtype):
    bands = np.arange(count * 6).reshape(count, 2, 3).astype(dtype)
    place = rasterio.transform.from_origin(10, 50, 0.1, 0.1)
    write(tmp_path / "x.tif", bands, transform=place, crs="EPSG:4326")
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif"), np.moveaxis(bands, 0, -1))


def test_three_bytes_with_a_place_are_a_photo(tmp_path, monkeypatch):
    bands = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)
    place = rasterio.transform.from_origin(10, 50, 0.1, 0.1)
    write(tmp_path / "x.tif", bands, transform=place, photometric="RGB")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif"), np.moveaxis(bands, 0, -1))


def test_a_raster_is_refused_by_its_header(tmp_path):
    write(tmp_path / "x.tif", np.zeros((5, 200, 100), np.uint8))
    with pytest.raises(ImageFileError, match="larger than allowed"):
        read_raster(tmp_path / "x.tif", max_megapixels=0.01)


def test_files_that_refer_to_others_are_not_followed(tmp_path):
    write(tmp_path / "x.tif", np.ones((1, 2, 3), np.uint8))
    (tmp_path / "vrt.tif").write_text(
        '<VRTDataset rasterXSize="3" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{tmp_path}/x.tif</SourceFilename>"
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_raster(tmp_path / "vrt.tif")


def test_missing_and_cut_off_rasters_are_errors(tmp_path):
    with pytest.raises(ImageFileError, match="no such file"):
        read_raster(tmp_path / "gone.tif")
    write(tmp_path / "x.tif", np.random.default_rng(1).integers(0, 99, (5, 64, 64), np.uint16))
    content = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_raster(tmp_path / "cut.tif")
