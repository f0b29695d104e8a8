from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.data import open as open_dataset
from pixelwise.errors import UsageError


@pytest.fixture
def scenes(tmp_path):
    base = tmp_path / "ADEChallengeData2016"
    for split, name in (
        ("training", "ADE_train_00000001"),
        ("training", "ADE_train_00000002"),
        ("validation", "ADE_val_00000001"),
    ):
        for role in ("images", "annotations"):
            (base / role / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(base / "images" / split / f"{name}.jpg")
        mask = Image.fromarray(np.array([[0, 1, 150], [1, 1, 13]], np.uint8))
        mask.save(base / "annotations" / split / f"{name}.png")
    return base


def test_names_of_ade20k_are_known(scenes):
    for root in (scenes, scenes.parent):
        dataset = open_dataset(root)
        assert dataset.layout == "ade20k"
        assert dataset.faults == ()
        assert [entry.split for entry in dataset.entries] == ["train", "train", "val"]
        assert len(dataset.classes) == 150


def test_zero_is_ignored_and_ids_start_at_one(scenes):
    dataset = open_dataset(scenes)
    assert dataset[0].mask.tolist() == [[0, 1, 150], [1, 1, 13]]
    assert dataset.classes.ignore_index == 0
    assert [dataset.classes.find(number).name for number in (1, 13, 150)] == [
        "wall",
        "person",
        "flag",
    ]


def test_lone_files_are_told(scenes):
    (scenes / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    (scenes / "images" / "validation" / "ADE_val_00000001.jpg").unlink()
    found = [(fault.what, fault.file) for fault in open_dataset(scenes).faults]
    assert found == [
        ("the picture has no mask", "images/training/ADE_train_00000002.jpg"),
        ("the mask has no picture", "annotations/validation/ADE_val_00000001.png"),
    ]


def test_other_names_are_folders(scenes):
    for path in sorted(scenes.rglob("ADE_*")):
        path.rename(path.with_name(path.name.replace("ADE_", "scene_")))
    assert open_dataset(scenes).layout == "folders"


def test_there_are_no_objects(scenes):
    with pytest.raises(UsageError, match="no objects"):
        open_dataset(scenes, layout="ade20k", kind="instance")
