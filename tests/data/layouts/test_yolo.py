"""YOLO's polygons: labels found by its rule, read to the pixel, written back exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from pixelwise import data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.check import check
from pixelwise.data.layouts.yolo import lines_of
from pixelwise.data.objects import AnnotatedObject, objects_of, paint
from pixelwise.data.shapes import Outline
from pixelwise.data.targets import InstanceTarget
from pixelwise.errors import DatasetError, MaskFileError

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).resolve().parents[4] / "shared/data")
SIZE = (10, 20)
LINE = "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n"
YAML = "path: ../datasets/toy\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


# Ten lists of ten of the list before: written out, more text than any memory holds.
BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 15)
)
BOMB += "path: *a14\ntrain: *a14\nnames: [cat, *a14]\n"


@pytest.fixture
def write(tmp_path):
    """Writes label files (by picture) and other files; gives the opened data set."""

    def write(labels, yaml="", request=None, label_folder="labels", **others):
        for name, text in labels.items():
            image = tmp_path / "images" / f"{name}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(image)
            label = tmp_path / label_folder / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                label.write_text(text)
        if yaml:
            (tmp_path / "data.yaml").write_text(yaml)
        for name, text in others.items():
            (tmp_path / name).write_text(text)
        return data.open(tmp_path, **(request or {}))

    return write


def kinds(dataset):
    return {fault.what for fault in dataset.faults}


def test_polygons_are_filled(write):
    dataset = write({"a": LINE}, YAML)
    assert (dataset.layout, dataset.faults) == ("yolo", ())
    assert dataset.classes.names == ("cat", "dog", "background")
    target = dataset[0].target
    assert (target.mask[2:6, 2:10] == 0).all()
    assert (target.instances == (target.mask == 0)).all()
    assert target.mask[0, 0] == dataset.rest == 2


def test_splits_come_from_the_yaml_file(write):
    dataset = write({"train/a": LINE, "val/b": LINE, "more/c": LINE}, YAML)
    assert [(entry.image, entry.split) for entry in dataset.entries] == [
        ("images/more/c.png", ""),
        ("images/train/a.png", "train"),
        ("images/val/b.png", "val"),
    ]
    assert dataset.entries[1].truth == "labels/train/a.txt"


def test_splits_may_be_lists_of_pictures(write):
    lists = {"one.txt": "./images/a.png\n", "two.txt": "/other/machine/images/b.png\nimages/c.png"}
    yaml = "train: one.txt\nval: [two.txt]\nnames: [cat]\n"
    dataset = write({"a": LINE, "b": LINE, "c": LINE}, yaml, **lists)
    assert [entry.split for entry in dataset.entries] == ["train", "", "val"]


@pytest.mark.parametrize("names", ["names: [cat, dog]", "names: {0: cat, 1: dog}"])
def test_names_may_be_a_list_or_a_mapping(write, names):
    assert write({"a": LINE}, names).classes.names[:2] == ("cat", "dog")


def test_without_names_the_classes_are_numbered(write):
    dataset = write({"a": LINE + LINE.replace("0 ", "3 ", 1)})
    assert dataset.classes.names == ("class 0", "class 1", "class 2", "class 3", "background")
    assert any("numbered" in note for note in dataset.notes)


def test_numbers_are_places_in_a_table_of_the_user(write):
    mine = ClassTable(
        "mine",
        (
            ClassInfo(0, "background", (0, 0, 0)),
            ClassInfo(4, "cat", (1, 1, 1)),
            ClassInfo(9, "dog", (2, 2, 2)),
        ),
        None,
        "",
    )
    dataset = write({"a": LINE.replace("0 ", "1 ", 1)}, request={"classes": mine})
    assert set(np.unique(dataset[0].target.mask)) == {0, 9}


def test_labels_may_lie_beside_their_pictures(write):
    dataset = write({"a": LINE}, label_folder="images")
    assert dataset.entries[0].truth == "images/a.txt"


@pytest.mark.parametrize(("said", "expected"), [("ignored", 255), ("dog", 1)])
def test_the_file_may_say_what_uncovered_pixels_are(write, said, expected):
    dataset = write({"a": LINE}, YAML + f"uncovered_pixels: {said}\n")
    assert dataset[0].target.mask[0, 0] == expected


def test_pictures_without_label_file_have_no_objects(write):
    dataset = write({"a": LINE, "b": None, "c": ""})
    assert [(fault.file, fault.severity) for fault in dataset.faults] == [
        ("images/b.png", "warning")
    ]
    for place in (1, 2):
        assert (dataset[place].target.mask == dataset.rest).all()


def test_all_label_files_may_be_empty_where_names_are(write):
    assert len(write({"a": "", "b": "\n"}, YAML)) == 2


def test_label_files_without_picture_are_told(write):
    root = write({"a": LINE}).root
    (root / "labels/z.txt").write_text(LINE)
    assert kinds(data.open(root)) == {"the label file has no picture"}


@pytest.mark.parametrize(
    ("line", "what", "readable"),
    [
        ("0 0.5 0.5 0.2 0.2", "boxes, not polygons", False),
        ("0 0.1 0.2 0.5 0.2 0.5", "a line lacks a coordinate", False),
        ("cat 0.1 0.2 0.5 0.2 0.5 0.6", "a line is not of numbers", False),
        ("0.5 0.1 0.2 0.5 0.2 0.5 0.6", "a line does not begin with a class's number", False),
        ("-1 0.1 0.2 0.5 0.2 0.5 0.6", "a line does not begin with a class's number", False),
        ("1 0.1 0.2 0.5 nan 0.5 0.6", "a point of an outline is no number", False),
        ("1 0.1 0.2", "an outline has fewer than 3 points", True),
        ("1 0.1 0.2 1.5 0.2 0.5 0.6", "an outline reaches out of the picture", True),
        ("1 100 200 500 200 500 600", "an outline lies outside the picture", True),
        ("7 0.1 0.2 0.5 0.2 0.5 0.6", "a class's number is not among the names", True),
    ],
)
def test_faults_of_a_line_are_told(write, line, what, readable):
    dataset = write({"a": LINE * 3 + line, "b": LINE}, YAML)
    assert kinds(dataset) == {what}
    assert {fault.file for fault in dataset.faults} == {"labels/a.txt"}
    if readable:
        assert dataset[0].target.size == SIZE
    else:
        with pytest.raises(MaskFileError, match="damaged"):
            dataset[0]


def test_faults_name_the_line(write):
    dataset = write({"a": LINE + "\n0 0.5 0.5 0.2 0.2\n"})
    assert dataset.faults[0].got == "line 3"


@pytest.mark.parametrize(
    ("yaml", "what"),
    [
        ("names: [cat", "the YAML file cannot be read"),
        ("names: !!python/object/apply:os.system [ls]", "the YAML file cannot be read"),
        ("nc: 3\nnames: [cat]", "nc is not the number of names"),
        ("names: [cat, Cat]", "two categories share a name"),
        (BOMB, "names of classes are no text"),
    ],
)
def test_faults_of_the_yaml_file_are_told(write, yaml, what):
    assert kinds(write({"a": LINE}, yaml)) == {what}


@pytest.mark.parametrize("text", ["a.png\n", "", "1 2 3\n", "some words\n0 0.5 0.5\n"])
def test_other_texts_are_no_labels(write, text):
    with pytest.raises(DatasetError):
        write({"a": text}, request={"layout": "yolo"})


@given(st.data(), array_shapes(min_dims=2, max_dims=2, max_side=12))
def test_what_is_written_reads_back(draw, shape):
    classes = ClassTable(
        "toy",
        tuple(ClassInfo(id_, f"c{id_}", (id_, 1, 1), "thing") for id_ in (0, 5, 6)),
        255,
        "",
    )
    mask = draw.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 5, 6])))
    numbers = draw.draw(arrays(np.int32, shape, elements=st.integers(1, 3)))
    target = InstanceTarget(mask, np.where(mask > 0, numbers, 0).astype(np.int32))
    objects = objects_of(target, classes, uncovered=0)
    lines = lines_of(objects, {5: 0, 6: 1}, shape)
    again = []
    for thing, line in zip(objects, lines, strict=True):
        number, *values = line.split()
        ring = np.array(values, np.float32).reshape(-1, 2)
        shape_ = Outline(ring, (len(ring),), relative=True)
        again.append(AnnotatedObject((5, 6)[int(number)], shape_, instance=thing.instance))
    painted = paint(again, classes, shape, uncovered=0)
    np.testing.assert_array_equal(painted.mask, target.mask)
    np.testing.assert_array_equal(painted.instances, target.instances)


def test_large_pictures_are_written_with_enough_digits():
    size = (40_000, 60_000)
    ring = np.array([[59_999, 39_999], [60_000, 39_999], [60_000, 40_000], [59_999, 40_000]])
    lines = lines_of([AnnotatedObject(1, Outline.of([ring]))], {1: 0}, size)
    values = np.array(lines[0].split()[1:], np.float32).reshape(-1, 2)
    rows, columns, inside = Outline(values, (4,), relative=True).patch(size)
    assert inside.sum() == 1
    assert (rows.start + inside.argmax() // inside.shape[1], columns.stop) == (39_999, 60_000)


def test_the_real_sample_has_two_labels_without_picture():
    folder = DATA / "coco128_seg"
    if not folder.is_dir():
        pytest.skip("coco128_seg is not there: set PIXELWISE_DATA to the folder that holds it")
    dataset = data.open(folder)
    assert (dataset.layout, len(dataset), dataset.splits) == ("yolo", 128, ("train",))
    errors = [fault.file for fault in dataset.faults if fault.severity == "error"]
    assert errors == [f"labels/train2017/000000000{number}.txt" for number in (656, 659)]
    sample = dataset["images/train2017/000000000241"]
    assert sample.target.instances.max() > 10


def test_a_check_counts_pictures_without_label_file_as_labelled(write):
    assert check(write({"a": LINE, "b": None})).facts()["labelled"] == 2
