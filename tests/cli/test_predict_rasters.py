from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.cli.rasters import parse_bands, parse_memory, parse_range
from pixelwise.errors import UsageError

rasterio = pytest.importorskip("rasterio")

PLACE = rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """Writes a raster into a folder that the commands run in."""
    monkeypatch.chdir(tmp_path)

    def make(name="scene.tif", bands=3, dtype="uint8", size=(90, 120), **options):
        values = np.random.default_rng(0).integers(1, 200, (bands, *size)).astype(dtype)
        shape = {"count": bands, "height": size[0], "width": size[1], "dtype": dtype}
        placed = {"crs": "EPSG:32640", "transform": PLACE} | options
        with rasterio.open(tmp_path / name, "w", driver="GTiff", **shape, **placed) as file:
            file.write(values)
        return np.moveaxis(values, 0, -1)

    return make


@pytest.fixture
def predict(command, make_model):
    model = make_model(multiple=8)

    def run(*arguments):
        return command("predict", *arguments, "--model", model, "--engine", "onnxruntime")

    return run


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_a_raster_becomes_a_raster_and_a_table(scene, predict, expected_labels):
    labels = expected_labels(scene())
    code, out, _ = predict("scene.tif", "-o", "out", "--tile", "64", "--confidence")
    assert code == 0
    np.testing.assert_array_equal(read("out/labels/scene.tif"), labels)
    assert "scene.tif: 120 × 90 pixels, EPSG:32640" in out
    counts = np.bincount(labels.ravel(), minlength=4)
    best = int(counts.argmax())
    row = next(line for line in out.splitlines() if f"class {best}" in line)
    assert f"{counts[best]:,}" in row
    assert f"{counts[best] * 0.25:,.1f}" in row
    assert "out/confidence/scene.tif" in out
    again = predict("scene.tif", "-o", "out", "--tile", "64", "--confidence")
    assert again[0] == 0
    assert again[1].replace("already there", "done") == out


@pytest.mark.parametrize("vector", ["gpkg", "geojson", "mine.gpkg"])
def test_a_raster_becomes_polygons(scene, predict, expected_labels, vector):
    pyogrio = pytest.importorskip("pyogrio")
    labels = expected_labels(scene())
    code, out, _ = predict("scene.tif", "-o", "out", "--tile", "64", "--vector", vector)
    assert code == 0
    path = vector if "." in vector else f"out/polygons/scene.{vector}"
    assert path in out
    names, _, _, values = pyogrio.raw.read(path)
    column = dict(zip(names["fields"].tolist(), values, strict=True))
    pixels = np.bincount(column["class_id"], column["area_px"], minlength=4)
    np.testing.assert_array_equal(pixels, np.bincount(labels.ravel(), minlength=4))
    np.testing.assert_allclose(column["area_m2"], column["area_px"] * 0.25)
    labels_file = Path("out/labels/scene.tif")
    written = labels_file.stat().st_mtime_ns
    assert (
        "already there" in predict("scene.tif", "-o", "out", "--tile", "64", "--vector", vector)[1]
    )
    Path(path).unlink()
    again = predict("scene.tif", "-o", "out", "--tile", "64", "--vector", vector)
    assert "done" in again[1]
    assert labels_file.stat().st_mtime_ns == written
    assert Path(path).is_file()
    Path(path).write_bytes(b"mine")
    code, _, error = predict("scene.tif", "-o", "out", "--vector", vector, "--overwrite")
    assert code == 1
    assert "no result of pixelwise; it stays" in error
    assert Path(path).read_bytes() == b"mine"


def test_polygons_need_a_name_that_tells(scene, predict):
    scene("a.tif")
    scene("b.tif")
    code, _, error = predict("a.tif", "--vector", "polygons.shp")
    assert (code, "GeoPackage or in GeoJSON" in error) == (2, True)
    code, _, error = predict("a.tif", "b.tif", "--vector", "both.gpkg")
    assert (code, "several rasters" in error) == (2, True)


def test_polygons_have_the_confidence_that_is_asked_for(scene, predict):
    pyogrio = pytest.importorskip("pyogrio")
    scene()
    wanted = ("--confidence", "--vector", "gpkg")
    assert predict("scene.tif", "-o", "out", "--tile", "64", *wanted)[0] == 0
    names, _, _, values = pyogrio.raw.read("out/polygons/scene.gpkg")
    column = dict(zip(names["fields"].tolist(), values, strict=True))
    with rasterio.open("out/confidence/scene.tif") as file:
        whole = file.read(1).astype(float) / 250
    mean = np.average(column["confidence"], weights=column["area_px"])
    assert mean == pytest.approx(whole.mean(), abs=1e-5)


def test_polygons_without_the_confidence_that_is_asked_for_later_are_made_anew(scene, predict):
    pyogrio = pytest.importorskip("pyogrio")
    scene()
    usual = ("scene.tif", "-o", "out", "--tile", "64")
    assert predict(*usual, "--vector", "gpkg")[0] == 0
    assert predict(*usual, "--confidence")[0] == 0
    code, out, _ = predict(*usual, "--vector", "gpkg", "--confidence")
    assert code == 0
    assert "already there" not in out
    assert "confidence" in pyogrio.raw.read("out/polygons/scene.gpkg")[0]["fields"]
    assert "already there" in predict(*usual, "--vector", "gpkg", "--confidence")[1]
    assert "already there" in predict(*usual, "--vector", "gpkg")[1]


def test_what_is_removed_is_told(scene, predict, make_photos, tmp_path):
    scene()
    make_photos(tmp_path, "photo.png")
    usual = ("scene.tif", "photo.png", "-o", "out", "--tile", "64")
    assert predict(*usual, "--probabilities")[0] == 0
    code, _, error = predict(*usual, "--tta", "mirror", "--overwrite")
    assert code == 0
    for path in ("out/probabilities/photo.npz", "out/probabilities/scene.tif"):
        assert f"made by another model or setting than the labels: {path}" in error
        assert not Path(path).exists()


def test_a_folder_that_cannot_be_is_told_before_the_network_runs(scene, predict, tmp_path):
    scene()
    (tmp_path / "file").write_text("x")
    code, _, error = predict("scene.tif", "-o", "out", "--vector", "file/mine.gpkg")
    assert code == 1
    assert "file" in error
    assert not Path("out/labels/scene.tif").exists()


def test_photos_and_rasters_in_one_folder(scene, predict, make_photos, tmp_path):
    (tmp_path / "in").mkdir()
    scene("in/scene.tif")
    make_photos(tmp_path / "in", "a.png")
    code, out, _ = predict("in", "-o", "out", "--json")
    assert code == 0
    document = json.loads(out)
    assert [entry["source"] for entry in document["pictures"]] == ["in/a.png"]
    (raster,) = document["rasters"]
    assert raster["outputs"] == {
        "labels": "out/labels/scene.tif",
        "overlay": "out/overlays/scene.png",
    }
    assert raster["crs"] == "EPSG:32640"
    total = sum(entry["square_metres"] for entry in raster["classes"])
    assert total == pytest.approx(90 * 120 * 0.25)
    assert sum(entry["hectares"] for entry in raster["classes"]) == pytest.approx(total / 1e4)


@pytest.mark.parametrize(
    "options",
    [
        ("--vector", "gpkg"),
        ("--memory", "1G"),
        ("--bands", "3,2,1"),
        ("--range", "0,9"),
        ("--confidence",),
        ("--allow-references",),
    ],
)
def test_options_of_rasters_are_refused_where_all_are_photos(
    predict, make_photos, tmp_path, monkeypatch, options
):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, "a.png")
    code, _, error = predict("a.png", "-o", "out", *options)
    assert (code, "for rasters" in error, options[0] in error) == (2, True, True)
    assert not Path("out").exists()


def test_a_plain_tiff_is_a_raster_to_a_model_of_other_bands(
    scene, command, make_model, make_card, pointwise, expected_labels
):
    weights = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    network = pointwise(weights, np.zeros(4, np.float32), shape=("B", 4, "H", "W"))
    model = make_model(network=network, card=make_card(mean=(0.0,) * 4, std=(1.0,) * 4))
    plain = {"crs": None, "transform": None, "photometric": "minisblack", "alpha": "unspecified"}
    values = scene("plain.tif", bands=4, **plain)
    code, _, error = command(
        "predict", "plain.tif", "-o", "out", "--model", model, "--engine", "onnxruntime"
    )
    assert (code, error) == (0, "")
    expected = expected_labels(values, weights, np.zeros(4, np.float32))
    np.testing.assert_array_equal(read("out/labels/plain.tif"), expected)
    pytest.importorskip("ray")
    code, _, error = command("predict", "plain.tif", "-o", "out", "--model", model, "--ray=local")
    assert (code, "this model takes rasters" in error) == (2, True)


def test_results_go_where_a_file_address_says(scene, predict, tmp_path):
    scene()
    code, _, _ = predict((tmp_path / "scene.tif").as_uri(), "-o", (tmp_path / "out").as_uri())
    assert code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scene.tif", "toy.onnx"]


def test_several_rasters_are_several_results(scene, predict):
    scene("a.tif")
    scene("b.tif", size=(30, 50), crs="EPSG:4326", transform=rasterio.Affine(1, 0, 0, 0, -1, 50))
    code, out, _ = predict("a.tif", "b.tif", "-o", "out")
    assert code == 0
    assert read("out/labels/a.tif").shape == (90, 120)
    assert read("out/labels/b.tif").shape == (30, 50)
    assert "EPSG:4326" in out


def test_bands_and_range(scene, predict, expected_labels):
    values = scene(bands=5, dtype="uint16")
    code, _, error = predict("scene.tif", "-o", "out")
    assert (code, "5 bands" in error, "--bands" in error) == (1, True, True)
    code, _, error = predict("scene.tif", "-o", "out", "--bands", "4,3,2")
    assert (code, "uint16, from" in error, "--range" in error) == (1, True, True)
    code, _, _ = predict("scene.tif", "-o", "out", "--bands", "4,3,2", "--range", "0,255")
    assert code == 0
    expected = expected_labels(values[..., [3, 2, 1]])
    np.testing.assert_array_equal(read("out/labels/scene.tif"), expected)


def test_a_raster_without_a_place_is_measured_in_pixels(scene, predict):
    scene(bands=3, dtype="uint16", crs=None, transform=None)
    code, out, _ = predict("scene.tif", "-o", "out", "--range", "0,255")
    assert code == 0
    assert "m²" not in out
    assert "areas are in pixels" in out


def test_a_photo_is_streamed_where_memory_is_capped(tmp_path, monkeypatch, predict):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save("photo.tif")
    assert predict("photo.tif", "-o", "a")[0] == 0
    assert predict("photo.tif", "-o", "b", "--memory", "2G", "--tile", "32")[0] == 0
    whole = np.asarray(Image.open("a/labels/photo.png"))
    np.testing.assert_array_equal(read("b/labels/photo.tif"), whole)


def test_rasters_alone_are_refused_before_ray_is_looked_for(scene, predict):
    pytest.importorskip("pyarrow")
    scene("a.tif")
    scene("b.tif")
    code, _, error = predict("a.tif", "b.tif", "-o", "out", "--ray", "127.0.0.1:1")
    assert code == 2
    assert "2 rasters and no photo, the first a.tif" in error
    assert "leave --ray away" in error
    assert not Path("out").exists()


def test_faults_of_one_raster_leave_the_others(scene, predict, tmp_path):
    scene("good.tif")
    (tmp_path / "refers.vrt").write_text("<VRTDataset/>")
    code, out, error = predict("good.tif", "refers.vrt", "-o", "out")
    assert code == 1
    assert "refers to other files" in error
    assert "good.tif" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--memory", "much"), "size in memory"),
        (("--range", "5"), "range is two numbers"),
        (("--range", "5,5"), "range is two numbers"),
        (("--range", "0,inf"), "range is two numbers"),
        (("--layers",), "rasters have none of these"),
        (("--at", "1,1"), "rasters have none of these"),
        (("--refine", "guided", "--min-area", "9"), "--refine, --min-area"),
    ],
)
def test_options_that_cannot_be(scene, predict, arguments, said):
    scene()
    code, _, error = predict("scene.tif", "-o", "out", *arguments)
    assert code == 2
    assert said in error


def test_a_cap_that_is_too_small_names_the_smallest(scene, predict):
    scene()
    code, _, error = predict("scene.tif", "-o", "out", "--memory", "20M")
    assert code == 1
    assert "the smallest possible is" in error
    assert "scene.tif" in error


@pytest.mark.parametrize(
    ("text", "size"),
    [("1G", 2**30), ("500M", 500 * 2**20), ("1.5GiB", 3 * 2**29), ("2 gb", 2**31), ("4096", 4096)],
)
def test_sizes_in_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "1X", "1 G B"])
def test_what_is_no_size_in_memory(text):
    with pytest.raises(UsageError):
        parse_memory(text)


def test_the_default_cap_is_part_of_what_is_free():
    assert parse_memory(None) >= 2**30


def test_bands_and_ranges_are_parsed():
    assert parse_bands(None) == ()
    assert parse_bands("4, B3,2") == ("4", "B3", "2")
    assert parse_range(None) is None
    assert parse_range("-25,0.5") == (-25, 0.5)


_SLOW = """
import sys, time
from pixelwise.inference import rasters
stream = rasters.stream_tiles
def slowly(*arguments, **options):
    for stripe in stream(*arguments, **options):
        yield stripe
        time.sleep(0.1)
rasters._COMMIT_SECONDS = 0
rasters.stream_tiles = slowly
from pixelwise.__main__ import main
main()
"""


def test_an_interrupted_run_says_that_it_goes_on(scene, make_model, command_environment, tmp_path):
    scene(size=(600, 60))
    arguments = ["predict", "scene.tif", "-o", "out", "--tile", "32"]
    arguments += ["--model", str(make_model(multiple=8)), "--engine", "onnxruntime"]
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, *arguments],
        env=command_environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "out" / "partial" / "scene" / "journal.json"
    deadline = time.monotonic() + 60
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in error
    assert not list(tmp_path.glob("out/labels/*"))
    done = subprocess.run(
        [sys.executable, "-m", "pixelwise", *arguments],
        env=command_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "goes on after" in done.stderr


def test_zarr_and_slides_beside_photos(tmp_path, monkeypatch, predict, expected_labels, scene):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("openslide")
    (tmp_path / "in").mkdir()
    values = scene("in/slide.svs", size=(256, 256), tiled=True, photometric="RGB", crs=None)
    array = zarr.create_array(tmp_path / "scene.zarr", shape=values.shape, dtype="uint8")
    array[...] = values
    code, out, _ = predict("in", "scene.zarr", "-o", "out")
    assert code == 0
    for name in ("slide", "scene"):
        np.testing.assert_array_equal(read(f"out/labels/{name}.tif"), expected_labels(values))
    assert out.count("areas are in pixels") == 2
