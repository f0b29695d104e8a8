from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.mask_files import MaskFiles, read_values
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import MaskFileError

RED, GREEN = (200, 0, 0), (0, 200, 0)
TWO = ClassTable("two", (ClassInfo(0, "red", RED), ClassInfo(1, "green", GREEN)), 255, "", ())
IDS = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
ENTRY = Entry("a.png", "a_mask.png")


def target(root, stored, truth, classes=TWO):
    Image.fromarray(stored).save(root / "a_mask.png")
    return truth.read(root, ENTRY, classes, stored.shape[:2])


def test_ids_are_read_as_they_are(tmp_path):
    found = target(tmp_path, IDS, MaskFiles())
    assert isinstance(found, MultiClassTarget)
    np.testing.assert_array_equal(found.mask, IDS)


def test_ids_outside_the_table_are_refused(tmp_path):
    with pytest.raises(MaskFileError, match="no class ids") as caught:
        target(tmp_path, IDS + 6, MaskFiles())
    assert "7 × 3" in caught.value.got


def test_wide_ids_keep_their_bits(tmp_path):
    wide = ClassTable("wide", (ClassInfo(300, "a", RED), ClassInfo(60_000, "b", GREEN)), None, "")
    stored = np.array([[300, 60_000]], np.uint16)
    np.testing.assert_array_equal(target(tmp_path, stored, MaskFiles(), wide).mask, stored)


def test_stored_values_stand_for_ids(tmp_path):
    stored = np.array([[0, 255, 255]], np.uint8)
    found = target(tmp_path, stored, MaskFiles(values={0: 0, 255: 1}))
    np.testing.assert_array_equal(found.mask, [[0, 1, 1]])
    with pytest.raises(MaskFileError, match="no class ids") as caught:
        target(tmp_path, stored - 5, MaskFiles(values={0: 0, 255: 1}))
    assert "250 × 2" in caught.value.got


def test_colours_are_those_of_the_table_or_given(tmp_path):
    stored = np.array([[RED, GREEN, GREEN]], np.uint8)
    found = target(tmp_path, stored, MaskFiles("colours"))
    np.testing.assert_array_equal(found.mask, [[0, 1, 1]])
    swapped = MaskFiles("colours", colours={RED: 1, GREEN: 255})
    np.testing.assert_array_equal(target(tmp_path, stored, swapped).mask, [[1, 255, 255]])
    with pytest.raises(MaskFileError, match="outside the table"):
        target(tmp_path, stored + np.uint8(1), MaskFiles("colours"))


def test_numbers_of_objects_become_instances_of_the_last_class(tmp_path):
    stored = np.array([[0, 1, 1], [700, 0, 2]], np.uint16)
    found = target(tmp_path, stored, MaskFiles("objects"))
    assert isinstance(found, InstanceTarget)
    np.testing.assert_array_equal(found.mask, stored > 0)
    np.testing.assert_array_equal(found.instances, stored)
    flat = target(tmp_path, stored, MaskFiles("objects", kind="multi_class"))
    assert isinstance(flat, MultiClassTarget)
    np.testing.assert_array_equal(flat.mask, stored > 0)


def test_layers_when_several_labels_are_wanted(tmp_path):
    found = target(tmp_path, IDS, MaskFiles(kind="multi_label"))
    assert isinstance(found, MultiLabelTarget)
    np.testing.assert_array_equal(found.layers, [IDS == 0, IDS == 1])
    np.testing.assert_array_equal(found.ignore, IDS == 255)


def test_what_lies_outside_the_region_that_counts_is_ignored(tmp_path):
    region = np.array([[255, 0, 255], [0, 255, 255]], np.uint8)
    Image.fromarray(region).save(tmp_path / "region.png")
    found = target(tmp_path, IDS, MaskFiles(valid={"a.png": "region.png"}))
    np.testing.assert_array_equal(found.mask, [[0, 255, 255], [255, 1, 0]])
    Image.fromarray(region[:1]).save(tmp_path / "region.png")
    with pytest.raises(MaskFileError, match="differ in size"):
        target(tmp_path, IDS, MaskFiles(valid={"a.png": "region.png"}))


def test_a_region_needs_an_ignored_id(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "region.png")
    bare = ClassTable("bare", TWO.classes, None, "")
    with pytest.raises(MaskFileError, match="ignored id"):
        target(tmp_path, IDS % 2, MaskFiles(valid={"a.png": "region.png"}), bare)


def test_rasters_of_negative_numbers_are_read(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    stored = np.array([[-1, 0, 1]], np.int16)
    place = tmp_path / "labels.tif"
    with rasterio.open(
        place, "w", driver="GTiff", width=3, height=1, count=1, dtype="int16"
    ) as file:
        file.write(stored, 1)
    np.testing.assert_array_equal(read_values(place), stored)
    found = MaskFiles(values={-1: 255, 0: 0, 1: 1}).read(
        tmp_path, Entry("a.tif", "labels.tif"), TWO, (1, 3)
    )
    np.testing.assert_array_equal(found.mask, [[255, 0, 1]])


def test_rasters_of_fractions_or_many_bands_hold_no_ids(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    for name, dtype, count in (("f.tif", "float32", 1), ("b.tif", "int16", 5)):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", width=3, height=2, count=count, dtype=dtype
        ) as file:
            file.write(np.zeros((count, 2, 3), dtype))
        with pytest.raises(MaskFileError):
            read_values(tmp_path / name)
