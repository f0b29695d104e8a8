from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import DatasetError, MaskFileError, UsageError

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


def test_a_name_that_is_too_long_is_not_there():
    with pytest.raises(pw.PixelwiseError, match="no such folder"):
        pw.data.open("x" * 5000)


def test_masks_of_classes_are_not_passed_off_as_objects(made):
    table = pw.data.open(made).classes
    dataset = pw.data.open(made, classes=table, kind="instance")
    with pytest.raises(MaskFileError, match="no objects"):
        dataset[0]


def coco_of(root, *images, name="annotations.json"):
    listed = [{"id": place, "file_name": image} for place, image in enumerate(images)]
    drawn = {"id": 1, "image_id": 0, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 4]]}
    content = {"images": listed, "annotations": [drawn], "categories": [{"id": 1, "name": "cat"}]}
    text = json.dumps(content, indent=1)
    (root / name).write_text(text)
    return text


def test_a_stray_annotation_file_does_not_hide_the_masks(made):
    coco_of(made, "images/0.jpg")
    dataset = pw.data.open(made)
    assert (dataset.layout, len(dataset), dataset.sureness) == ("coco", 1, 0.5)
    notes = "\n".join(dataset.notes)
    assert "5 picture files are not part of this data set, such as masks/0.png" in notes
    assert "it could also be folders (3 pictures): --layout folders" in notes


def test_an_annotation_file_of_all_pictures_is_sure(made):
    for mask in (made / "masks").iterdir():
        mask.unlink()
    coco_of(made, "images/0.jpg", "images/1.jpg")
    dataset = pw.data.open(made)
    assert (dataset.layout, dataset.sureness) == ("coco", 0.97)
    assert "not part of" not in "\n".join(dataset.notes)


def test_pictures_elsewhere_make_a_layout_less_sure(made):
    coco_of(made, "images/0.jpg")
    for mask in (made / "masks").iterdir():
        mask.rename(made / f"{mask.stem}_photo.png")
    dataset = pw.data.open(made)
    assert (dataset.layout, dataset.sureness) == ("coco", 0.75)
    assert "5 picture files are not part of this data set" in dataset.notes[-1]


def test_several_data_sets_in_one_folder_are_told(made):
    inner = made / "street" / "images"
    inner.mkdir(parents=True)
    for number in range(9):
        Image.new("RGB", (8, 6)).save(inner / f"{number}.jpg")
    assert "data sets of their own in street/" in pw.data.open(made).notes[-1]


def test_what_the_user_says_is_no_guess(made):
    coco_of(made, "images/0.jpg")
    dataset = pw.data.open(made, layout="coco")
    assert dataset.sureness == 1
    assert "not part of" not in "\n".join(dataset.notes)
    assert pw.data.open(made, images="images/{}.jpg", masks="masks/{}.png").sureness == 1


@pytest.mark.parametrize("layout", [None, "coco"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_annotation_file_is_told(tmp_path, layout, kept):
    Image.new("RGB", (8, 6)).save(tmp_path / "0.jpg")
    text = coco_of(tmp_path, "0.jpg")
    (tmp_path / "annotations.json").write_text(text[: int(kept * len(text))])
    (fault,) = pw.data.open(tmp_path, layout=layout).faults
    assert fault.file == "annotations.json"
    assert fault.got.startswith("line ")
    assert "not valid JSON" in fault.got


@pytest.mark.parametrize("layout", [None, "panoptic"])
def test_a_truncated_panoptic_file_is_told(tmp_path, layout):
    (tmp_path / "all.json").write_text(
        '{"images": [],\n"annotations": [{"segments_info": [{"id": 1'
    )
    dataset = pw.data.open(tmp_path, layout=layout)
    assert (dataset.layout, len(dataset)) == ("panoptic", 0)
    assert dataset.faults[0].got.startswith("line 2, column ")
    assert "not valid JSON" in dataset.faults[0].got


def lone(root):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(3):
        Image.new("RGB", (8, 6)).save(root / "images" / f"{number}.jpg")
    Image.new("L", (8, 6)).save(root / "masks" / "020.png")
    (root / "masks" / "1.npy").touch()
    return root


def test_pictures_and_masks_that_do_not_pair_are_counted(tmp_path):
    with pytest.raises(DatasetError) as caught:
        pw.data.open(lone(tmp_path))
    assert caught.value.got == (
        "3 pictures in images/, 1 file in masks/, 0 share a name: images/0.jpg, masks/020.png; "
        "not read: 1 .npy"
    )


def test_patterns_that_pair_nothing_are_not_advised_again(tmp_path):
    with pytest.raises(DatasetError) as caught:
        pw.data.open(lone(tmp_path), images="images/{}.jpg", masks="masks/{}.png")
    assert "3 pictures in images/{}.jpg, 1 file in masks/{}.png" in caught.value.got
    assert "--images" not in caught.value.fix


def test_masks_of_a_kind_that_is_not_read_are_named(tmp_path):
    (lone(tmp_path) / "masks" / "020.png").unlink()
    with pytest.raises(DatasetError, match=r"not read: 1 \.npy"):
        pw.data.open(tmp_path)


@pytest.mark.parametrize("path", [None, "", 3])
def test_what_is_no_path_is_told(path):
    with pytest.raises(UsageError, match="no path"):
        pw.data.open(path)


def test_classes_are_no_list_of_names(made):
    with pytest.raises(UsageError, match="one per line"):
        pw.data.open(made, classes=["a", "b"])


def test_splits_of_another_data_set_are_one_fault(made):
    from pixelwise.data.split_files import write_split_files

    folder = made.parent / f"{made.name}_splits"
    write_split_files({"train": [f"x/{n}.jpg" for n in range(9)]}, {}, folder)
    dataset = pw.data.open(made, splits=folder)
    (fault,) = dataset.faults
    assert (fault.what, fault.severity) == ("these splits are of another data set", "error")
    assert "9 of 9 names are not there, such as x/0.jpg" in fault.got
