from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import ImageFileError, UsageError
from pixelwise.formats.raster_reader import RasterFacts
from pixelwise.inference.bands import BandRule, band_rule, network_values
from pixelwise.inference.card import Preprocessing, Resize


class ArrayReader:
    """A raster in memory."""

    def __init__(self, values, names=(), colours=(), nodata=None):
        bands = values.shape[2]
        self.values = values
        self.facts = RasterFacts(
            path=Path("scene.tif"),
            size=values.shape[:2],
            dtype=values.dtype,
            names=tuple(names) or ("",) * bands,
            colours=tuple(colours) or ("",) * bands,
            nodata=(nodata,) * bands,
            transform=None,
            crs=None,
            block=(64, 64),
        )

    def read(self, window, bands):
        part = self.values[window.top : window.bottom, window.left : window.right]
        return part[..., list(bands)]

    def absent(self, _window):
        return None

    def close(self):
        pass


def raster(bands=3, dtype="uint8", **options):
    values = np.random.default_rng(0).integers(1, 200, (30, 40, bands)).astype(dtype)
    return ArrayReader(values, **options)


def card(channels=3, **options):
    numbers = {"scale": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    return Preprocessing(**numbers | options, resize=Resize(rule="none"))


SENTINEL = ("B1", "B2", "B3", "B4", "B8")
RGBN = ("red", "green", "blue", "")


@pytest.mark.parametrize(
    ("reader", "wanted", "bands", "indices"),
    [
        (raster(), card(), (), (0, 1, 2)),
        (raster(1), card(), (), (0, 0, 0)),
        (raster(4, colours=("red", "green", "blue", "alpha")), card(), (), (0, 1, 2)),
        (raster(4, colours=("blue", "green", "red", "")), card(), (), (2, 1, 0)),
        (raster(5), card(5), (), (0, 1, 2, 3, 4)),
        (raster(5, names=SENTINEL), card(bands=("b4", "B3", "B2")), (), (3, 2, 1)),
        (raster(3), card(bands=("B4", "B3", "B2")), (), (0, 1, 2)),
        (raster(5), card(), ("4", "3", "1"), (3, 2, 0)),
        (raster(5, names=SENTINEL), card(), ("B8", "b4", "1"), (4, 3, 0)),
        # A name that is a number is the name, as in files whose bands are called by wavelengths.
        (raster(3, names=("3", "1", "2")), card(), ("1", "2", "3"), (1, 2, 0)),
    ],
)
def test_the_bands_of_a_model(reader, wanted, bands, indices):
    assert band_rule(reader, wanted, bands=bands).indices == indices


@pytest.mark.parametrize(
    ("reader", "wanted", "bands", "said"),
    [
        (raster(13), card(), (), "3 bands (red, green, blue)"),
        (raster(2), card(), (), "2 bands"),
        (raster(3), card(5), (), "wants 5 bands"),
        (raster(5, names=SENTINEL), card(bands=("B4", "B3", "B5")), (), "B4, B3, B5"),
        (raster(5, names=SENTINEL), card(bands=("B4", "B3", "B5")), (), "4: B4"),
        (raster(4), card(bands=("B4", "B3", "B2")), (), "no names"),
        (raster(5), card(), ("1", "2"), "takes 3 bands"),
        (raster(5), card(), ("1", "2", "6"), "bands 6"),
        (raster(5), card(), ("1", "0", "nir"), "bands 0, nir"),
    ],
)
def test_bands_that_do_not_fit_are_named(reader, wanted, bands, said):
    with pytest.raises(UsageError) as caught:
        band_rule(reader, wanted, bands=bands)
    assert said in str(caught.value)
    assert "scene.tif" in caught.value.where
    assert caught.value.fix


def test_the_fix_names_bands_that_there_are():
    for reader, fix in (
        (raster(5), "--bands 3,2,1"),
        (raster(5, names=SENTINEL), "--bands " + ",".join(SENTINEL[2::-1])),
        (raster(2), "a raster that has 3 bands"),
    ):
        with pytest.raises(UsageError) as caught:
            band_rule(reader, card())
        assert caught.value.fix.endswith(fix)


def test_numbers_of_another_kind_need_a_range():
    reader = ArrayReader(np.linspace(100, 1100, 900).reshape(30, 30, 1).astype(np.uint16))
    with pytest.raises(UsageError) as caught:
        band_rule(reader, card())
    assert "uint16, from 282.62 to 1095" in caught.value.got
    assert "--range" in caught.value.fix
    rule = band_rule(reader, card(), value_range=(100, 1100))
    values, missing = network_values(reader.values[..., [0, 0, 0]], None, rule)
    assert missing is None
    assert values.dtype == np.float32
    expected = np.clip((reader.values.astype(float) - 100) * 0.255, 0, 255)
    np.testing.assert_allclose(values[..., :1], expected, atol=1e-4)


@pytest.mark.parametrize("found", ["uint16", "int16", "int32"])
def test_whole_numbers_of_any_width_are_the_same(found):
    rule = band_rule(raster(4, found), card(4, dtype="int16"))
    values, _ = network_values(raster(4, found).values, None, rule)
    np.testing.assert_array_equal(values, raster(4, found).values)


@pytest.mark.parametrize(("found", "wanted"), [("float32", "uint16"), ("uint8", "float32")])
def test_a_model_of_other_numbers_says_so(found, wanted):
    with pytest.raises(UsageError, match=f"made for numbers of {wanted}"):
        band_rule(raster(3, found), card(dtype=wanted))
    with pytest.raises(UsageError, match="8-bit"):
        band_rule(raster(3, found), card(dtype=wanted), value_range=(0, 1))


@pytest.mark.parametrize("value_range", [(5, 5), (9, 3), (0, np.inf), (np.nan, 3)])
def test_ranges_that_are_none(value_range):
    with pytest.raises(UsageError, match="range is two numbers"):
        band_rule(raster(), card(), value_range=value_range)


def test_a_raster_without_any_data_has_no_range():
    reader = ArrayReader(np.full((9, 9, 3), np.nan, np.float32))
    with pytest.raises(ImageFileError, match="holds no data"):
        band_rule(reader, card())


def missing_of(values, nodata, absent=None):
    rule = BandRule(tuple(range(values.shape[2])), (nodata,) * values.shape[2], None)
    return network_values(values, absent, rule)


def test_zero_counts_as_no_data_only_in_all_bands():
    values = np.array([[[0, 0, 0], [255, 0, 0], [0, 1, 2]]], np.uint8)
    found, missing = missing_of(values, 0)
    np.testing.assert_array_equal(missing, [[True, False, False]])
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_array_equal(found[0, 1:], values[0, 1:])


def test_a_value_below_zero_counts_in_any_band():
    values = np.array([[[-9999, 5, 5], [1, 2, 3]]], np.int16)
    found, missing = missing_of(values, -9999)
    np.testing.assert_array_equal(missing, [[True, False]])
    assert np.isnan(found[0, 0]).all()


def test_what_is_no_number_counts_in_any_band():
    values = np.array([[[np.nan, 5], [np.inf, 2], [1, 2]]], np.float32)
    for nodata in (None, np.nan):
        found, missing = missing_of(values, nodata)
        np.testing.assert_array_equal(missing, [[True, True, False]])
        assert np.isnan(found[0, :2]).all()


def test_the_rasters_own_mask_counts():
    values = np.ones((1, 2, 3), np.uint8)
    mask = np.array([[False, True]])
    found, missing = missing_of(values, None, mask)
    np.testing.assert_array_equal(missing, mask)
    assert np.isnan(found[0, 1]).all()
    assert mask.tolist() == [[False, True]]


def test_pixels_with_data_keep_their_type():
    values = np.ones((2, 2, 3), np.uint16)
    found, missing = missing_of(values, 0)
    assert missing is None
    assert found.dtype == np.uint16
