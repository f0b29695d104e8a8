"""labelme's files: every kind of shape, old and new versions, and damage that is told."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pixelwise import data
from pixelwise.errors import DatasetError, MaskFileError

SIZE = (12, 16)
SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]


def shape(label="cat", points=SQUARE, kind="polygon", **others):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | others


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture
def write(tmp_path):
    """Writes a picture with its file of shapes; gives the opened data set."""

    def write(*shapes, name="a", request=None, **others):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{name}.png")
        content = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{name}.png",
            "imageData": None,
            "imageHeight": SIZE[0],
            "imageWidth": SIZE[1],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(content | others, indent=2))
        return data.open(tmp_path, **(request or {}))

    return write


def mask_of(dataset):
    return dataset[0].target.mask


def kinds(dataset):
    return {fault.what for fault in dataset.faults}


def test_polygons_are_filled(write):
    dataset = write(shape(), shape("dog", [[8, 8], [10, 8], [10, 10], [8, 10]]))
    assert (dataset.layout, dataset.faults) == ("labelme", ())
    assert dataset.classes.names == ("background", "cat", "dog")
    assert [(mask_of(dataset) == number).sum() for number in (1, 2)] == [16, 4]
    assert dataset[0].target.instances.max() == 2


@pytest.mark.parametrize("points", [[[6, 2], [2, 6]], SQUARE])
def test_rectangles_have_two_corners_or_four(write, points):
    assert mask_of(write(shape(points=points, kind="rectangle"))).sum() == 16


def test_circles_have_a_centre_and_a_point_on_their_edge(write):
    mask = mask_of(write(shape(points=[[6, 6], [9, 10]], kind="circle")))
    y, x = np.indices(SIZE) + 0.5
    np.testing.assert_array_equal(mask == 1, (x - 6) ** 2 + (y - 6) ** 2 < 25)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8])
def test_masks_are_small_pictures(write, kind):
    part = np.array([[1, 0, 1], [0, 1, 0]], kind)
    mask = mask_of(write(shape(points=[[5, 3], [7, 4]], kind="mask", mask=png(part))))
    np.testing.assert_array_equal(mask[3:5, 5:8], part)
    assert mask.sum() == 3


def test_shapes_without_a_kind_are_polygons(write):
    old = {"label": "cat", "points": SQUARE, "line_color": None, "fill_color": None}
    assert mask_of(write(old, version="2.1.0", lineColor=[0, 255, 0, 128])).sum() == 16


def test_shapes_of_one_group_are_one_object(write):
    other = [[8, 8], [10, 8], [10, 10], [8, 10]]
    dataset = write(shape(group_id=4), shape(points=other, group_id=4))
    assert dataset[0].target.instances.max() == 1


def test_names_that_mean_no_class(write):
    far = [[8, 8], [10, 8], [10, 10], [8, 10]]
    dataset = write(shape("__ignore__"), shape("_background_", far))
    assert dataset.classes.names == ("_background_",)
    assert mask_of(dataset)[3, 3] == 255
    assert mask_of(dataset)[9, 9] == mask_of(dataset)[0, 0] == 0


def test_a_list_of_labels_gives_their_order(write, tmp_path):
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nzebra\ncat\n")
    dataset = write(shape())
    assert dict(zip(dataset.classes.names, dataset.classes.ids, strict=True)) == {
        "_background_": 0, "zebra": 1, "cat": 2,
    }  # fmt: skip


def test_the_copied_picture_is_not_parsed(write):
    # What no parser takes shows that it is passed over.
    root = write(shape(), imageData="AAAA").root
    path = root / "a.json"
    path.write_text(path.read_text().replace('"AAAA"', '"\x00\x01' + "A" * 200_000 + '"'))
    assert mask_of(data.open(root)).sum() == 16


def test_a_label_may_spell_the_name_of_the_copied_picture(write):
    dataset = write(shape('"imageData": "'), imageData="AAAA")
    assert dataset.classes.names[1] == '"imageData": "'


@pytest.mark.parametrize("name", ["C:\\photos\\a.png", "/home/me/a.png", "../photos/a.png", None])
def test_paths_of_another_machine_give_way_to_the_files_name(write, name):
    assert write(shape(), imagePath=name).entries[0].image == "a.png"


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_lines_and_points_are_left_out_with_a_warning(write, kind):
    dataset = write(shape(kind=kind))
    assert [fault.severity for fault in dataset.faults] == ["warning"]
    assert not mask_of(dataset).any()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (shape(points=None), "points"),
        (shape(points=[[1, 2], [3]]), "points that are no places"),
        (shape(points=[["a", "b"]] * 3), "points that are no places"),
        (shape(kind="heart"), "unknown kind 'heart'"),
        (shape(kind=["circle"]), "unknown kind"),
        (shape(kind="circle"), "a circle of 4 points"),
        (shape(label=None), "label None"),
        (shape(label=" "), "label ' '"),
        (shape(kind="mask"), "without its picture"),
        (shape(kind="mask", mask="AAAA"), "no PNG"),
        (3, "label None"),
    ],
)
def test_damaged_shapes_are_told_and_their_pictures_refused(write, entry, said):
    dataset = write(shape(), entry)
    (fault,) = dataset.faults
    assert (fault.what, fault.file) == ("a shape is damaged", "a.json")
    assert said in fault.got
    with pytest.raises(MaskFileError, match="damaged"):
        dataset[0]


def test_a_mask_that_breaks_off_is_an_error(write):
    content = png(np.ones((3, 3), np.bool_))
    for broken in (content[:40], content[:40] + "%%"):
        dataset = write(shape(points=[[5, 3], [7, 5]], kind="mask", mask=broken))
        with pytest.raises(MaskFileError):
            dataset[0]


def test_files_that_cannot_be_read_are_told_with_their_line(write, tmp_path):
    write(shape(), name="b")
    dataset = write(shape())
    path = tmp_path / "b.json"
    path.write_text(path.read_text().replace('"flags": {},', '"flags" {},'))
    (fault, lone) = data.open(tmp_path).faults
    assert (fault.file, lone.what) == ("b.json", "the picture has no annotations")
    assert fault.got.startswith("line 3, column")
    assert len(dataset) == 2


def test_a_missing_picture_is_told(write, tmp_path):
    write(shape(), name="b")
    write(shape())
    (tmp_path / "b.png").unlink()
    dataset = data.open(tmp_path)
    assert [fault.file for fault in dataset.faults] == ["b.json"]
    assert len(dataset) == 1


def test_a_picture_annotated_twice_is_told(write):
    write(shape(), name="b", imagePath="a.png")
    assert "a picture is annotated twice" in kinds(write(shape()))


def test_another_size_than_declared_is_refused(write):
    with pytest.raises(MaskFileError, match="not of the size"):
        write(shape(), imageHeight=9)[0]


def test_other_json_is_not_labelme(write, tmp_path):
    write()
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(DatasetError):
        data.open(tmp_path, layout="labelme")
