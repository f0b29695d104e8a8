"""Numbers of objects beside masks of classes, in the layout of folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.data import open as open_dataset
from pixelwise.errors import MaskFileError

MASK = [[0, 1, 1, 2]]


@pytest.fixture
def made(tmp_path):
    """Pictures, masks, and objects for the first two of three pictures."""
    for number in range(3):
        for folder in ("photos/train", "masks/train", "instances/train"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 1)).save(tmp_path / "photos" / "train" / f"{number}.jpg")
        mask = Image.fromarray(np.array(MASK, np.uint8))
        mask.save(tmp_path / "masks" / "train" / f"{number}.png")
        if number < 2:
            numbers = np.array([[0, 7, 300, 0]], np.uint16)
            path = tmp_path / "instances" / "train" / f"{number}.png"
            Image.fromarray(numbers).save(path)
    return tmp_path


def test_objects_beside_the_masks_are_read(made):
    dataset = open_dataset(made)
    assert dataset.layout == "folders"
    assert dataset.faults == ()
    assert [entry.image[:7] for entry in dataset.entries] == ["photos/"] * 3
    assert dataset[0].mask.tolist() == MASK
    assert dataset[0].target.instances.tolist() == [[0, 7, 300, 0]]
    assert isinstance(dataset[2].target, MultiClassTarget)


def test_the_kind_of_target_can_be_chosen(made):
    assert isinstance(open_dataset(made, kind="multi_class")[0].target, MultiClassTarget)
    assert isinstance(open_dataset(made, kind="multi_label")[0].target, MultiLabelTarget)
    instances = open_dataset(made, kind="instance")
    assert instances[0].mask.tolist() == MASK
    assert isinstance(instances[2].target, InstanceTarget)
    assert not instances[2].target.instances.any()


def test_objects_of_another_size_are_told(made):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(made / "instances" / "train" / "0.png")
    with pytest.raises(MaskFileError, match="differ in size") as caught:
        open_dataset(made)[0]
    assert "instances/train/0.png" in caught.value.where


def test_fractions_are_no_numbers_of_objects(made):
    path = made / "instances" / "train" / "0.png"
    Image.new("LA", (4, 1)).save(path)
    with pytest.raises(MaskFileError):
        open_dataset(made)[0]


def test_objects_are_not_taken_for_pictures(tmp_path):
    for folder in ("train", "trainannot", "instances"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 1)).save(tmp_path / "train" / "0.png")
    Image.fromarray(np.array(MASK, np.uint8)).save(tmp_path / "trainannot" / "0.png")
    Image.fromarray(np.array([[0, 7, 300, 0]], np.uint16)).save(tmp_path / "instances" / "0.png")
    dataset = open_dataset(tmp_path)
    assert dataset.faults == ()
    assert dataset[0].target.instances.tolist() == [[0, 7, 300, 0]]
