from __future__ import annotations

import itertools
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pixelwise.errors import OutputError
from pixelwise.formats import cog
from pixelwise.formats.block_file import BlockFile, TileForm
from pixelwise.formats.cog import BandFacts, CogFacts, cog_pieces, read_cog_facts, write_level
from pixelwise.formats.stripe_file import StripeFile
from pixelwise.geometry import Window

rasterio = pytest.importorskip("rasterio")

PLACE = (0.3, 0.0, 3e5, 0.0, -0.3, 2.8e6)
LABELS = TileForm(side=16, channels=1, dtype=np.dtype(np.uint8), fill=255, predictor=False)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def write(tmp_path, pool):
    """Writes a picture `[H, W, S]` as a file; gives its path."""

    def make(pixels, form, facts, name="x.tif"):
        side = form.side
        height, width = pixels.shape[:2]
        padded = np.pad(
            pixels, ((0, -height % side), (0, -width % side), (0, 0)), constant_values=form.fill
        )

        def tile(row, column):
            return padded[row * side : (row + 1) * side, column * side : (column + 1) * side]

        base = write_level(tmp_path / f"{name}.0", form, (height, width), tile, pool)
        levels = cog.write_overviews(base, pool)
        path = tmp_path / name
        path.write_bytes(b"".join(cog_pieces(levels, facts)))
        for level in levels:
            level.tiles.close()
        return path

    return make


def facts_of(pixels, **options):
    bands = tuple(BandFacts(f"band {n}") for n in range(pixels.shape[2]))
    return CogFacts(
        **{"size": pixels.shape[:2], "transform": PLACE, "crs": "EPSG:32640"}
        | options
        | {"bands": bands}
    )


def blobs(height, width, channels=1, seed=0):
    small = np.random.default_rng(seed).integers(0, 5, (height // 4 + 1, width // 4 + 1, channels))
    return small.repeat(4, 0).repeat(4, 1)[:height, :width].astype(np.uint8)


def check_layout(path):
    """The rules of GDAL's validate_cloud_optimized_geotiff.py."""
    content = path.read_bytes()
    big = struct.unpack_from("<H", content, 2)[0] == 43
    first = (
        struct.unpack_from("<Q", content, 8)[0] if big else struct.unpack_from("<I", content, 4)[0]
    )
    ghost = 16 if big else 8
    assert content[ghost : ghost + 29] == b"GDAL_STRUCTURAL_METADATA_SIZE"
    length = int(content[ghost + 30 : ghost + 36])
    expected = ghost + 43 + length
    assert first == expected + expected % 2
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        factors = file.overviews(1)
        size = max(file.shape)
        assert all(a < b for a, b in itertools.pairwise(factors))
        assert bool(factors) == (size > file.block_shapes[0][0])
        levels = [None, *range(len(factors))]

        def item(name, level):
            return file.get_tag_item(name, "TIFF", bidx=1, ovr=level)

        directories = [int(item("IFD_OFFSET", level)) for level in levels]
        assert directories == sorted(directories)
        assert directories[0] == first
        starts = [int(item("BLOCK_OFFSET_0_0", level)) for level in levels]
        assert starts == sorted(starts, reverse=True)
        assert starts[-1] > directories[-1]
        for level in levels:
            shape = file.shape if level is None else open_level(path, level).shape
            side = file.block_shapes[0][0]
            before = 0
            for row in range(-(-shape[0] // side)):
                for column in range(-(-shape[1] // side)):
                    start = int(item(f"BLOCK_OFFSET_{column}_{row}", level))
                    size = int(item(f"BLOCK_SIZE_{column}_{row}", level))
                    assert start > before
                    assert struct.unpack_from("<I", content, start - 4)[0] == size
                    end = start + size
                    assert content[end : end + 4] == content[end - 4 : end]
                    before = start


def open_level(path, level):
    return rasterio.open(path, overview_level=level)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 16), (100, 70), (33, 200)])
def test_a_label_map_reads_back_with_place_colours_and_names(write, size):
    pixels = blobs(*size)
    pixels[0, 0] = 255
    palette = np.random.default_rng(1).integers(0, 256, (5, 3), np.uint8)
    items = {"pixelwise": '{"a": "<&\\">"}', "CLASS_0": "häuser & <höfe> &amp;"}
    path = write(pixels, LABELS, facts_of(pixels, palette=palette, items=items))
    check_layout(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), pixels[..., 0])
        assert tuple(file.transform)[:6] == PLACE
        assert file.crs.to_epsg() == 32640
        assert file.nodata == 255
        assert file.descriptions == ("band 0",)
        assert file.colorinterp[0].name == "palette"
        colours = file.colormap(1)
        assert [colours[i][:3] for i in range(5)] == [tuple(row) for row in palette.tolist()]
        assert file.tags()["CLASS_0"] == items["CLASS_0"]
        assert file.profile["compress"] == "deflate"
    assert read_cog_facts(path) == items


def test_overviews_are_modes_of_the_level_below(write):
    pixels = blobs(70, 90)
    pixels[5:40, 3:50] = 255
    path = write(pixels, LABELS, facts_of(pixels))
    below = pixels
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4, 8]
    for level in range(3):
        padded = np.pad(
            below, ((0, below.shape[0] % 2), (0, below.shape[1] % 2), (0, 0)), constant_values=255
        )
        below = cog.mode_of_four(padded, 255)
        with open_level(path, level) as file:
            np.testing.assert_array_equal(file.read(1), below[..., 0])


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_measures_of_several_bands(write, channels, dtype):
    form = TileForm(side=32, channels=channels, dtype=np.dtype(dtype), fill=255, predictor=True)
    pixels = np.random.default_rng(0).integers(0, 251, (75, 90, channels)).astype(dtype)
    facts = CogFacts(
        (75, 90), PLACE, "EPSG:32640", tuple(BandFacts(f"c{n}", 1 / 250) for n in range(channels))
    )
    path = write(pixels, form, facts)
    check_layout(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), pixels)
        assert file.scales == (1 / 250,) * channels
        assert file.descriptions == tuple(f"c{n}" for n in range(channels))
    with open_level(path, 0) as file:
        assert abs(file.read(1).mean() - pixels[..., 0].mean()) < 3


@pytest.mark.parametrize("place", ["none", "crs only", "rotated", "degrees", "own"])
def test_any_place(write, place):
    pixels = blobs(20, 20)
    turned = rasterio.Affine(*PLACE) @ rasterio.Affine.rotation(30)
    transform, crs = {
        "none": (None, None),
        "crs only": (None, "EPSG:32640"),
        "rotated": (tuple(turned)[:6], "EPSG:32640"),
        "degrees": ((1e-4, 0, 7, 0, -1e-4, 50), "EPSG:4326"),
        "own": (
            PLACE,
            rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80").to_wkt(),
        ),
    }[place]
    path = write(pixels, LABELS, facts_of(pixels, transform=transform, crs=crs))
    with rasterio.open(path) as file:
        if transform is not None:
            np.testing.assert_allclose(tuple(file.transform)[:6], transform, rtol=1e-12)
        assert (file.crs is None) == (crs is None)
        if crs is not None:
            assert file.crs == rasterio.crs.CRS.from_user_input(crs)


def test_big_files_have_wide_offsets(write, monkeypatch):
    monkeypatch.setattr(cog, "_LARGEST_CLASSIC", 1000)
    pixels = blobs(50, 60)
    path = write(pixels, LABELS, facts_of(pixels, palette=np.zeros((5, 3), np.uint8)))
    assert path.read_bytes()[:4] == b"II\x2b\0"
    check_layout(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), pixels[..., 0])
    assert read_cog_facts(path) == {}


def test_facts_of_files_that_are_none_of_ours(tmp_path):
    assert read_cog_facts(tmp_path / "gone.tif") == {}
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    assert read_cog_facts(tmp_path / "x.tif") == {}


# Stripes and blocks


@pytest.mark.parametrize("side", [16, 50])
def test_stripes_of_any_shape_make_tiles(tmp_path, pool, side):
    form = TileForm(side=side, channels=2, dtype=np.dtype(np.uint8), fill=255, predictor=True)
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 2), np.uint8)
    windows = [
        Window(left, top, right, bottom)
        for left, right in ((0, 37), (37, 90))
        for top, bottom in ((0, 13), (13, 14), (14, 61), (61, 70))
    ]

    def part(window):
        rows = pixels[window.top : window.bottom, window.left : window.right]
        return lambda columns: rows[:, columns]

    stripes = StripeFile(tmp_path / "s", form, (70, 90), windows)
    for window in windows[:5]:
        stripes.append(window, part(window), pool)
    stripes.close()
    whole = (tmp_path / "s").read_bytes()
    # What a run wrote after it last said so is written anew.
    (tmp_path / "s").write_bytes(whole + b"half a block")
    stripes = StripeFile(tmp_path / "s", form, (70, 90), windows, done=3)
    for window in windows[3:]:
        stripes.append(window, part(window), pool)
    assert (tmp_path / "s").read_bytes().startswith(whole)
    padded = np.pad(pixels, ((0, -70 % side), (0, -90 % side), (0, 0)), constant_values=255)
    for row in range(stripes.grid[0]):
        for column in range(stripes.grid[1]):
            y, x = row * side, column * side
            np.testing.assert_array_equal(
                stripes.tile(row, column), padded[y : y + side, x : x + side]
            )
    stripes.close()


def test_lost_and_damaged_blocks_are_errors(tmp_path):
    path = tmp_path / "b"
    blocks = BlockFile(path)
    pixels = blobs(16, 16)
    blocks.append([LABELS.encode(pixels)] * 3)
    blocks.close()
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(OutputError, match="damaged"):
        BlockFile(path, count=3)
    with pytest.raises(OutputError, match="damaged"):
        BlockFile(path, count=5)
    path.write_bytes(content[:10] + b"xxxx" + content[14:])
    blocks = BlockFile(path, count=3)
    with pytest.raises(OutputError, match="damaged"):
        blocks.block(0, LABELS, (16, 16))
    np.testing.assert_array_equal(blocks.block(1, LABELS, (16, 16)), pixels)
    blocks.close()
