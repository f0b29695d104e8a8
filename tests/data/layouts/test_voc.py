from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.data import open as open_dataset
from pixelwise.errors import MaskFileError, UsageError

MASK = [[0, 15, 15, 255], [0, 15, 7, 255]]
OBJECTS = [[0, 1, 1, 255], [0, 2, 3, 255]]


def save(path, values, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.array(values, np.uint8))
    if palette:
        picture.putpalette(list(range(256)) * 3)
    picture.save(path)


@pytest.fixture
def devkit(tmp_path):
    """Three pictures with masks, two of them with objects, and one without any."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_1", "2007_2", "2007_3", "2007_4"):
        (base / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 2)).save(base / "JPEGImages" / f"{name}.jpg")
    for name in ("2007_1", "2007_2", "2007_3"):
        save(base / "SegmentationClass" / f"{name}.png", MASK)
    for name in ("2007_1", "2007_2"):
        save(base / "SegmentationObject" / f"{name}.png", OBJECTS)
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n2007_2\n")
    (lists / "val.txt").write_text("2007_3\n")
    (lists / "trainval.txt").write_text("2007_1\n2007_2\n2007_3\n")
    return base


def test_the_devkit_opens_from_any_folder_above(devkit):
    for root in (devkit, devkit.parent, devkit.parent.parent):
        dataset = open_dataset(root)
        assert dataset.layout == "voc"
        assert dataset.faults == ()
        assert [entry.split for entry in dataset.entries] == ["train", "train", "val"]
        assert dataset.classes.name == "voc"


def test_palette_indices_are_read_and_255_is_ignored(devkit):
    sample = open_dataset(devkit)[0]
    assert sample.mask.tolist() == MASK
    assert open_dataset(devkit).classes.ignore_index == 255


def test_objects_are_read_and_their_border_is_none(devkit):
    dataset = open_dataset(devkit)
    assert isinstance(dataset[0].target, InstanceTarget)
    assert dataset[0].target.instances.tolist() == [[0, 1, 1, 0], [0, 2, 3, 0]]
    assert isinstance(dataset[2].target, MultiClassTarget)


def test_the_kind_of_target_can_be_chosen(devkit):
    assert isinstance(open_dataset(devkit, kind="multi_class")[0].target, MultiClassTarget)
    layers = open_dataset(devkit, kind="multi_label")[0].target
    assert isinstance(layers, MultiLabelTarget)
    assert layers.layers[15].sum() == 3
    assert layers.ignore.sum() == 2
    bare = open_dataset(devkit, kind="instance")[2].target
    assert isinstance(bare, InstanceTarget)
    assert not bare.instances.any()


def test_objects_that_are_not_there_cannot_be_asked_for(devkit):
    for path in (devkit / "SegmentationObject").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no masks of objects"):
        open_dataset(devkit, kind="instance")


def test_a_union_of_splits_is_none_and_said_so(devkit):
    dataset = open_dataset(devkit)
    assert dataset.splits == ("train", "val")
    assert any("trainval.txt" in note for note in dataset.notes)
    lists = devkit / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text("2007_1\n2007_2\n2007_4\n")
    assert open_dataset(devkit).splits == ("train", "val")


def test_trainval_alone_is_a_split_unless_it_holds_all(devkit):
    lists = devkit / "ImageSets" / "Segmentation"
    (lists / "train.txt").unlink()
    (lists / "val.txt").unlink()
    dataset = open_dataset(devkit)
    assert dataset.splits == ()
    assert any("trainval.txt holds all pictures" in note for note in dataset.notes)
    (lists / "trainval.txt").write_text("2007_1\n2007_2\n")
    assert open_dataset(devkit).splits == ("trainval",)


def test_a_list_without_any_mask_is_left_out_and_said_so(devkit):
    (devkit / "ImageSets" / "Segmentation" / "test.txt").write_text("2008_1\n2007_4\n")
    dataset = open_dataset(devkit)
    assert dataset.faults == ()
    assert any("test.txt: no mask for any of its 2 pictures (1 are" in n for n in dataset.notes)


def test_every_structural_fault_is_told_at_once(devkit):
    lists = devkit / "ImageSets" / "Segmentation"
    (lists / "val.txt").write_text("2007_3\n2007_2\nmissing\n")
    (lists / "trainval.txt").unlink()
    save(devkit / "SegmentationClass" / "lone.png", MASK)
    Image.new("RGB", (4, 2)).save(devkit / "JPEGImages" / "2007_1.png")
    found = {
        (fault.what, fault.file.rpartition("/")[2], fault.got)
        for fault in open_dataset(devkit).faults
    }
    assert ("the mask has no picture", "lone.png", "") in found
    assert ("a list names a picture that is not there", "val.txt", "missing") in found
    assert ("a picture stands in two splits", "2007_2.jpg", "train and val") in found
    assert any(what.startswith("two pictures have the same name") for what, _, _ in found)
    assert len(found) == 4


def test_a_class_table_beside_the_masks_goes_first(devkit):
    (devkit / "classes.csv").write_text(
        "id,name,r,g,b,use\n0,ground,,,,class\n7,car,,,,class\n15,man,,,,class\n255,x,,,,ignore\n"
    )
    for root in (devkit, devkit.parent):
        assert open_dataset(root).classes.names == ("ground", "car", "man")


def test_255_is_ignored_whatever_number_the_table_has_for_it(devkit):
    (devkit / "classes.csv").write_text(
        "id,name,r,g,b,use\n0,ground,,,,class\n7,car,,,,class\n15,man,,,,class\n99,x,,,,ignore\n"
    )
    assert open_dataset(devkit)[0].mask.tolist() == [[0, 15, 15, 99], [0, 15, 7, 99]]


def test_a_table_without_ignored_id_gets_one_where_255_is_found(devkit):
    (devkit / "classes.csv").write_text("id,name,r,g,b\n0,ground,,,\n7,car,,,\n15,man,,,\n")
    assert open_dataset(devkit).classes.ignore_index == 255


def test_classes_that_are_not_vocs_are_found_in_the_masks(devkit):
    for path in (devkit / "SegmentationClass").iterdir():
        save(path, [[0, 30, 30, 255], [0, 0, 31, 255]])
    dataset = open_dataset(devkit)
    assert dataset.classes.ids == (0, 30, 31)
    assert dataset.classes.ignore_index == 255


def test_coloured_masks_are_read_by_the_label_map(tmp_path):
    """The export of CVAT: colours in both kinds of masks."""
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n"
    )
    cat, ground, other = (250, 50, 83), (0, 0, 0), (10, 200, 30)
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (3, 1)).save(tmp_path / "JPEGImages" / "a.jpg")
    save(tmp_path / "SegmentationClass" / "a.png", [[ground, cat, cat]], palette=False)
    save(tmp_path / "SegmentationObject" / "a.png", [[ground, cat, other]], palette=False)
    target = open_dataset(tmp_path)[0].target
    assert target.mask.tolist() == [[0, 1, 1]]
    assert target.instances[0, 0] == 0
    assert sorted(target.instances[0, 1:].tolist()) == [1, 2]


def test_sixteen_bit_objects_have_no_border(devkit):
    values = np.array([[0, 255, 255, 300], [0, 255, 300, 0]], np.uint16)
    Image.fromarray(values).save(devkit / "SegmentationObject" / "2007_1.png")
    assert open_dataset(devkit)[0].target.instances.tolist() == values.tolist()


def test_masks_of_two_sizes_are_told(devkit):
    save(devkit / "SegmentationObject" / "2007_1.png", [[0, 1]])
    with pytest.raises(MaskFileError, match="differ in size") as caught:
        open_dataset(devkit)[0]
    assert "classes 2×4 · objects 1×2" in caught.value.got


def test_without_pictures_it_is_another_layout(tmp_path):
    save(tmp_path / "SegmentationClass" / "a.png", MASK)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "a.jpg")
    assert open_dataset(tmp_path).layout != "voc"
