from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import DatasetError, UsageError

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).resolve().parents[3] / "shared/data")


def real(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not there: set PIXELWISE_DATA to the folder that holds it")
    return DATA / name


@pytest.fixture
def made(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / "images" / f"{number}.jpg")
        Image.new("L", (8, 6), number).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def test_a_folder_opens_by_itself(made):
    dataset = pw.data.open(made)
    assert dataset.layout == "folders"
    assert [sample.name for sample in dataset] == ["images/0", "images/1", "images/2"]
    assert dataset.classes.ids == (0, 1, 2)


def test_the_kind_of_target_can_be_chosen(made):
    assert isinstance(pw.data.open(made)[0].target, MultiClassTarget)
    assert isinstance(pw.data.open(made, kind="multi_label")[0].target, MultiLabelTarget)
    assert isinstance(pw.data.open(made, kind="instance")[0].target, InstanceTarget)


def test_the_rest_is_named_by_the_user(made):
    assert pw.data.open(made).rest is None
    assert pw.data.open(made, rest="class 1").rest == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "folder"}, "did you mean folders"),
        ({"kind": "multiclass"}, "did you mean multi_class"),
        ({"rest": "class 9"}, "no such class"),
    ],
)
def test_wrong_arguments_are_told(made, arguments, message):
    with pytest.raises(pw.PixelwiseError) as caught:
        pw.data.open(made, **arguments)
    assert message in str(caught.value)


def test_no_data_set_is_an_error_that_says_what_was_seen(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        pw.data.open(tmp_path / "gone")
    with pytest.raises(DatasetError) as caught:
        pw.data.open(tmp_path)
    assert "no files" in caught.value.got
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DatasetError) as caught:
        pw.data.open(tmp_path)
    assert "1 .jpg" in caught.value.got


@pytest.mark.parametrize(
    ("name", "count", "layout", "classes", "splits"),
    [
        ("camvid", 468, "folders", 11, {"train": 367, "val": 101}),
        ("labelmefacade", 705, "folders", 9, {"train": 100, "extra": 605}),
        ("ccp", 800, "folders", 59, {}),
        ("dsb2018", 300, "folders", 2, {}),
        ("dubai_aerial", 54, "folders", 5, {}),
        ("cwfid", 39, "folders", 3, {}),
        ("drive", 20, "folders", 2, {"train": 20}),
        ("davis2016val", 143, "folders", 2, {}),
        ("pets600", 75, "folders", 2, {"trainval": 75}),
        ("coco128_seg", 128, "yolo", 81, {"train": 128}),
        ("panopticapi_sample", 2, "panoptic", 133, {}),
        ("sen1floods11_sample", 1, "folders", 2, {}),
    ],
)
def test_the_real_sets_open(name, count, layout, classes, splits):
    dataset = pw.data.open(real(name))
    assert (len(dataset), dataset.layout, len(dataset.classes)) == (count, layout, classes)
    assert {split: len(dataset.split(split)) for split in dataset.splits} == splits
    for sample in dataset[:2]:
        assert sample.target.size == sample.image.shape[:2]
        found = set(np.unique(sample.mask).tolist())
        assert found <= {*dataset.classes.ids, dataset.classes.ignore_index}


def test_objects_of_the_real_nuclei_are_counted():
    dataset = pw.data.open(real("dsb2018"))
    lines = (dataset.root / "index.csv").read_text().splitlines()[1:]
    for line in lines[:5]:
        image, _, _, _, _, nuclei = line.split(",")
        sample = dataset[image.rpartition(".")[0]]
        assert len(np.unique(sample.target.instances)) - 1 == int(nuclei)


def test_bands_of_the_real_raster_are_kept():
    sample = pw.data.open(real("sen1floods11_sample"))[0]
    assert sample.image.shape == (512, 512, 13)
    assert set(np.unique(sample.mask).tolist()) <= {0, 1, 255}


def test_the_real_field_of_view_is_what_counts():
    sample = pw.data.open(real("drive"))[0]
    assert (sample.mask[:20, :20] == 255).all()
    assert 0.05 < (sample.mask == 1).mean() / (sample.mask != 255).mean() < 0.2
