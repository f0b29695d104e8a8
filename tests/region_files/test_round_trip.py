"""Every form is read back to the label map that it was written from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from pixelwise import data
from pixelwise.formats.class_file import CLASSES, table_file
from pixelwise.region_files import REGION_FORMS, Regions, read_regions
from pixelwise.region_files.voc import encode_class_mask
from pixelwise.region_files.yolo import yolo_names

IDS = (0, 3, 7, 200)
LABELS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 4)
)
RINGS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 2],
        [0, 1, 1, 1, 1, 0, 2],
        [0, 1, 0, 2, 1, 0, 0],
        [0, 1, 2, 0, 1, 4, 0],
        [0, 1, 1, 1, 1, 3, 3],
        [2, 0, 0, 0, 0, 1, 3],
    ]
)
"""Holes, regions in holes, parts that touch at corners, and an ignored pixel (4)."""


def read_back(form, segmentation, folder):
    """Writes a picture and its regions, and reads the label map."""
    classes = segmentation.classes
    if form in ("svg", "geojson"):
        path = folder / f"p.{form}"
        segmentation.save_regions(path)
        return read_regions(path, classes)
    blank = Image.fromarray(np.zeros((*segmentation.size, 3), np.uint8))
    pictures = folder / ("JPEGImages" if form == "voc" else "images")
    pictures.mkdir()
    blank.save(pictures / "p.png")
    (folder / CLASSES).write_bytes(table_file(classes))
    inner = {"coco": "annotations", "yolo": "labels", "labelme": "images"}.get(form, "")
    segmentation.save_regions(folder / inner / f"p{REGION_FORMS[form]}", form)
    if form == "yolo":
        (folder / "data.yaml").write_bytes(yolo_names(classes))
    if form == "voc":
        regions = Regions.of(segmentation.labels, segmentation.segments(), classes, picture="p.png")
        (folder / "SegmentationClass").mkdir()
        (folder / "SegmentationClass" / "p.png").write_bytes(encode_class_mask(regions))
    opened = data.open(folder)
    assert opened.layout == form
    assert [fault for fault in opened.faults if fault.severity == "error"] == []
    target = opened.read_target(opened.entries[0], segmentation.size)
    assert opened.classes.ignore_index == classes.ignore_index
    assert opened.classes.names == classes.names
    assert opened.classes.ids == classes.ids
    return target.mask


@pytest.mark.parametrize("form", REGION_FORMS)
@settings(max_examples=8)
@given(labels=LABELS, background=st.booleans(), wide=st.booleans())
def test_the_label_map_comes_back(form, labels, background, wide, drawn, table):
    ids = (1, 3, 7, 900) if wide and form != "voc" else IDS
    if form == "yolo" and background:
        labels = labels % 4
    classes = table(ids=ids, background=background, ignore_index=65_535 if ids[3] > 255 else 255)
    segmentation = drawn(np.array([*ids, classes.ignore_index])[labels], classes)
    with tempfile.TemporaryDirectory() as folder:
        found = read_back(form, segmentation, Path(folder))
    np.testing.assert_array_equal(found, segmentation.labels)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("form", REGION_FORMS)
def test_holes_corners_and_ignored_pixels_come_back(form, background, drawn, table, tmp_path):
    labels = RINGS % 4 if form == "yolo" and background else RINGS
    segmentation = drawn(np.array([*IDS, 255])[labels], table(background=background))
    found = read_back(form, segmentation, tmp_path)
    np.testing.assert_array_equal(found, segmentation.labels)
