from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.storage import Look, decide, look_at
from pixelwise.errors import MaskFileError, MissingExtraError

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
TABLE = ClassTable(
    "three",
    tuple(ClassInfo(i, n, c) for i, n, c in ((0, "r", RED), (1, "g", GREEN), (2, "b", BLUE))),
    255,
    "",
)
COLOURS = np.array([RED, GREEN, BLUE], np.uint8)
IDS = (np.arange(64, dtype=np.uint8).reshape(8, 8) // 8) % 3


def palette_picture(indices, colours):
    picture = Image.fromarray(indices.astype(np.uint8))
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def read_all(root, pictures, table, kind=None):
    """The masks as they are read when the decision was made from the files alone."""
    names = [f"{number}.png" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(
            root / name
        )
    reading = decide(look_at(root, names), table, kind=kind, valid={}, name="made")
    targets = [
        reading.truth.read(root, Entry(name, name), reading.classes, (8, 8)) for name in names
    ]
    return reading, targets


@pytest.mark.parametrize(
    "pictures",
    [
        [IDS],
        [COLOURS[IDS]],
        [palette_picture(IDS, [RED, GREEN, BLUE])],
        [palette_picture(IDS, [(1, 1, 1), (2, 2, 2), (3, 3, 3)])],
        [palette_picture(2 - IDS, [BLUE, GREEN, RED])],
        [palette_picture(2 - IDS, [BLUE, GREEN, RED]), COLOURS[IDS]],
        [np.repeat(IDS[..., None], 3, axis=2)],
    ],
    ids=["grey", "rgb", "palette", "odd palette", "other order", "mixed", "grey in rgb"],
)
def test_the_same_ids_come_out_however_they_are_stored(tmp_path, pictures):
    _, targets = read_all(tmp_path, pictures, TABLE)
    for target in targets:
        np.testing.assert_array_equal(target.mask, IDS)


def test_two_values_are_background_and_foreground(tmp_path):
    reading, (target,) = read_all(tmp_path, [np.where(IDS > 0, 255, 0).astype(np.uint8)], None)
    assert reading.classes.names == ("background", "foreground")
    np.testing.assert_array_equal(target.mask, IDS > 0)


def test_255_beside_other_ids_is_ignored(tmp_path):
    stored = IDS.copy()
    stored[0] = 255
    reading, (target,) = read_all(tmp_path, [stored], None)
    assert reading.classes.ids == (0, 1, 2)
    assert reading.classes.ignore_index == 255
    np.testing.assert_array_equal(target.mask, stored)


def test_colours_without_a_table_become_classes_of_their_own(tmp_path):
    reading, (target,) = read_all(tmp_path, [COLOURS[IDS]], None)
    assert {info.colour for info in reading.classes} == {RED, GREEN, BLUE}
    named = {info.colour: info.id for info in reading.classes}
    np.testing.assert_array_equal(
        target.mask, np.array([named[colour] for colour in (RED, GREEN, BLUE)])[IDS]
    )
    assert "data colours" in reading.note


def grid_of_objects(count):
    """Squares of one number each, apart from each other."""
    mask = np.zeros((8, 8), np.uint16)
    for number in range(count):
        mask[2 * (number // 4), 2 * (number % 4)] = number + 1
    return mask


def test_numbers_of_objects_are_told_from_ids(tmp_path):
    reading, targets = read_all(tmp_path, [grid_of_objects(n) for n in (3, 9, 16)], None)
    assert reading.truth.reading == "objects"
    assert [target.instances.max() for target in targets] == [3, 9, 16]


def test_ids_that_occur_in_many_places_are_no_objects(tmp_path):
    scattered = [np.random.default_rng(n).integers(0, 4, (8, 8)).astype(np.uint16) for n in (1, 2)]
    assert read_all(tmp_path, scattered, None)[0].truth.reading == "ids"
    forced = read_all(tmp_path, scattered, None, kind="instance")[0]
    assert forced.truth.reading == "objects"


def test_masks_that_cannot_be_read_are_passed_over_unless_all_are(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert len(look_at(tmp_path, ["a.png", "b.png"])) == 1
    with pytest.raises(MaskFileError, match="none of the masks"):
        decide(look_at(tmp_path, ["b.png"]), None, kind=None, valid={}, name="x")


def test_65535_is_ignored(tmp_path):
    stored = IDS.astype(np.uint16) * 500
    stored[0] = 65_535
    reading, (target,) = read_all(tmp_path, [stored], None)
    assert (reading.classes.ids, reading.classes.ignore_index) == ((0, 500, 1000), 65_535)
    np.testing.assert_array_equal(target.mask, stored)


@pytest.mark.parametrize("values", [{-1}, {0, 70_000}])
def test_numbers_that_no_class_can_have_are_told(values):
    look = Look("numbers", frozenset(values), frozenset(), frozenset(), 0)
    with pytest.raises(MaskFileError, match="cannot be class ids"):
        decide([look], None, kind=None, valid={}, name="x")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_black_and_white_of_any_channels_are_background_and_foreground(tmp_path, mode):
    picture = Image.fromarray(np.where(IDS > 0, 255, 0).astype(np.uint8)).convert(mode)
    reading, (target,) = read_all(tmp_path, [picture], None)
    assert reading.classes.names == ("background", "foreground")
    np.testing.assert_array_equal(target.mask, IDS > 0)


def test_black_and_white_that_the_table_has_are_its_classes(tmp_path):
    classes = (ClassInfo(0, "snow", (255, 255, 255)), ClassInfo(1, "night", (0, 0, 0)))
    table = ClassTable("two", classes, None, "")
    picture = Image.fromarray(np.where(IDS > 0, 255, 0).astype(np.uint8)).convert("RGB")
    _, (target,) = read_all(tmp_path, [picture], table)
    np.testing.assert_array_equal(target.mask, IDS == 0)


def test_a_table_of_two_names_what_the_objects_are(tmp_path):
    table = ClassTable("two", TABLE.classes[:2], None, "")
    reading, targets = read_all(tmp_path, [grid_of_objects(n) for n in (3, 9, 16)], table)
    assert reading.classes == table
    assert [target.instances.max() for target in targets] == [3, 9, 16]


def test_a_package_that_is_missing_is_told(tmp_path, monkeypatch):
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": 8, "height": 6, "count": 1, "dtype": "int16"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(np.full((1, 6, 8), -1, np.int16))
    assert len(look_at(tmp_path, ["a.tif"])) == 1
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match="rasterio is not installed"):
        look_at(tmp_path, ["a.tif"])
