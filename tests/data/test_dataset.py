from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry, Sample
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.targets import MultiLabelTarget
from pixelwise.errors import MaskFileError, UsageError


@pytest.fixture
def dataset(tmp_path):
    entries = []
    for number in range(4):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"{number}.png")
        Image.new("L", (8, 6), number).save(tmp_path / f"{number}_mask.png")
        split = "train" if number else "val"
        entries.append(Entry(f"{number}.png", f"{number}_mask.png", split))
    return Dataset(tmp_path, "folders", ClassTable.builtin("camvid"), tuple(entries), MaskFiles())


def test_samples_are_found_by_place_and_by_name(dataset):
    assert len(dataset) == 4
    for number, sample in enumerate(dataset):
        assert sample.name == str(number)
        assert (sample.image == (number, 0, 0)).all()
        assert (sample.mask == number).all()
    assert dataset["2"].mask[0, 0] == dataset[2].mask[0, 0] == dataset[-2].mask[0, 0] == 2


def test_splits_slices_and_subsets_keep_the_rest(dataset):
    assert dataset.splits == ("val", "train")
    assert [entry.name for entry in dataset.split("train").entries] == ["1", "2", "3"]
    assert [entry.name for entry in dataset[1:3].entries] == ["1", "2"]
    assert [entry.name for entry in dataset.subset([3, 0]).entries] == ["3", "0"]
    assert dataset.subset([3]).classes is dataset.classes


def test_a_wrong_split_or_name_is_told_with_the_known_ones(dataset):
    with pytest.raises(UsageError, match="did you mean train"):
        dataset.split("trian")
    with pytest.raises(UsageError, match="no such sample"):
        dataset["9"]
    with pytest.raises(UsageError, match="pixelwise data split"):
        dataset.subset([]).split("train")


def test_a_mask_of_another_size_is_refused(dataset):
    Image.new("L", (8, 5)).save(dataset.root / "1_mask.png")
    with pytest.raises(MaskFileError, match="differ in size") as caught:
        dataset[1]
    assert "8×6" in caught.value.got
    assert "8×5" in caught.value.got


def test_entries_are_named_by_their_path_without_suffix():
    assert Entry("a/b.c.png", "").name == "a/b.c"
    assert Entry("a.b/c", "").name == "a.b/c"
    assert Entry(".png", "").name == ".png"


def test_several_classes_per_pixel_are_no_mask():
    layers = MultiLabelTarget(np.zeros((2, 1, 1), np.bool_), np.zeros((1, 1), np.bool_))
    with pytest.raises(UsageError, match=r"target\.layers"):
        _ = Sample("a", np.zeros((1, 1, 3), np.uint8), layers).mask
