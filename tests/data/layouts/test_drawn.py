"""No content of an annotation file crashes: it is read, told as a fault, or refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise import data
from pixelwise.data.layouts.drawn import FaultList, PictureFiles, peek
from pixelwise.data.listing import Listing
from pixelwise.errors import DatasetError, PixelwiseError

SQUARE = [1, 1, 4, 1, 4, 4]
PAIRS = [[1, 1], [4, 1], [4, 4]]
IMAGES = [{"id": 1, "file_name": "a.png", "height": 5, "width": 6}]
CATEGORIES = [{"id": 1, "name": "cat", "color": [1, 2, 3], "isthing": 1}]
RUNS = {"size": [5, 6], "counts": [3, 27]}
REGION = {
    "type": "polygonlabels",
    "original_width": 6,
    "original_height": 5,
    "image_rotation": 0,
    "value": {"points": PAIRS, "polygonlabels": ["cat"]},
}
BRUSH = REGION | {
    "type": "brushlabels",
    "value": {"rle": [0, 0, 0, 120, 57, 27, 255], "brushlabels": ["a"]},
}
DOCUMENTS = {
    "coco": {
        "images": IMAGES,
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0},
            {"image_id": 1, "category_id": 1, "segmentation": RUNS, "iscrowd": 1},
            {"image_id": 1, "category_id": 1, "segmentation": RUNS | {"counts": "3K"}},
        ],
        "categories": CATEGORIES,
        "info": {"uncovered_pixels": "cat"},
    },
    "panoptic": {
        "images": IMAGES,
        "annotations": [
            {
                "image_id": 1,
                "file_name": "b.png",
                "segments_info": [{"id": 7, "category_id": 1, "area": 30, "iscrowd": 0}],
            }
        ],
        "categories": CATEGORIES,
    },
    "labelme": {
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 5,
        "imageWidth": 6,
        "shapes": [
            {"label": "cat", "points": PAIRS, "shape_type": "polygon", "group_id": 1},
            {"label": "dog", "points": PAIRS[:2], "shape_type": "circle"},
            {"label": "dog", "points": PAIRS[:2], "shape_type": "mask", "mask": "iVBORw0K"},
        ],
    },
    "label_studio": [{"data": {"image": "/x/a.png"}, "annotations": [{"result": [REGION, BRUSH]}]}],
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**200, 1e308])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["../a.png", "/a.png", "a.png", "cat", "__ignore__", "\x00", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in parts:
        yield from places(part, (*path, key))


def changed(document, path, value):
    document = copy.deepcopy(document)
    if not path:
        return value
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("layout", DOCUMENTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_no_content_crashes(layout, tmp_path, drawn):
    Image.new("RGB", (6, 5)).save(tmp_path / "a.png")
    Image.new("RGB", (6, 5), (7, 0, 0)).save(tmp_path / "b.png")
    document = DOCUMENTS[layout]
    path = drawn.draw(st.sampled_from(sorted(places(document), key=repr)))
    value = drawn.draw(VALUES | st.just(...)) if path else drawn.draw(VALUES)
    (tmp_path / "a.json").write_text(json.dumps(changed(document, path, value)))
    try:
        dataset = data.open(tmp_path / "a.json", layout=layout)
    except DatasetError:
        return
    for place in range(len(dataset)):
        try:
            target = dataset[place].target
        except PixelwiseError:
            continue
        assert target.size == (5, 6)
        known = {*dataset.classes.ids, dataset.classes.ignore_index}
        assert set(np.unique(target.mask).tolist()) <= known
    for fault in dataset.faults:
        assert fault.what
        assert len(fault.got) < 3000


def listing_of(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return Listing.of(tmp_path)


@pytest.mark.parametrize(
    ("name", "near", "prefer", "found"),
    [
        ("a.png", "x", "", "x/a.png"),
        ("../y/b.png", "x", "", "y/b.png"),
        ("./x/./a.png", "", "", "x/a.png"),
        ("b.png", "", "", "y/b.png"),
        ("deep/y/b.png", "", "", "y/b.png"),
        ("a.png", "", "z", "z/a.png"),
        ("z\\a.png", "", "", "z/a.png"),
        ("a.png", "", "", ""),
        ("../../b.png", "x", "", ""),
        ("/y/b.png", "", "", ""),
        ("C:/y/b.png", "", "", ""),
        ("c.png", "", "", ""),
        ("", "", "", ""),
        (None, "", "", ""),
        ("..", "", "", ""),
    ],
)
def test_pictures_are_found_below_the_root_only(tmp_path, name, near, prefer, found):
    files = PictureFiles(listing_of(tmp_path, "x/a.png", "z/a.png", "y/b.png", "y/no.txt"))
    path, complaint = files.find(name, near, prefer=prefer)
    assert path == found
    assert bool(complaint) == (not found)


def test_unused_pictures_count_in_used_folders_only(tmp_path):
    files = PictureFiles(listing_of(tmp_path, "x/a.png", "x/b.png", "y/c.png"))
    assert files.lone(["x/a.png"]) == ["x/b.png"]


def test_peeks_see_the_start_and_the_end(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("start" + " " * 500_000 + "end")
    assert peek(path).startswith("start")
    assert peek(path).endswith("end")
    path.write_text("short")
    assert peek(path) == "short"
    assert peek(tmp_path / "none.json") == ""


def test_faults_of_one_kind_and_file_are_limited():
    faults = FaultList()
    for number in range(1003):
        faults.add("odd", "a.json", got=str(number))
    faults.add("odd", "b.json", warning=True)
    found = faults.all()
    assert len(found) == 1002
    assert found[1000].severity == "warning"
    assert found[-1].got == "and 3 more of this kind"
