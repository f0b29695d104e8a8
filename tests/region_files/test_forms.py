from __future__ import annotations

import base64
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import OutputError, UsageError
from pixelwise.region_files import REGION_FORMS, Regions, region_form
from pixelwise.region_files.voc import encode_class_mask

HOLED = np.array([[3, 3, 3, 0], [3, 0, 3, 7], [3, 3, 3, 0], [0, 0, 0, 7]])


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("p.json", None, "'coco' or 'labelme'"),
        ("p.xml", None, "'cvat' or 'voc'"),
        ("p.png", None, "known: coco"),
        ("p.svg", "svgg", "did you mean svg"),
        ("p.svg", "coco", "name it p.json"),
    ],
)
def test_a_form_that_is_not_clear_is_refused(path, form, said, drawn, table, tmp_path):
    with pytest.raises(UsageError) as caught:
        drawn(HOLED, table()).save_regions(tmp_path / path, form)
    assert said in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_the_ending_says_the_form():
    assert [region_form(f"p.{ending}") for ending in ("SVG", "geojson", "txt")] == [
        "svg",
        "geojson",
        "yolo",
    ]
    assert region_form("p.json", "geojson") == "geojson"


def test_a_place_that_cannot_be_written(drawn, table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        drawn(HOLED, table()).save_regions(tmp_path / "file" / "p.svg")


def test_regions_that_are_too_small_are_left_out(drawn, table, tmp_path):
    drawn(HOLED, table()).save_regions(tmp_path / "p.json", "coco", min_area=2)
    value = json.loads((tmp_path / "p.json").read_bytes())
    assert [entry["area"] for entry in value["annotations"]] == [8]


def test_coco_has_polygons_where_there_are_no_holes(drawn, table, tmp_path):
    drawn(HOLED, table()).save_regions(
        tmp_path / "p.json", "coco", picture="a/b.jpg", spacing="10cm"
    )
    value = json.loads((tmp_path / "p.json").read_bytes())
    ring, dot, _ = value["annotations"]
    assert ring["segmentation"]["size"] == [4, 4]
    assert dot["segmentation"] == [[3, 1, 3, 2, 4, 2, 4, 1]]
    assert dot["bbox"] == [3, 1, 1, 1]
    assert dot["area_mm2"] == 10_000
    assert 0.9 < dot["score"] < 1
    assert [image["file_name"] for image in value["images"]] == ["a/b.jpg"]
    assert [entry["id"] for entry in value["categories"]] == [3, 7, 200]  # none for the background


def test_categories_of_coco_are_numbered_from_one(drawn, table, tmp_path):
    drawn(HOLED, table(background=False)).save_regions(tmp_path / "p.json", "coco")
    value = json.loads((tmp_path / "p.json").read_bytes())
    assert [entry["id"] for entry in value["categories"]] == [1, 4, 8, 201]
    assert {entry["category_id"] for entry in value["annotations"]} == {1, 4, 8}


def test_labelme_has_masks_where_there_are_holes(drawn, table, tmp_path):
    drawn(HOLED, table()).save_regions(tmp_path / "p.json", "labelme")
    value = json.loads((tmp_path / "p.json").read_bytes())
    ring, dot, _ = value["shapes"]
    assert (value["imagePath"], value["imageHeight"], value["imageWidth"]) == ("p.png", 4, 4)
    assert (ring["shape_type"], ring["label"], ring["points"]) == ("mask", "car", [[0, 0], [2, 2]])
    with Image.open(io.BytesIO(base64.b64decode(ring["mask"]))) as mask:
        assert (np.asarray(mask) > 0).tolist() == (HOLED[:3, :3] == 3).tolist()
    assert dot["shape_type"] == "polygon"


def test_boxes_of_voc_count_from_one(drawn, table, tmp_path):
    drawn(HOLED, table()).save_regions(tmp_path / "p.xml", "voc")
    root = ElementTree.fromstring((tmp_path / "p.xml").read_bytes())
    assert root.findtext("filename") == "p.png"
    first = root.find("object")
    assert first.findtext("name") == "car"
    box = [int(first.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
    assert box == [1, 1, 3, 3]
    assert [each.findtext("name") for each in root.iter("object")][1] == table().find(7).name


def test_what_a_form_cannot_hold_is_refused(drawn, table, tmp_path):
    ignored = drawn(np.array([[0, 3, 255]]), table())
    with pytest.raises(UsageError, match="YOLO cannot tell ignored"):
        ignored.save_regions(tmp_path / "p.txt")
    wide = drawn(np.array([[900]]), table(ids=(0, 3, 7, 900), ignore_index=None))
    regions = Regions.of(wide.labels, wide.segments(), wide.classes, picture="p.png")
    with pytest.raises(UsageError, match="0 … 254"):
        encode_class_mask(regions)
    with pytest.raises(UsageError, match="XML cannot hold") as caught:
        wide.save_regions(tmp_path / "p.svg", picture="a\x00b")
    assert "U+0000" in caught.value.got
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name", "kind", "said"),
    [
        ("labelme", "void", "stuff", "no other name for ignored pixels"),
        ("cvat", "Ignored", "stuff", "no other name for ignored pixels"),
        ("yolo", "void", "stuff", "for no class"),
        ("yolo", "background", "thing", "for no class"),
    ],
)
def test_names_that_stand_for_something_else(form, name, kind, said, drawn, tmp_path):
    classes = ClassTable("odd", (ClassInfo(1, name, (1, 2, 3), kind),), 255, "made for a test")
    with pytest.raises(UsageError, match=said) as caught:
        drawn(np.array([[1, 255]]), classes).save_regions(tmp_path / f"p{REGION_FORMS[form]}", form)
    assert repr(name) in caught.value.got
