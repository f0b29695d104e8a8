from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ImageFileError, OutputError, OutputExistsError, UsageError
from pixelwise.inference import rasters
from pixelwise.inference.card import Resize
from pixelwise.inference.jobs import Job, facts_in
from pixelwise.inference.rasters import RasterSettings, predict_raster
from pixelwise.inference.tile_plan import plan_tiles
from pixelwise.segmentation import PROVENANCE_KEY

rasterio = pytest.importorskip("rasterio")

PLACE = rasterio.Affine(0.3, 0, 3e5, 0, -0.3, 2.8e6)
TILES = RasterSettings(tile=64, overlap=0.25)


@pytest.fixture
def write(tmp_path):
    """Writes a raster `[H, W, B]`; gives its job."""

    def make(values, name="scene", **options):
        path = tmp_path / f"{name}.tif"
        height, width, bands = values.shape
        shape = {"height": height, "width": width, "count": bands, "dtype": values.dtype}
        placed = {"crs": "EPSG:32640", "transform": PLACE} | options
        with rasterio.open(path, "w", driver="GTiff", **shape, **placed) as file:
            file.write(np.moveaxis(values, -1, 0))
        return Job(path, type(path)(name))

    return make


@pytest.fixture(scope="module")
def model(load_toy, pointwise):
    return load_toy(pointwise(), multiple=8)


def blobs(height, width, bands=3, seed=0):
    """Pixels from 1 to 255, in cells of 4 × 4."""
    shape = (height // 4 + 1, width // 4 + 1, bands)
    cells = np.random.default_rng(seed).integers(1, 256, shape, np.uint8)
    return cells.repeat(4, 0).repeat(4, 1)[:height, :width]


def read(path, band=1):
    with rasterio.open(path) as file:
        return file.read(band)


def test_labels_with_place_colours_and_overviews(tmp_path, write, model, expected_labels):
    values = blobs(700, 1300)
    result = predict_raster(model, write(values), tmp_path / "out", TILES)
    labels = expected_labels(values)
    path = tmp_path / "out" / "labels" / "scene.tif"
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.transform == PLACE
        assert file.crs.to_epsg() == 32640
        assert file.nodata == 255
        assert file.overviews(1) == [2, 4]
        colours = file.colormap(1)
        assert [colours[i.id][:3] for i in model.classes] == [i.colour for i in model.classes]
        assert file.tags()["CLASS_2"] == "class 2"
        assert json.loads(file.tags()[PROVENANCE_KEY])["model"] == "toy"
    counts = np.bincount(labels.ravel(), minlength=4)
    assert {entry.id: entry.pixels for entry in result.classes} == {
        i: n for i, n in enumerate(counts.tolist()) if n
    }
    for entry in result.classes:
        assert entry.square_metres == pytest.approx(entry.pixels * 0.09)
        assert entry.share == pytest.approx(entry.pixels / labels.size)
    assert not (tmp_path / "out" / "partial").exists()


def test_the_overlay_shows_the_raster_under_its_classes(tmp_path, write, model):
    values = blobs(300, 2600)
    predict_raster(model, write(values), tmp_path / "out", TILES)
    shown = np.asarray(Image.open(tmp_path / "out" / "overlays" / "scene.png"))
    assert shown.shape[1] == 1300
    assert shown.shape[0] > 150


def test_confidence_and_probabilities(tmp_path, write, model):
    values = blobs(90, 130)
    settings = replace(TILES, confidence=True, probabilities=True)
    result = predict_raster(model, write(values), tmp_path / "out", settings)
    segmentation = model.predict(values)
    probabilities = segmentation.probabilities()
    with rasterio.open(result.outputs.probabilities) as file:
        found = file.read() * np.array(file.scales)[:, None, None]
        assert file.descriptions == tuple(model.classes.names)
        np.testing.assert_allclose(found, probabilities, atol=0.0021)
        assert file.nodata == 255
    with rasterio.open(result.outputs.confidence) as file:
        found = file.read(1) * file.scales[0]
    np.testing.assert_allclose(found, segmentation.confidence, atol=0.0021)


def test_pixels_without_data_have_no_class(tmp_path, write, load_toy, pointwise, expected_labels):
    # The mean of these numbers is far from 0: only where it takes their place is the bias left.
    mean = (100.0, 100.0, 100.0)
    toy = load_toy(pointwise(), multiple=8, mean=mean)
    values = blobs(100, 150).astype(np.float32)
    holes = np.zeros((100, 150), bool)
    holes[20:50, 30:90] = holes[70:, 100:] = True
    values[holes] = np.nan
    toy = load_toy(pointwise(), multiple=8, mean=mean, dtype="float32")
    settings = replace(TILES, confidence=True)
    result = predict_raster(toy, write(values), tmp_path / "out", settings)
    labels = read(result.outputs.labels)
    np.testing.assert_array_equal(labels == 255, holes)
    np.testing.assert_array_equal(labels[~holes], expected_labels(values - 100)[~holes])
    np.testing.assert_array_equal(read(result.outputs.confidence) == 255, holes)
    assert result.nodata_pixels == holes.sum()
    assert sum(entry.share for entry in result.classes) == pytest.approx(1)


def test_many_bands_of_whole_numbers(tmp_path, write, load_toy, pointwise, expected_labels):
    weights = np.array([[1, -1, 0, 2], [0, 1, 1, -1], [2, 0, -1, 0], [0, 0, 1, 0]], np.float32)
    bias = np.zeros(4, np.float32)
    numbers = {"mean": (0.0,) * 4, "std": (1.0,) * 4, "scale": 1.0, "dtype": "int16"}
    network = pointwise(weights, bias, shape=("B", 4, "H", "W"))
    toy = load_toy(network, multiple=8, bands=("B2", "B3", "B4", "B8"), **numbers)
    values = np.random.default_rng(0).integers(-2000, 2000, (70, 80, 6), np.int16)
    job = write(values)
    with rasterio.open(job.source, "r+") as file:
        file.descriptions = ("B1", "B2", "B3", "B4", "B5", "B8")
    result = predict_raster(toy, job, tmp_path / "out", TILES)
    expected = expected_labels(values[..., [1, 2, 3, 5]], weights, bias)
    np.testing.assert_array_equal(read(result.outputs.labels), expected)
    # The same through Python, whole.
    np.testing.assert_array_equal(toy.predict(job.source).labels, expected)
    np.testing.assert_array_equal(toy.predict(values[..., [1, 2, 3, 5]]).labels, expected)


@pytest.mark.parametrize("place", ["none", "rotated", "degrees", "equator"])
def test_places(tmp_path, write, model, place):
    turned = PLACE @ rasterio.Affine.rotation(30)
    options = {
        "none": {"crs": None, "transform": None},
        "rotated": {"transform": turned},
        "degrees": {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0, 7, 0, -0.1, 50)},
        "equator": {"crs": "EPSG:4326", "transform": rasterio.Affine(1, 0, 7, 0, -1, 30)},
    }[place]
    values = blobs(60, 70)
    result = predict_raster(model, write(values, **options), tmp_path / "out", TILES)
    metres = [entry.square_metres for entry in result.classes]
    with rasterio.open(result.outputs.labels) as file:
        if place == "none":
            assert file.transform.is_identity
            assert metres == [None] * len(metres)
            assert "areas are in pixels" in result.area_note
        elif place == "rotated":
            np.testing.assert_allclose(tuple(file.transform), tuple(turned))
            assert sum(metres) == pytest.approx(60 * 70 * 0.09)
        else:
            from pixelwise.formats.ground import pixel_areas

            rows = pixel_areas(file.transform, "EPSG:4326", 60)
            assert sum(metres) == pytest.approx(70 * rows.sum())
            labels = file.read(1)
            for entry in result.classes:
                expected = ((labels == entry.id).sum(axis=1) * rows).sum()
                assert entry.square_metres == pytest.approx(expected)


def test_strips_of_columns_come_together(tmp_path, write, model, monkeypatch, expected_labels):
    def in_two(*arguments, **options):
        return plan_tiles(*arguments, **options, strips=2)

    monkeypatch.setattr(rasters, "plan_tiles", in_two)
    values = blobs(100, 900)
    result = predict_raster(model, write(values), tmp_path / "out", TILES)
    np.testing.assert_array_equal(read(result.outputs.labels), expected_labels(values))


def test_a_second_run_finds_its_result_and_leaves_others_alone(tmp_path, write, model):
    job = write(blobs(60, 70))
    first = predict_raster(model, job, tmp_path / "out", TILES)
    before = first.outputs.labels.read_bytes()
    second = predict_raster(model, job, tmp_path / "out", TILES)
    assert second.skipped
    assert second.classes == first.classes
    other = replace(TILES, tta="flips")
    with pytest.raises(OutputExistsError, match="another picture, model or setting"):
        predict_raster(model, job, tmp_path / "out", other)
    assert first.outputs.labels.read_bytes() == before
    assert (
        predict_raster(model, job, tmp_path / "out", replace(other, overwrite=True)).skipped
        is False
    )
    first.outputs.labels.write_bytes(b"somebody's own file")
    with pytest.raises(OutputExistsError, match="no result of pixelwise"):
        predict_raster(model, job, tmp_path / "out", replace(TILES, overwrite=True))


def test_nothing_of_other_settings_stays_beside_new_labels(tmp_path, write, model):
    job, out = write(blobs(60, 70)), tmp_path / "out"
    rich = replace(TILES, confidence=True, probabilities=True, vector="gpkg")
    first = predict_raster(model, job, out, rich).outputs
    same = predict_raster(model, job, out, replace(TILES, overwrite=True))
    assert same.removed == ()
    other = replace(TILES, tta="flips", overwrite=True)
    assert set(predict_raster(model, job, out, other).removed) == {
        first.confidence,
        first.probabilities,
        first.polygons,
    }
    assert not first.polygons.exists()
    first.confidence.write_bytes(b"somebody's own file")
    assert predict_raster(model, job, out, replace(TILES, overwrite=True)).removed == ()
    assert first.confidence.read_bytes() == b"somebody's own file"


def test_polygons_that_are_made_anew_are_not_told_as_removed(tmp_path, write, model):
    pytest.importorskip("pyogrio")
    job, out = write(blobs(60, 70)), tmp_path / "out"
    predict_raster(model, job, out, replace(TILES, vector="geojson"))
    other = replace(TILES, tta="flips", vector="geojson", overwrite=True)
    result = predict_raster(model, job, out, other)
    assert result.removed == ()
    assert result.outputs.polygons.exists()


def test_a_raster_that_changes_leaves_no_result(tmp_path, write, model):
    job = write(blobs(200, 200))
    changed = []

    def progress(_):
        if not changed:
            changed.append(job.source.write_bytes(job.source.read_bytes() + b"\0"))

    with pytest.raises(ImageFileError, match="changed while it was read"):
        predict_raster(model, job, tmp_path / "out", TILES, progress=progress)
    assert not list((tmp_path / "out").glob("labels/*"))


def test_blocks_that_are_too_large_for_the_memory(tmp_path, write, model):
    job = write(blobs(1000, 1000), blockysize=1000, compress="deflate")
    settings = replace(TILES, memory=10_000_000)
    with pytest.raises(UsageError, match="blocks that are too large") as caught:
        predict_raster(model, job, tmp_path / "out", settings)
    assert "gdal_translate" in caught.value.fix


# Kills and full disks


_SLOWLY = """
import sys, time
from pathlib import Path
from pixelwise.inference import rasters
from pixelwise.inference.jobs import Job
from pixelwise.inference.predictor import load

stream = rasters.stream_tiles
def slowly(*arguments, **options):
    for stripe in stream(*arguments, **options):
        yield stripe
        time.sleep(0.03)

rasters._COMMIT_SECONDS = 0
rasters.stream_tiles = slowly
model = load(sys.argv[1], engine="onnxruntime", threads=1)
settings = rasters.RasterSettings(tile=64, confidence=True)
job = Job(Path(sys.argv[2]), Path("scene"))
rasters.predict_raster(model, job, Path(sys.argv[3]), settings)
"""


def test_after_kills_the_same_bytes_come_out(
    tmp_path, write, model, make_model, command_environment
):
    job = write(blobs(1000, 200, seed=3))
    path = make_model(multiple=8, resize=Resize(rule="none"))
    from pixelwise.inference.predictor import load

    toy = load(path, engine="onnxruntime", threads=1)
    settings = replace(TILES, confidence=True)
    whole = predict_raster(toy, job, tmp_path / "whole", settings)
    out = tmp_path / "out"
    journal = out / "partial" / "scene" / "journal.json"

    def stripes():
        try:
            return json.loads(journal.read_text())["progress"]["stripes"]
        except (OSError, ValueError):
            return 0

    seen = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _SLOWLY, path, job.source, out], env=command_environment
        )
        deadline = time.monotonic() + 60
        while stripes() <= seen + 1 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert stripes() > seen
        seen = stripes()
        assert not list(out.glob("labels/*.tif"))
    started = []
    result = predict_raster(
        toy, job, out, settings, on_plan=lambda plan, done: started.append((plan, done))
    )
    assert started[0][1] == seen
    assert len(started[0][0].windows) > seen
    for kind in ("labels", "confidence", "overlay"):
        first, second = (getattr(found.outputs, kind) for found in (whole, result))
        assert first.read_bytes() == second.read_bytes(), kind


def test_another_model_or_setting_begins_anew(tmp_path, write, model, monkeypatch):
    monkeypatch.setattr(rasters, "_COMMIT_SECONDS", 0)
    job = write(blobs(600, 100))

    def stop(tiles, seen=[0]):  # noqa: B006
        seen[0] += tiles
        if seen[0] > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_raster(model, job, tmp_path / "out", TILES, progress=stop)
    assert (tmp_path / "out" / "partial" / "scene" / "journal.json").exists()
    started = []
    for settings in (replace(TILES, tta="mirror"), replace(TILES, tta="mirror", overwrite=True)):
        predict_raster(
            model,
            job,
            tmp_path / "out",
            settings,
            on_plan=lambda _plan, done: started.append(done),
        )
    assert started == [0, 0]


def limited_write(size):
    """In a process of its own: no file may become larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@pytest.mark.parametrize("size", [3_000, 60_000])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, write, make_model, run_pixelwise, size):
    # Noise, so that labels take much of the limit.
    values = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
    job, path = write(values), make_model(multiple=8)
    other = job.source.with_name("other.tif")
    other.write_bytes(job.source.read_bytes())
    common = ("-o", tmp_path / "out", "--model", path, "--tile", 64)
    command = ("predict", job.source, other, *common)
    done = run_pixelwise(*command, preexec_fn=lambda: limited_write(size))
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("larger than this disk or process may write") == 1
    assert "stopped, since no result can be written: 1 of 2 pictures" in done.stderr
    assert not list((tmp_path / "out").glob("labels/*"))
    done = run_pixelwise(*command)
    assert done.returncode == 0, done.stderr
    assert facts_in(tmp_path / "out" / "labels" / "scene.tif")["model"] == "toy"


def test_an_output_folder_that_cannot_be(tmp_path, write, model):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError):
        predict_raster(model, write(blobs(9, 9)), tmp_path / "out", TILES)
