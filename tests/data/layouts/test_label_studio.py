"""Label Studio's export: regions in percent, packed brushes, and names of uploads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelwise import data
from pixelwise.errors import DatasetError, MaskFileError

SIZE = (10, 20)


def region(kind, value, labels=("cat",), **others):
    own = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
    return own | {"type": kind, "id": "r1", "value": value | {kind: list(labels)}} | others


def polygon(labels=("cat",), points=((10, 20), (50, 20), (50, 60), (10, 60)), **others):
    return region("polygonlabels", {"points": points}, labels, **others)


def brush(mask):
    """A brush as Label Studio packs it: red, green, blue and alpha of each pixel in one part."""
    values = np.repeat(mask.ravel(), 4) * 255
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    bits += f"011{len(values) - 1:016b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


@pytest.fixture
def write(tmp_path):
    """Writes a picture and an export of one task; gives the opened data set."""

    def write(*regions, address="/data/upload/3/a.png", picture="a.png", request=None, **others):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / picture)
        task = {"id": 1, "data": {"image": address}, "annotations": [{"result": regions}]}
        (tmp_path / "export.json").write_text(json.dumps([task | others]))
        return data.open(tmp_path, layout="label_studio", **(request or {}))

    return write


def mask_of(dataset):
    return dataset[0].target.mask


def kinds(dataset):
    return {fault.what for fault in dataset.faults}


def test_polygons_are_in_percent(write):
    dataset = write(polygon())
    assert dataset.faults == ()
    assert dataset.classes.names == ("background", "cat")
    assert mask_of(dataset)[2:6, 2:10].all()
    assert mask_of(dataset).sum() == 32
    assert data.open(dataset.root).layout == "label_studio"


def test_brushes_are_unpacked(write):
    mask = np.random.default_rng(4).random(SIZE) < 0.3
    drawn = mask_of(write(region("brushlabels", {"format": "rle", "rle": brush(mask)})))
    np.testing.assert_array_equal(drawn == 1, mask)


@pytest.mark.parametrize(
    ("rotation", "rows", "columns"),
    [(0, slice(4, 6), slice(8, 14)), (90, slice(4, 10), slice(6, 8))],
)
def test_boxes_turn_about_their_upper_left_corner(write, rotation, rows, columns):
    value = {"x": 40, "y": 40, "width": 30, "height": 20, "rotation": rotation}
    mask = mask_of(write(region("rectanglelabels", value)))
    assert mask[rows, columns].all()
    assert mask.sum() == 12


def test_ellipses_turn_about_their_centre(write):
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 40, "rotation": 90}
    mask = mask_of(write(region("ellipselabels", value)))
    y, x = np.indices(SIZE) + 0.5
    np.testing.assert_array_equal(mask == 1, ((x - 10) / 4) ** 2 + ((y - 5) / 2) ** 2 < 1)


def test_a_region_of_several_labels_is_one_object_of_each(write):
    layers = write(polygon(("cat", "pet")), request={"kind": "multi_label"})[0].target.layers
    np.testing.assert_array_equal(layers[1], layers[2])
    assert layers[1].sum() == 32


@pytest.mark.parametrize(
    ("address", "picture"),
    [
        ("/data/upload/3/1a2b3c4d-a.png", "a.png"),
        ("/data/upload/3/1a2b3c4d-a.png", "1a2b3c4d-a.png"),
        ("s3://bucket/folder/a.png", "a.png"),
        ("https://example.org/x/my%20cat.png?token=1", "my cat.png"),
        ("/data/local-files/?d=images/a.png", "a.png"),
        ("images\\a.png", "a.png"),
    ],
)
def test_pictures_are_found_by_the_end_of_their_address(write, address, picture):
    dataset = write(polygon(), address=address, picture=picture)
    assert [entry.image for entry in dataset.entries] == [f"images/{picture}"]


def test_the_first_of_several_annotations_counts(write):
    done = [
        {"was_cancelled": True, "result": []},
        {"result": [polygon()]},
        {"result": [polygon(("dog",))]},
    ]
    dataset = write(annotations=done)
    assert dataset.classes.names == ("background", "cat")
    assert [fault.severity for fault in dataset.faults] == ["warning"]


def test_tasks_without_annotation_are_left_out_with_a_warning(write):
    dataset = write(annotations=[{"was_cancelled": True, "result": []}])
    assert len(dataset) == 0
    assert kinds(dataset) == {"a task is not annotated"}


@pytest.mark.parametrize("kind", ["keypointlabels", "choices"])
def test_what_covers_no_pixels_is_left_out_with_a_warning(write, kind):
    dataset = write(polygon(), region(kind, {"x": 1, "y": 2}))
    assert [fault.severity for fault in dataset.faults] == ["warning"]
    assert mask_of(dataset).sum() == 32


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (polygon(()), "no label"),
        (polygon((3,)), "no label"),
        (polygon(image_rotation=90), "turned by 90"),
        (region("polygonlabels", {}), "points is missing"),
        (polygon(points="text"), "could not convert"),
        (polygon(points=((1, 2, 3), (1,))), ""),
        (region("brushlabels", {"rle": [300]}), "without its run lengths"),
        (region("brushlabels", {"rle": [1]}, original_width=None), "without its run lengths"),
        (region("rectanglelabels", {"x": 1}), "y is missing"),
        (region("rectanglelabels", {"x": "a", "y": 1}), "could not convert"),
        (region("polygonlabels", {}) | {"value": 3}, "no label"),
    ],
)
def test_damaged_regions_are_told_and_their_pictures_refused(write, wrong, said):
    dataset = write(polygon(), wrong)
    (fault,) = dataset.faults
    assert fault.what == "a region is damaged"
    assert said in fault.got
    with pytest.raises(MaskFileError, match="damaged"):
        dataset[0]


def test_a_brush_that_breaks_off_is_an_error(write):
    rle = brush(np.ones(SIZE, np.bool_))[:50]
    with pytest.raises(MaskFileError, match="damaged"):
        write(region("brushlabels", {"rle": rle}))[0]


@pytest.mark.parametrize("address", ["/data/upload/b.png", "../../b.png", "text only", ""])
def test_a_missing_picture_is_told(write, address):
    assert "a picture of the annotation file is not there" in kinds(write(address=address))


def test_another_size_than_declared_is_refused(write):
    with pytest.raises(MaskFileError, match="not of the size"):
        write(polygon(original_width=21))[0]


def test_broken_json_is_told_with_its_line(write):
    root = write(polygon()).root
    path = root / "export.json"
    path.write_text(path.read_text()[:-2])
    (fault,) = (f for f in data.open(root, layout="label_studio").faults if f.severity == "error")
    assert fault.got.startswith("line 1, column")


def test_other_json_is_not_label_studio(write):
    root = write().root
    (root / "export.json").write_text('[{"data": {}, "annotations": []}]')
    with pytest.raises(DatasetError):
        data.open(root, layout="label_studio")
