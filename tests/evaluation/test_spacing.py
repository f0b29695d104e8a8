from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.errors import DatasetError, ImageFileError, MissingExtraError
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.opening import folder_subject
from pixelwise.evaluation.sources import SetTruth
from pixelwise.evaluation.spacing import Spacings, spacings_of
from pixelwise.formats.spacing import Spacing

rasterio = pytest.importorskip("rasterio")
METRIC = "EPSG:32633"


def write(path, ids, width, height, system=METRIC, skew=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    place = rasterio.Affine(width, skew, 5e5, 0, -height, 5e6)
    size = {"height": ids.shape[0], "width": ids.shape[1]}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=ids.dtype, crs=system, transform=place, **size
    ) as out:
        out.write(ids[None])


def bars(apart):
    """A truth and a prediction of one bar each, so many columns apart."""
    maps = np.zeros((2, 6, 20), np.uint8)
    maps[0, :, 3] = maps[1, :, 3 + apart] = 1
    return maps


@pytest.fixture
def folders(tmp_path):
    """Two pictures, 2 and 4 columns apart, of pixels 0.5 m and 10 m wide."""
    for name, apart, width in (("a", 2, 0.5), ("b", 4, 10)):
        true, found = bars(apart)
        write(tmp_path / "true" / f"{name}.tif", true, width, 3)
        (tmp_path / "found").mkdir(exist_ok=True)
        Image.fromarray(found).save(tmp_path / "found" / f"{name}.png")
    return tmp_path


def distance_of(subject, **options):
    evaluation = evaluate(subject, measures_of(subject, distances=True, **options))
    return evaluation.by_class["average_distance"][1].value


def test_distances_are_in_metres_where_the_truth_says_so(folders):
    subject = folder_subject(folders / "found", folders / "true")
    found = spacings_of(subject)
    assert (found.unit, found.sizes) == ("m", ((3, 0.5), (3, 10)))
    assert distance_of(subject) == pytest.approx((2 * 0.5 + 4 * 10) / 2)


def test_what_is_said_goes_before_what_files_say(folders):
    subject = folder_subject(folders / "found", folders / "true")
    assert distance_of(subject, spacing=Spacing(1, 0.25, "mm")) == pytest.approx(0.75)
    assert distance_of(subject, spacing=Spacing()) == pytest.approx(3)
    assert spacings_of(subject, Spacing(1, 0.25, "mm")).told.endswith(
        "in mm: a pixel is 1 × 0.25 mm (height × width), as given"
    )


def test_the_picture_tells_where_the_mask_does_not(tmp_path):
    pixels = np.zeros((6, 20), np.uint16)
    for name in ("a", "b"):
        write(tmp_path / "images" / f"{name}.tif", pixels, 10, 20)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(bars(1)[0]).save(tmp_path / "masks" / f"{name}.png")
    truth = SetTruth(pw.data.open(tmp_path), "", ())
    assert truth.spacing(0) == Spacing(20, 10, "m")


def test_some_with_and_some_without_are_refused_with_their_counts(folders):
    for name in ("c", "d", "e"):
        for folder in ("true", "found"):
            Image.fromarray(bars(0)[0]).save(folders / folder / f"{name}.png")
    subject = folder_subject(folders / "found", folders / "true")
    with pytest.raises(DatasetError, match="some have none") as caught:
        measures_of(subject, distances=True)
    lines = [line.strip() for line in caught.value.got.splitlines()]
    assert lines == ["2 pictures in m: a, b", "3 pictures without a size: c, d, e"]
    assert "--spacing px" in caught.value.fix
    assert measures_of(subject)
    assert distance_of(subject, spacing=Spacing()) == pytest.approx(6 / 5)


def test_a_raster_that_cannot_be_measured_on_is_left_out_and_told(folders):
    write(folders / "true" / "b.tif", bars(4)[0], 10, 3, skew=5)
    subject = folder_subject(folders / "found", folders / "true")
    evaluation = evaluate(subject, measures_of(subject, distances=True))
    assert [fault.file for fault in evaluation.faults] == ["b"]
    assert "no rectangles" in evaluation.faults[0].what
    assert evaluation.by_class["average_distance"][1].value == 1
    assert len(evaluate(subject).names) == 2


def test_a_fault_is_raised_for_its_picture_alone():
    spacings = Spacings("m", ((1.0, 2.0), (1.0, 1.0)), "x", {1: ImageFileError("skewed")})
    assert spacings.of(0) == (1, 2)
    assert "a pixel is 1 × 2 m" in spacings.told
    with pytest.raises(ImageFileError, match="skewed"):
        spacings.of(1)


def test_a_missing_package_stops_at_once(folders, monkeypatch):
    subject = folder_subject(folders / "found", folders / "true")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError):
        spacings_of(subject)
