"""COCO's panoptic form: every segment of the PNG is one of the JSON file's, and the reverse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelwise import data
from pixelwise.errors import MaskFileError

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 184, "name": "tree-merged", "isthing": 0},
]
NUMBERS = np.array([[0, 7, 7, 70_000], [0, 300, 300, 70_000]])


def segment(number, category=1, area=2, **others):
    return {"id": number, "category_id": category, "area": area, "iscrowd": 0} | others


MISSING = "a file of the annotation file is not there"
BARE = {"image_id": 5, "file_name": "a.png", "segments_info": []}
SEGMENTS = [segment(300), segment(7), segment(70_000, 184)]


@pytest.fixture
def write(tmp_path):
    """Writes a picture, its PNG and the annotation file; gives the opened data set."""

    def write(segments=SEGMENTS, numbers=NUMBERS, request=None, **others):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "panoptic_val2017").mkdir(exist_ok=True)
        Image.new("RGB", NUMBERS.shape[::-1]).save(tmp_path / "images/a.jpg")
        colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65_536], axis=-1)
        Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "panoptic_val2017/a.png")
        content = {
            "images": [{"id": 5, "file_name": "a.jpg", "height": 2, "width": 4}],
            "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}],
            "categories": CATEGORIES,
        }
        (tmp_path / "panoptic_val2017.json").write_text(json.dumps(content | others))
        return data.open(tmp_path, **(request or {}))

    return write


def test_colours_are_numbers_of_segments(write):
    dataset = write()
    assert (dataset.layout, dataset.splits, dataset.faults) == ("panoptic", ("val",), ())
    target = dataset[0].target
    assert target.mask.tolist() == [[255, 1, 1, 184], [255, 1, 1, 184]]
    assert target.instances.tolist() == [[0, 2, 2, 0], [0, 1, 1, 0]]
    assert dataset.rest is None


def test_other_kinds_hold_the_same_classes(write):
    mask = write(request={"kind": "multi_class"})[0].target.mask
    layers = write(request={"kind": "multi_label"})[0].target
    np.testing.assert_array_equal(layers.layers, [mask == 1, mask == 184])
    np.testing.assert_array_equal(layers.ignore, mask == 255)


def test_crowds_have_no_number(write):
    target = write([segment(300, iscrowd=1), *SEGMENTS[1:]])[0].target
    assert target.instances[1].tolist() == [0, 0, 0, 0]
    assert target.mask[1].tolist() == [255, 1, 1, 184]


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (SEGMENTS[1:], "in the PNG that the JSON lacks: 300"),
        ([*SEGMENTS, segment(9)], "in the JSON that the PNG lacks: 9"),
        ([segment(300, area=5), *SEGMENTS[1:]], "300: 2 pixels, area 5"),
        ([], "lacks: 7, 300, 70000"),
    ],
)
def test_png_and_json_must_tell_the_same_segments(write, segments, said):
    with pytest.raises(MaskFileError, match="different segments") as caught:
        write(segments)[0]
    assert said in caught.value.got
    assert "a.png" in caught.value.where


def test_all_differences_are_told_at_once(write):
    with pytest.raises(MaskFileError) as caught:
        write([segment(9), segment(7, area=1), segment(70_000, 184)])[0]
    for part in ("JSON lacks: 300", "PNG lacks: 9", "7: 2 pixels, area 1"):
        assert part in caught.value.got


def test_a_segment_without_area_is_not_checked_for_it(write):
    assert write([segment(300, area=None), *SEGMENTS[1:]])[0].target.mask[1, 1] == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"segments": [segment(300, 9), *SEGMENTS[1:]]},
            "a segment is of a category that the file does not list",
        ),
        ({"segments": [*SEGMENTS, segment(300)]}, "a segment has no number of its own"),
        ({"segments": [*SEGMENTS, segment(2**24)]}, "a segment has no number of its own"),
        ({"segments": [*SEGMENTS, segment("x"), 4]}, "a segment has no number of its own"),
        ({"images": []}, "an annotation is of an image that the file does not list"),
        ({"images": [{"id": 5, "file_name": "b.jpg"}]}, MISSING),
        ({"annotations": [{"image_id": 5, "file_name": "../b.png"}]}, MISSING),
        ({"annotations": [BARE, BARE]}, "a picture stands twice in the annotations"),
    ],
)
def test_faults_of_the_file_are_told(write, changes, what):
    # Some of these files have no segments left by which the layout would be known.
    dataset = write(**changes, info="segments_info", request={"layout": "panoptic"})
    assert {fault.what for fault in dataset.faults if fault.severity == "error"} == {what}


def test_unknown_categories_are_ignored_pixels(write):
    target = write([segment(300, 9), *SEGMENTS[1:]])[0].target
    assert target.mask[1, 1] == 255


def test_a_png_of_another_size_is_refused(write):
    numbers = np.full((3, 4), 7)
    with pytest.raises(MaskFileError, match="differ in size"):
        write([segment(7, area=12)], numbers)[0]


def test_a_missing_png_is_a_fault_and_a_broken_one_an_error(write):
    root = write().root
    (root / "panoptic_val2017/a.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(MaskFileError, match="cannot be read"):
        data.open(root)[0]
    (root / "panoptic_val2017/a.png").unlink()
    assert {fault.what for fault in data.open(root).faults} == {
        "a file of the annotation file is not there"
    }
