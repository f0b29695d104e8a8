from __future__ import annotations

import http.server
import threading

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ImageFileError
from pixelwise.formats.raster_reader import is_raster, open_raster
from pixelwise.geometry import Window

rasterio = pytest.importorskip("rasterio")

PLACE = rasterio.Affine(0.3, 0, 3e5, 0, -0.3, 2.8e6)


def write(path, bands, **options):
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": count}
    with rasterio.open(path, "w", **profile, dtype=bands.dtype, **options) as file:
        file.write(bands)
    return path


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_windows_of_a_tiff(tmp_path, dtype, interleave):
    bands = noise(5, 40, 60, dtype=dtype)
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    path = write(tmp_path / "x.tif", bands, interleave=interleave, nodata=7, **options)
    reader = open_raster(path)
    facts = reader.facts
    assert (facts.size, facts.bands, facts.dtype) == ((40, 60), 5, np.dtype(dtype))
    assert facts.nodata == (7,) * 5
    assert facts.block == (16, 16)
    assert facts.transform is None
    found = reader.read(Window(10, 3, 50, 37), (4, 0, 4))
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.moveaxis(bands[[4, 0, 4], 3:37, 10:50], 0, -1))
    assert reader.absent(Window(0, 0, 3, 3)) is None
    reader.close()


def test_a_place_names_and_colours(tmp_path):
    path = write(tmp_path / "x.tif", noise(3, 4, 5), crs="EPSG:32640", transform=PLACE)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("B4", "B3", "B2")
        file.colorinterp = [rasterio.enums.ColorInterp[name] for name in ("red", "green", "blue")]
    facts = open_raster(path).facts
    assert facts.transform == tuple(PLACE)[:6]
    assert "32640" in facts.crs
    assert facts.names == ("B4", "B3", "B2")
    assert facts.colours == ("red", "green", "blue")


def test_alpha_and_mask_bands_say_where_nothing_is(tmp_path):
    bands = noise(4, 6, 7)
    bands[3] = 255
    bands[3, 2:4, 1:3] = 0
    path = write(tmp_path / "x.tif", bands, photometric="RGB", alpha="YES")
    reader = open_raster(path)
    assert reader.facts.colours[3] == "alpha"
    np.testing.assert_array_equal(reader.absent(Window(0, 0, 7, 6)), bands[3] == 0)
    np.testing.assert_array_equal(reader.absent(Window(1, 2, 7, 6)), bands[3, 2:, 1:] == 0)

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(tmp_path / "m.tif", bands[:3])
        with rasterio.open(tmp_path / "m.tif", "r+") as file:
            file.write_mask(bands[3])
    np.testing.assert_array_equal(
        open_raster(tmp_path / "m.tif").absent(Window(0, 0, 7, 6)), bands[3] == 0
    )


def test_a_palette_is_read_as_its_colours(tmp_path):
    index = noise(1, 6, 7) % 3
    path = write(tmp_path / "x.tif", index, photometric="palette")
    colours = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255)}
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colours)
    reader = open_raster(path)
    assert reader.facts.bands == 3
    table = np.array([colours[i][:3] for i in range(3)], np.uint8)
    np.testing.assert_array_equal(reader.read(Window(0, 0, 7, 6), (0, 1, 2)), table[index[0]])


@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate"])
def test_plain_and_pyramidal_tiffs(tmp_path, compression):
    pixels = noise(300, 500, 3)
    photo = Image.fromarray(pixels)
    small = [photo.resize((250, 150)), photo.resize((125, 75))]
    path = tmp_path / "pyramid.tif"
    photo.save(path, save_all=True, append_images=small, compression=compression)
    reader = open_raster(path)
    assert reader.facts.size == (300, 500)
    found = reader.read(Window(100, 50, 400, 300), (0, 1, 2))
    np.testing.assert_array_equal(found, pixels[50:, 100:400])


def test_big_tiff_and_rotated_place(tmp_path):
    turned = PLACE @ rasterio.Affine.rotation(30)
    bands = noise(3, 20, 30)
    path = write(tmp_path / "x.tif", bands, BIGTIFF="YES", transform=turned, crs="EPSG:32640")
    assert is_raster(path, max_megapixels=200)
    np.testing.assert_allclose(open_raster(path).facts.transform, tuple(turned)[:6])


def test_what_is_a_raster_and_what_a_photo(tmp_path):
    Image.fromarray(noise(4, 5, 3)).save(tmp_path / "photo.tif")
    Image.fromarray(noise(4, 5, 3)).save(tmp_path / "photo.png")
    write(tmp_path / "placed.tif", noise(3, 4, 5), transform=PLACE)
    write(tmp_path / "many.tif", noise(5, 4, 5))
    write(tmp_path / "deep.tif", noise(3, 4, 5, dtype=np.uint16))
    for name, raster in {
        "photo.tif": False,
        "photo.png": False,
        "placed.tif": True,
        "many.tif": True,
        "deep.tif": True,
        "gone.tif": False,
        "slide.svs": True,
        "several.vrt": True,
    }.items():
        assert is_raster(tmp_path / name, max_megapixels=200) is raster, name
    assert is_raster(tmp_path / "photo.tif", max_megapixels=1e-5)


VRT = (
    '<VRTDataset rasterXSize="5" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
    "<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    "</VRTRasterBand></VRTDataset>"
)


@pytest.mark.parametrize("name", ["x.vrt", "x.tif"])
def test_files_that_refer_to_others_are_refused_unless_asked(tmp_path, name):
    bands = noise(1, 4, 5)
    write(tmp_path / "other.tif", bands)
    path = tmp_path / name
    path.write_text(VRT.format(tmp_path / "other.tif"))
    with pytest.raises(ImageFileError, match="refers to other files") as caught:
        open_raster(path)
    assert "--allow-references" in caught.value.fix
    reader = open_raster(path, allow_references=True)
    np.testing.assert_array_equal(reader.read(Window(0, 0, 5, 4), (0,))[..., 0], bands[0])


def test_the_network_stays_closed_even_to_what_is_allowed(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/x.tif"
    path = tmp_path / "x.vrt"
    path.write_text(VRT.format(f"/vsicurl/{address}"))
    try:
        for target in (path, address, f"/vsicurl/{address}"):
            with pytest.raises(ImageFileError):
                open_raster(type(path)(target), allow_references=True).read(
                    Window(0, 0, 5, 4), (0,)
                )
    finally:
        server.shutdown()
    assert asked == []


def test_files_beside_a_raster_count_only_where_asked(tmp_path):
    path = write(tmp_path / "x.tif", noise(3, 4, 5))
    (tmp_path / "x.tfw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    (tmp_path / "x.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>9</NoDataValue></PAMRasterBand>'
        "</PAMDataset>"
    )
    plain = open_raster(path).facts
    assert plain.transform is None
    assert plain.nodata == (None,) * 3
    beside = open_raster(path, allow_references=True).facts
    assert beside.transform == (0.5, 0, 100, 0, -0.5, 200)
    assert beside.nodata[0] == 9


def test_a_raster_that_changes_while_it_is_read(tmp_path):
    bands = noise(1, 4, 5)
    path = write(tmp_path / "x.tif", bands)
    reader = open_raster(path)
    reader.read(Window(0, 0, 5, 4), (0,))
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    with pytest.raises(ImageFileError, match="changed while it was read"):
        reader.read(Window(0, 0, 5, 4), (0,))
    path.unlink()
    with pytest.raises(ImageFileError, match="cannot be looked at"):
        reader.read(Window(0, 0, 5, 4), (0,))


def test_missing_damaged_and_foreign_files(tmp_path):
    with pytest.raises(ImageFileError, match="no such file"):
        open_raster(tmp_path / "gone.tif")
    with pytest.raises(ImageFileError, match="no Zarr"):
        open_raster(tmp_path)
    (tmp_path / "x.tif").write_text("no raster at all")
    with pytest.raises(ImageFileError, match="cannot be read"):
        open_raster(tmp_path / "x.tif")
    path = write(tmp_path / "cut.tif", noise(3, 200, 200), compress="deflate")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ImageFileError, match="damaged") as caught:
        open_raster(path).read(Window(0, 0, 200, 200), (0, 1, 2))
    assert "Read error at scanline" in caught.value.got


def test_a_header_cannot_make_one_block_take_minutes(tmp_path):
    path = write(tmp_path / "x.tif", noise(3, 512, 512), compress="deflate", interleave="pixel")
    content = bytearray(path.read_bytes())
    # The entry of tag 277, samples per pixel.
    place = content.index(b"\x15\x01\x03\x00\x01\x00\x00\x00")
    content[place + 8 : place + 10] = b"\x00\xff"
    path.write_bytes(content)
    with pytest.raises(ImageFileError):
        open_raster(path)
    many = write(tmp_path / "many.tif", noise(1, 2, 2).repeat(1025, 0))
    with pytest.raises(ImageFileError, match="more bands") as caught:
        open_raster(many)
    assert "1,025 bands" in caught.value.got


def test_complex_numbers_are_refused(tmp_path):
    path = write(tmp_path / "x.tif", noise(1, 4, 5).astype(np.complex64))
    with pytest.raises(ImageFileError, match="real numbers"):
        open_raster(path)


# Slides


def test_a_slide(tmp_path):
    pytest.importorskip("openslide")
    pixels = noise(512, 512, 3)
    # A tiled TIFF is what openslide's "generic tiled" reader takes.
    path = tmp_path / "x.svs"
    write(path, np.moveaxis(pixels, -1, 0), tiled=True, photometric="RGB", interleave="pixel")
    reader = open_raster(path)
    assert (reader.facts.size, reader.facts.bands) == ((512, 512), 3)
    found = reader.read(Window(100, 50, 400, 300), (2, 1, 0))
    np.testing.assert_array_equal(found, pixels[50:300, 100:400, ::-1])
    reader.close()


def test_what_is_no_slide_is_refused(tmp_path):
    pytest.importorskip("openslide")
    (tmp_path / "x.svs").write_text("no slide")
    with pytest.raises(ImageFileError, match="slide cannot be read"):
        open_raster(tmp_path / "x.svs")


def test_what_was_not_scanned_is_white(tmp_path):
    pytest.importorskip("openslide")
    path = tmp_path / "x.svs"
    write(path, noise(3, 256, 256), tiled=True, photometric="RGB", interleave="pixel")
    # Beyond the slide openslide gives transparent pixels.
    found = open_raster(path).read(Window(250, 250, 260, 260), (0, 1, 2))
    assert (found[7:, 7:] == 255).all()


# Zarr


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("layout", ["HWB", "BHW", "HW", "named"])
def test_a_zarr_array(tmp_path, version, layout):
    zarr = pytest.importorskip("zarr")
    pixels = noise(30, 40, 1 if layout == "HW" else 5, dtype=np.uint16)
    stored = {"HWB": pixels, "HW": pixels[..., 0]}.get(layout, np.moveaxis(pixels, -1, 0))
    names = None
    if layout == "named":
        # Bands may be as many as columns: the name says which axis they are.
        pixels = noise(30, 6, 7, dtype=np.uint16)
        stored, names = np.moveaxis(pixels, -1, 0), ["band", "y", "x"]
    path = tmp_path / "x.zarr"
    array = zarr.create_array(
        path, shape=stored.shape, dtype=stored.dtype, chunks=(8,) * stored.ndim, zarr_format=version
    )
    array[...] = stored
    if names:
        array.attrs["_ARRAY_DIMENSIONS"] = names
    assert is_raster(path, max_megapixels=200)
    reader = open_raster(path)
    assert (reader.facts.size, reader.facts.bands) == (pixels.shape[:2], pixels.shape[2])
    chosen = (0,) if layout == "HW" else (3, 0)
    found = reader.read(Window(1, 3, 5, 27), chosen)
    np.testing.assert_array_equal(found, pixels[3:27, 1:5][..., list(chosen)])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_read_at_its_finest_level(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    pixels = noise(1, 4, 1, 30, 40)
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=2 if version == "0.4" else 3)
    for level, step in (("0", 1), ("1", 2)):
        data = pixels[..., ::step, ::step]
        group.create_array(level, shape=data.shape, dtype=data.dtype)[...] = data
    axes = [{"name": name} for name in "tczyx"]
    scales = [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
    group.attrs.update(
        {"multiscales": scales} if version == "0.4" else {"ome": {"multiscales": scales}}
    )
    reader = open_raster(tmp_path / "x.zarr")
    assert (reader.facts.size, reader.facts.bands) == ((30, 40), 4)
    found = reader.read(Window(0, 0, 40, 30), (0, 1, 2, 3))
    np.testing.assert_array_equal(found, np.moveaxis(pixels[0, :, 0], 0, -1))


def test_zarr_that_is_no_picture(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", shape=(3, 4, 5, 6), dtype="uint8")
    with pytest.raises(ImageFileError, match="no picture"):
        open_raster(tmp_path / "a.zarr")
    group = zarr.create_group(tmp_path / "b.zarr")
    for name in "xy":
        group.create_array(name, shape=(3, 4), dtype="uint8")
    with pytest.raises(ImageFileError, match="several arrays"):
        open_raster(tmp_path / "b.zarr")
