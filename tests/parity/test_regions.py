"""Regions in COCO's forms, read by pycocotools."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.boxes import non_maximum_suppression
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.region_files import coco_results
from pixelwise.segmentation import Provenance, Segmentation

mask_tools = pytest.importorskip("pycocotools.mask")
coco_tools = pytest.importorskip("pycocotools.coco")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = ("background", "car", "tree", "road")
TABLE = ClassTable(
    "drawn",
    tuple(ClassInfo(place, name, (place, place, 9)) for place, name in enumerate(NAMES)),
    255,
    "made for a test",
)
LABELS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 3)
)


def segmentation_of(labels):
    scores = np.where(labels == np.arange(4)[:, None, None], 3, 0).astype(np.float32)
    height, width = labels.shape
    geometry = Geometry(Axis.half_pixel(height, height), Axis.half_pixel(width, width))
    origin = Provenance("toy", "0" * 64, "numpy", labels.shape, "photos/p.png", "0")
    return Segmentation(scores, TABLE, geometry, origin)


@settings(max_examples=30)
@given(LABELS)
def test_run_lengths_and_masks_of_segments_are_theirs(labels):
    for segment in segmentation_of(labels).segments():
        whole = np.zeros(labels.shape, np.uint8, order="F")
        left, top, right, bottom = segment.box
        whole[top:bottom, left:right] = segment.mask
        theirs = mask_tools.encode(whole)
        assert segment.rle == {
            "size": [*labels.shape],
            "counts": theirs["counts"].decode(),
        }
        assert mask_tools.area(segment.rle) == segment.area
        assert mask_tools.toBbox(segment.rle).tolist() == [left, top, right - left, bottom - top]


@settings(max_examples=15)
@given(LABELS)
def test_their_reader_gives_the_label_map_of_the_file(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("coco") / "p.json"
    segmentation = segmentation_of(labels)
    segmentation.save_regions(path, "coco")
    read = coco_tools.COCO(str(path))
    found = np.zeros(labels.shape, np.uint8)
    for annotation in read.anns.values():
        mask = read.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        assert not found[mask > 0].any()
        found[mask > 0] = TABLE.find(read.cats[annotation["category_id"]]["name"]).id
    np.testing.assert_array_equal(found, labels)


def test_results_are_loaded_and_boxes_suppressed(tmp_path):
    labels = np.zeros((12, 20), np.uint8)
    labels[2:5, 3:9] = 1
    labels[7:11, 1:4] = 2
    segmentation = segmentation_of(labels)
    path = tmp_path / "truth.json"
    segmentation.save_regions(path, "coco")
    truth = coco_tools.COCO(str(path))
    results = coco_results(segmentation.segments(), TABLE, image_id=1)
    loaded = truth.loadRes(json.loads(json.dumps(results)))
    assert sorted(each["area"] for each in loaded.anns.values()) == [12, 18]
    boxes = segmentation.boxes()
    assert boxes.boxes.tolist() == [[3, 2, 9, 5], [1, 7, 4, 11]]
    kept = non_maximum_suppression(boxes.boxes, boxes.scores, boxes.classes)
    assert kept.places.tolist() == [0, 1]
