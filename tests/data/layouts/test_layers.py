from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.data import MultiLabelTarget
from pixelwise.errors import MaskFileError

PERSON = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)
BAG = np.array([[0, 1, 1], [0, 0, 0]], np.uint8)


@pytest.fixture
def made(tmp_path):
    for number in range(2):
        save(tmp_path, f"images/{number}.png", np.zeros((2, 3, 3), np.uint8))
        save(tmp_path, f"masks/person/{number}.png", PERSON)
    save(tmp_path, "masks/bag/0.png", BAG * 255)
    return tmp_path


def save(root, path, pixels):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / path)


def test_a_folder_per_class_gives_layers_that_may_overlap(made):
    dataset = pw.data.open(made)
    assert (dataset.layout, dataset.classes.names) == ("layers", ("bag", "person"))
    target = dataset[0].target
    assert isinstance(target, MultiLabelTarget)
    np.testing.assert_array_equal(target.layers, [BAG > 0, PERSON > 0])
    np.testing.assert_array_equal(dataset[1].target.layers, [BAG < 0, PERSON > 0])
    assert not target.ignore.any()


def test_folders_of_sequences_and_splits_are_no_classes(tmp_path):
    for folder in ("car", "dog"):
        save(tmp_path, f"images/{folder}/0.png", np.zeros((2, 3, 3), np.uint8))
        save(tmp_path, f"masks/{folder}/0.png", PERSON)
    assert pw.data.open(tmp_path).layout == "folders"


def test_the_table_names_the_classes_and_what_it_lacks_is_told(made):
    (made / "classes.csv").write_text("id,name,r,g,b\n3,person,9,9,9\n4,hat,8,8,8\n")
    dataset = pw.data.open(made)
    assert dataset.classes.names == ("person", "hat")
    np.testing.assert_array_equal(dataset[0].target.layers[0], PERSON > 0)
    assert [fault.file for fault in dataset.faults] == ["bag"]


def test_masks_without_pictures_are_told(made):
    save(made, "masks/bag/9.png", BAG)
    assert [fault.file for fault in pw.data.open(made).faults] == ["masks/bag/9.png"]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [(PERSON + BAG * 2, "more than yes and no"), (PERSON[:1], "differ in size")],
)
def test_masks_that_are_no_layers_are_refused(made, pixels, message):
    save(made, "masks/bag/0.png", pixels)
    with pytest.raises(MaskFileError, match=message):
        pw.data.open(made)[0]


def test_one_class_per_pixel_is_not_what_layers_hold(made):
    with pytest.raises(pw.PixelwiseError):
        pw.data.open(made, layout="layers", kind="multi_class")


def test_folders_of_masks_of_many_classes_are_no_layers(tmp_path):
    for number in range(3):
        save(tmp_path, f"images/{number}.png", np.zeros((2, 3, 3), np.uint8))
        save(tmp_path, f"labels/semantic/{number}.png", PERSON + BAG * 2)
        save(tmp_path, f"labels/objects/{number}.png", PERSON * 3 + BAG * 4)
    with pytest.raises(pw.PixelwiseError, match="6 share a name"):
        pw.data.open(tmp_path)
    assert pw.data.open(tmp_path, layout="layers").layout == "layers"
