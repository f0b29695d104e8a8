from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from pixelwise.errors import ClassNameError, MaskFileError, UsageError
from pixelwise.region_files import read_regions

SVG = "{http://www.w3.org/2000/svg}"
LABELS = np.array([[0, 3, 3], [7, 7, 3]])


@pytest.fixture
def saved(drawn, table, tmp_path):
    """An SVG and a GeoJSON of a small label map."""
    segmentation = drawn(LABELS, table())
    for name in ("p.svg", "p.geojson"):
        segmentation.save_regions(tmp_path / name, spacing="2mm")
    return tmp_path


def test_names_are_text_in_svg(saved, table):
    root = ElementTree.fromstring((saved / "p.svg").read_bytes())
    names = [group.findtext(f"{SVG}title") for group in root.iter(f"{SVG}g")]
    assert names == [table().find(3).name, table().find(7).name]
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{name}" for name in ("svg", "title", "g", "path")
    }
    assert [group.get("fill") for group in root.iter(f"{SVG}g")] == ["#0ac801", "#14c802"]


def test_geojson_says_what_regions_are(saved, table):
    value = json.loads((saved / "p.geojson").read_text("utf-8"))
    assert value["size"] == [2, 3]
    first = value["features"][0]
    assert first["properties"]["class"] == table().find(3).name
    assert (first["properties"]["area_px"], first["properties"]["area_mm2"]) == (3, 12)
    ring = np.array(first["geometry"]["coordinates"][0])
    assert ring[0].tolist() == ring[-1].tolist()
    x, y = ring.T
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() == 2 * 3  # counter-clockwise where y is up


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.svg", "<svg", "unclosed token"),
        ("p.svg", "<svg/>", "viewBox"),
        ("p.svg", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>", "document type"),
        ("p.svg", '<svg viewBox="0 0 99999999 99999999"/>', "max_megapixels"),
        ("p.svg", '<?xml version="1.0" encoding="foo"?><svg/>', "unknown encoding"),
        ("p.svg", '<?xml version="1.0" encoding="shift_jis"?><svg/>', "multi-byte"),
        ("p.geojson", "{", "JSONDecodeError"),
        (
            "p.geojson",
            '{"size": [2, 3], "features": [{"geometry": {"type": "Polygon", "coordinates": [[['
            + "9" * 400
            + ", 0]]]}}]}",
            "OverflowError",
        ),
        ("p.geojson", "[]", "TypeError"),
        ("p.geojson", '{"size": [0, 3], "features": []}', "size of 0"),
        ("p.geojson", '{"size": [2, 3], "features": [{}]}', "geometry"),
    ],
)
def test_files_of_others_are_refused(name, content, said, table, tmp_path):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(MaskFileError, match="no regions that pixelwise wrote") as caught:
        read_regions(tmp_path / name, table())
    assert said in caught.value.got
    assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "M0 0",
        "H3Z",
        "M0 0L3 3Z",
        "M0 0H3V2Z x",
        "M0 0H99999999999Z",
        "M0H3Z",
        "M0 " + "9" * 5000,
    ],
)
def test_paths_of_others_are_refused(path, saved, table):
    group = f'<g data-class="car"><path d="{path}"/></g>'
    (saved / "p.svg").write_text(f'<svg viewBox="0 0 3 2">{group}</svg>', "utf-8")
    with pytest.raises(MaskFileError) as caught:
        read_regions(saved / "p.svg", table())
    assert "a path that goes on" in caught.value.got


def test_points_far_away_are_refused(saved, table):
    value = json.loads((saved / "p.geojson").read_text("utf-8"))
    value["features"][0]["geometry"]["coordinates"][0][0] = [float("nan"), 0]
    (saved / "p.geojson").write_text(json.dumps(value), "utf-8")
    with pytest.raises(MaskFileError, match="no places") as caught:
        read_regions(saved / "p.geojson", table())
    assert caught.value.where == str(saved / "p.geojson")


def test_the_table_must_have_what_the_file_has(saved, table, tmp_path):
    with pytest.raises(ClassNameError):
        read_regions(saved / "p.svg", type(table()).builtin("camvid"))
    with pytest.raises(UsageError, match="no id") as caught:
        read_regions(saved / "p.svg", table(background=False, ignore_index=None))
    assert "1 pixels without a region" in caught.value.got


def test_a_file_that_is_not_there_and_forms_of_data_sets(table, tmp_path):
    with pytest.raises(MaskFileError, match="cannot be read"):
        read_regions(tmp_path / "absent.svg", table())
    with pytest.raises(UsageError, match="as a data set"):
        read_regions(tmp_path / "p.json", table(), "coco")
