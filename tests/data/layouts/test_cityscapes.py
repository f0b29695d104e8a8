from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.data import open as open_dataset
from pixelwise.data.layouts.cityscapes_labels import LABELS, are_official, official_ids
from pixelwise.errors import MaskFileError, UsageError

LABEL_IDS = [[7, 26, 26, 26, 0], [7, 26, 29, 3, 33]]
TRAIN_IDS = [[0, 13, 13, 13, 255], [0, 13, 255, 255, 18]]
INSTANCE_IDS = [[7, 26_000, 26_000, 26_001, 0], [7, 26, 29_000, 3, 33_000]]
COLOURS = {7: (128, 64, 128), 26: (0, 0, 142), 0: (0, 0, 0), 29: (0, 0, 90), 33: (119, 11, 32)}


def save(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)


def add(root, split, name, forms=("labelIds", "instanceIds"), kind="gtFine"):
    city = name.partition("_")[0]
    picture = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 2)).save(picture)
    base = root / kind / split / city
    content = {
        "labelIds": (LABEL_IDS, np.uint8),
        "labelTrainIds": (TRAIN_IDS, np.uint8),
        "instanceIds": (INSTANCE_IDS, np.uint16),
        "color": ([[COLOURS.get(v, (0, 0, 0)) for v in row] for row in LABEL_IDS], np.uint8),
    }
    for form in forms:
        save(base / f"{name}_{kind}_{form}.png", *content[form])


@pytest.fixture
def streets(tmp_path):
    root = tmp_path / "cityscapes"
    add(root, "train", "aachen_000000_000019")
    add(root, "train", "bochum_000000_000019")
    add(root, "val", "ulm_000001_000019")
    return root


def test_it_is_found_with_splits_and_the_evaluated_classes(streets):
    for root in (streets, streets.parent):
        dataset = open_dataset(root)
        assert dataset.layout == "cityscapes"
        assert dataset.faults == ()
        assert [entry.split for entry in dataset.entries] == ["train", "train", "val"]
        assert dataset.classes == ClassTable.builtin("cityscapes")


def test_label_ids_become_evaluated_classes(streets):
    assert open_dataset(streets)[0].mask.tolist() == TRAIN_IDS


def test_objects_are_counted_groups_and_ignored_classes_are_none(streets):
    target = open_dataset(streets)[0].target
    assert isinstance(target, InstanceTarget)
    assert target.instances.tolist() == [[0, 1, 1, 2, 0], [0, 0, 0, 0, 3]]


@pytest.mark.parametrize("form", ["labelIds", "labelTrainIds", "instanceIds", "color"])
def test_every_form_says_the_same(tmp_path, form):
    add(tmp_path, "train", "ulm_1", [form])
    dataset = open_dataset(tmp_path)
    assert dataset[0].mask.tolist() == TRAIN_IDS
    assert isinstance(dataset[0].target, InstanceTarget) == (form == "instanceIds")


def test_of_labels_of_one_colour_the_first_is_meant(tmp_path):
    add(tmp_path, "train", "ulm_1", ["color"])
    save(tmp_path / "gtFine/train/ulm/ulm_1_gtFine_color.png", [[(153, 153, 153)] * 5] * 2)
    assert open_dataset(tmp_path)[0].mask.tolist() == [[5] * 5] * 2


def test_the_best_form_is_read(tmp_path):
    add(tmp_path, "train", "ulm_1", ["labelIds", "labelTrainIds", "color", "instanceIds"])
    add(tmp_path, "train", "ulm_2", ["color", "labelTrainIds"])
    truths = [entry.truth.rpartition("_")[2] for entry in open_dataset(tmp_path).entries]
    assert truths == ["labelIds.png", "labelTrainIds.png"]


def test_the_kind_of_target_can_be_chosen(streets):
    assert isinstance(open_dataset(streets, kind="multi_class")[0].target, MultiClassTarget)
    layers = open_dataset(streets, kind="multi_label")[0].target
    assert isinstance(layers, MultiLabelTarget)
    assert layers.layers[13].sum() == 4
    assert layers.ignore.sum() == 3


def test_layers_come_from_object_files_too(tmp_path):
    add(tmp_path, "train", "ulm_1", ["instanceIds"])
    layers = open_dataset(tmp_path, kind="multi_label")[0].target
    assert layers.layers[13].sum() == 4


def test_objects_that_are_not_there_cannot_be_asked_for(tmp_path):
    add(tmp_path, "train", "ulm_1", ["labelIds"])
    with pytest.raises(UsageError, match="no masks of objects"):
        open_dataset(tmp_path, kind="instance")


def test_a_picture_without_objects_has_none(streets):
    (streets / "gtFine/val/ulm/ulm_000001_000019_gtFine_instanceIds.png").unlink()
    assert isinstance(open_dataset(streets)[2].target, MultiClassTarget)
    assert not open_dataset(streets, kind="instance")[2].target.instances.any()


def test_fine_goes_before_coarse(streets):
    add(streets, "train", "aachen_000000_000019", ["labelIds"], kind="gtCoarse")
    add(streets, "train_extra", "bonn_1", ["labelIds"], kind="gtCoarse")
    dataset = open_dataset(streets)
    kinds = {entry.image.rpartition("/")[2]: entry.truth[:8] for entry in dataset.entries}
    assert kinds["aachen_000000_000019_leftImg8bit.png"] == "gtFine/t"
    assert kinds["bonn_1_leftImg8bit.png"] == "gtCoarse"
    assert any("1 of them coarse" in note for note in dataset.notes)
    assert dataset.splits == ("train", "train_extra", "val")


def test_archives_may_be_unpacked_side_by_side(streets, tmp_path):
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / f"{name}_trainvaltest").mkdir()
        (streets / name).rename(tmp_path / f"{name}_trainvaltest" / name)
    assert len(open_dataset(tmp_path)) == 3


def test_lone_files_and_doubles_are_told_at_once(streets):
    (streets / "gtFine/train/bochum/bochum_000000_000019_gtFine_labelIds.png").unlink()
    (streets / "gtFine/train/bochum/bochum_000000_000019_gtFine_instanceIds.png").unlink()
    (streets / "leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png").unlink()
    add(streets, "val", "aachen_000000_000019")
    found = {(fault.what, fault.file.rpartition("/")[2]) for fault in open_dataset(streets).faults}
    assert found == {
        ("the picture has no mask", "bochum_000000_000019_leftImg8bit.png"),
        ("the mask has no picture", "ulm_000001_000019_gtFine_labelIds.png"),
        ("a picture stands in two splits", "aachen_000000_000019_leftImg8bit.png"),
    }


def test_a_split_of_one_side_is_one_note(streets):
    add(streets, "demoVideo", "stuttgart_1", [])
    dataset = open_dataset(streets)
    assert dataset.faults == ()
    assert "no masks for the 1 pictures of demoVideo" in dataset.notes


def test_a_table_of_all_labels_keeps_them(streets):
    from pixelwise.classes import ClassInfo

    infos = tuple(ClassInfo(label.id, label.name, (label.id, 1, 1)) for label in LABELS)
    table = ClassTable("all labels", infos, None, "test")
    assert open_dataset(streets, classes=table)[0].mask.tolist() == LABEL_IDS


def test_a_table_of_other_names_is_of_stored_ids(streets):
    (streets / "classes.csv").write_text(
        "id,name,r,g,b,use\n7,lane,1,1,1,class\n26,vehicle,2,2,2,class\n0,x,,,,ignore\n"
        "29,y,3,3,3,class\n3,z,4,4,4,class\n33,w,5,5,5,class\n"
    )
    dataset = open_dataset(streets)
    assert dataset[0].mask.tolist() == LABEL_IDS
    assert dataset[0].target.instances.tolist() == [[0, 1, 1, 2, 0], [0, 0, 3, 0, 4]]


def test_numbers_that_are_no_labels_are_told(streets):
    save(streets / "gtFine/val/ulm/ulm_000001_000019_gtFine_labelIds.png", [[77] * 5] * 2)
    with pytest.raises(MaskFileError, match="no class ids") as caught:
        open_dataset(streets)[2]
    assert "77 × 10" in caught.value.got


def test_masks_of_two_sizes_are_told(streets):
    path = streets / "gtFine/val/ulm/ulm_000001_000019_gtFine_instanceIds.png"
    save(path, [[7, 7]], np.uint16)
    with pytest.raises(MaskFileError, match="differ in size"):
        open_dataset(streets)[2]


def test_the_labels_are_those_of_the_built_in_table():
    classes = ClassTable.builtin("cityscapes")
    evaluated = {label.train: label for label in LABELS if label.train != 255}
    assert [evaluated[info.id].name for info in classes] == list(classes.names)
    assert [evaluated[info.id].colour for info in classes] == [info.colour for info in classes]
    assert [label.id for label in LABELS] == list(range(34))
    assert are_official(classes)
    assert official_ids(classes)[13] == 26


def test_a_car_by_another_name_is_no_label():
    assert not are_official(ClassTable.builtin("voc"))
