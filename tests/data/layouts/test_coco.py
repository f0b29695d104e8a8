"""COCO's annotation files: read to the pixel, with every fault told."""

from __future__ import annotations

import json
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
from pixelwise.data.layouts.coco import annotation_of
from pixelwise.data.objects import AnnotatedObject, objects_of, paint
from pixelwise.data.shapes import ColumnRuns, Outline, Pixels
from pixelwise.data.targets import MultiClassTarget
from pixelwise.errors import MaskFileError
from pixelwise.formats.annotations import UNCOVERED_KEY
from pixelwise.formats.rle import column_counts, pack_counts
from pixelwise.region_files.coco import category_of

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).resolve().parents[4] / "shared/data")
SIZE = (10, 14)
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
SQUARE = [2, 2, 6, 2, 6, 6, 2, 6]
MISSING = "a picture of the annotation file is not there"
BLOB = np.indices(SIZE).sum(axis=0) % 5 == 0


def annotation(segmentation=None, *, image_id=1, category_id=1, **others):
    entry = {"id": 1, "image_id": image_id, "category_id": category_id}
    return entry | {"segmentation": [SQUARE] if segmentation is None else segmentation} | others


def image(number=1, name="a.png", size=SIZE):
    return {"id": number, "file_name": name, "height": size[0], "width": size[1]}


@pytest.fixture
def write(tmp_path):
    """Writes pictures and an annotation file; gives the opened data set."""

    def write(*annotations, file="instances.json", pictures=("a.png",), request=None, **others):
        for name in pictures:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(tmp_path / name)
        content = {"images": [image()], "annotations": annotations, "categories": CATEGORIES}
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | others))
        return data.open(tmp_path, layout="coco", **(request or {}))

    return write


def kinds(dataset):
    return {fault.what for fault in dataset.faults}


def test_polygons_are_filled(write):
    target = write(annotation())[0].target
    assert target.mask.sum() == 16
    assert (target.mask[2:6, 2:6] == 1).all()
    assert (target.instances == target.mask).all()


def test_rings_of_one_object_are_united(write):
    target = write(annotation([SQUARE, [4, 4, 8, 4, 8, 8, 4, 8]]))[0].target
    assert target.mask.sum() == 28


@pytest.mark.parametrize("packed", [True, False])
def test_run_lengths_are_read(write, packed):
    counts = column_counts(BLOB)
    value = {"size": list(SIZE), "counts": pack_counts(counts) if packed else counts.tolist()}
    target = write(annotation(value))[0].target
    np.testing.assert_array_equal(target.mask == 1, BLOB)


def test_crowds_have_no_number(write):
    counts = column_counts(BLOB).tolist()
    crowd = annotation({"size": list(SIZE), "counts": counts}, iscrowd=1, category_id=3)
    target = write(crowd)[0].target
    np.testing.assert_array_equal(target.mask == 3, BLOB)
    assert not target.instances.any()


def test_the_background_is_the_first_free_id(write):
    dataset = write(annotation())
    assert dataset.rest == 0
    assert dataset.classes.names == ("background", "person", "car")
    taken = [{"id": 0, "name": "person"}, {"id": 1, "name": "car"}]
    assert write(annotation(), categories=taken).rest == 2


def test_a_category_named_background_is_the_background(write):
    dataset = write(annotation(), categories=[{"id": 9, "name": "Background"}, *CATEGORIES])
    assert dataset.rest == 9
    assert dataset[0].target.mask[0, 0] == 9


def test_ignored_pixels_come_from_a_category(write):
    dataset = write(annotation(), categories=[{"id": 1, "name": "__ignore__"}, CATEGORIES[1]])
    assert dataset[0].target.mask[3, 3] == dataset.classes.ignore_index == 255
    assert not dataset[0].target.instances.any()


@pytest.mark.parametrize(("said", "expected"), [("ignored", 255), ("car", 3), ("other", 0)])
def test_the_file_may_say_what_uncovered_pixels_are(write, said, expected):
    dataset = write(annotation(), info={UNCOVERED_KEY: said})
    assert dataset[0].target.mask[0, 0] == expected
    assert dataset.rest is None
    assert said == "ignored" or said in dataset.classes


def test_names_of_coco_bring_its_colours_and_kinds(write):
    categories = [*CATEGORIES, {"id": 187, "name": "sky-other-merged"}]
    classes = write(annotation(), categories=categories).classes
    assert classes.find("car").colour == (0, 0, 142)
    assert classes.find("sky-other-merged").kind == "stuff"
    assert classes.find("person").kind == "thing"


def test_colours_and_kinds_of_the_file_come_first(write):
    entry = {"id": 1, "name": "person", "color": [1, 2, 3], "isthing": 0}
    dataset = write(annotation(), categories=[entry])
    assert dataset.classes.find("person").colour == (1, 2, 3)
    assert not dataset[0].target.instances.any()


def test_numbers_too_large_for_ids_are_counted(write):
    categories = [{"id": 90_000, "name": "a"}, {"id": 80_000, "name": "b"}]
    dataset = write(annotation(category_id=90_000), categories=categories)
    assert dataset[0].target.mask[3, 3] == dataset.classes.find("a").id == 2


def test_a_table_of_the_user_is_used_by_name(write):
    mine = ClassTable("mine", (ClassInfo(5, "car", (9, 9, 9)),), None, "")
    dataset = write(annotation(category_id=3), request={"classes": mine})
    assert dataset[0].target.mask[3, 3] == 5
    assert dataset[0].target.mask[0, 0] == dataset.classes.ignore_index
    assert kinds(dataset) == {"a category is not in the class table"}


@pytest.mark.parametrize(
    ("file", "picture", "name"),
    [
        ("annotations/instances_val2017.json", "val2017/a.png", "a.png"),
        ("annotations/instances.json", "images/a.png", "a.png"),
        ("train/_annotations.coco.json", "train/a.png", "a.png"),
        ("x/y.json", "x/images/a.png", "images/a.png"),
        ("y.json", "images/b/a.png", "images\\b\\a.png"),
    ],
)
def test_pictures_are_found_where_people_put_them(write, file, picture, name):
    dataset = write(annotation(), file=file, pictures=[picture], images=[image(name=name)])
    assert [entry.image for entry in dataset.entries] == [picture]
    assert dataset.splits == tuple(s for s in ("train", "val") if s in file)


def test_pictures_of_one_name_are_told_apart_by_their_split(write):
    dataset = write(
        annotation(),
        file="annotations/instances_val2017.json",
        pictures=["train2017/a.png", "val2017/a.png"],
    )
    assert [entry.image for entry in dataset.entries] == ["val2017/a.png"]


def test_files_of_several_splits_are_one_data_set(write):
    pictures = ["train2017/a.png", "val2017/b.png"]
    write(annotation(), file="annotations/instances_train2017.json", pictures=pictures)
    dataset = write(
        annotation(category_id=3),
        file="annotations/instances_val2017.json",
        images=[image(name="b.png")],
    )
    assert dataset.splits == ("train", "val")
    assert dataset.split("val")[0].target.mask[3, 3] == 3
    assert "a.png" in {path.name for path in dataset.root.iterdir()}


def test_things_are_chosen_before_keypoints_and_stuff(write):
    write(file="annotations/stuff_val2017.json")
    write(file="annotations/person_keypoints_val2017.json")
    dataset = write(annotation(), file="annotations/instances_val2017.json")
    assert dataset.entries[0].truth == "annotations/instances_val2017.json"
    assert any("stuff_val2017" in note for note in dataset.notes)


def test_a_file_that_is_named_is_read(write):
    write(annotation(), file="annotations/instances_val2017.json")
    dataset = write(annotation(category_id=3), file="stuff_val2017.json")
    named = data.open(dataset.root / "stuff_val2017.json")
    assert named[0].target.mask[3, 3] == 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"categories": []}, "annotations are of a category that the file does not list"),
        ({"images": [image(), image(2, "b.png")]}, MISSING),
        ({"images": [image(name="../../secret.png")]}, MISSING),
        ({"images": [image(name="/etc/a.png")]}, MISSING),
        ({"images": [image(name=["a.png"])]}, MISSING),
        ({"images": [image(), image(2)]}, "a picture stands twice in the annotation file"),
        (
            {"images": [image(), image(1, "c.png")], "pictures": ("a.png", "c.png")},
            "images share an id or have none",
        ),
        ({"images": [image(), {"id": 4}]}, "entries of 'images' lack what COCO's have"),
        ({"images": [image(7)]}, "annotations are of images that the file does not list"),
        ({"categories": [*CATEGORIES, {"id": 1, "name": "dog"}]}, "two categories share a number"),
        ({"categories": [*CATEGORIES, {"id": 2, "name": "CAR"}]}, "two categories share a name"),
        (
            {"categories": [*CATEGORIES, {"id": 2, "name": "a\x1b[2J"}]},
            "a category's name cannot be shown",
        ),
        (
            {"categories": [*CATEGORIES, {"name": "dog"}, 3]},
            "a category has no number or no name",
        ),
    ],
)
def test_faults_of_the_file_are_told(write, changes, what):
    dataset = write(annotation(), **changes)
    assert kinds(dataset) == {what}
    assert {fault.severity for fault in dataset.faults} == {"error"}


def test_pictures_without_an_entry_are_a_warning(write):
    (fault,) = write(annotation(), pictures=("a.png", "c.png")).faults
    assert (fault.file, fault.severity) == ("c.png", "warning")


@pytest.mark.parametrize(
    ("segmentation", "what", "readable"),
    [
        ([[1, 1, 5, 5]], "an outline has fewer than 3 points", True),
        ([[1, 1, 5, 5, 30, 1]], "an outline reaches out of the picture", True),
        ([[21, 1, 25, 5, 30, 1]], "an outline lies outside the picture", True),
        ([[1, 1, 5, float("nan"), 3, 1]], "a point of an outline is no number", False),
        ([[1, 1, 5, 1e999, 3, 1]], "a point of an outline is no number", False),
        ([[1, 1, 5, 5, 3]], "a segmentation is damaged", False),
        ([[1, 1, 5, "x", 3, 2]], "a segmentation is damaged", False),
        ([{"a": 1}], "a segmentation is damaged", False),
        ("text", "a segmentation is damaged", False),
        ({"counts": "0"}, "a segmentation is damaged", False),
        ({"counts": [1.5], "size": list(SIZE)}, "a segmentation is damaged", False),
        ({"counts": 3, "size": list(SIZE)}, "a segmentation is damaged", False),
        ([], "annotations have a box but no outline", False),
    ],
)
def test_faults_of_an_object_are_told(write, segmentation, what, readable):
    dataset = write(annotation(segmentation))
    assert kinds(dataset) == {what}
    if readable:
        assert dataset[0].target.size == SIZE
    else:
        with pytest.raises(MaskFileError, match="damaged"):
            dataset[0]


def test_every_damaged_segmentation_is_told_with_its_number(write):
    wrong = [annotation([[1, 1, 5, 5, 3]], image_id=1) | {"id": number} for number in (7, 9)]
    dataset = write(annotation(), *wrong)
    faults = [fault for fault in dataset.faults if fault.what == "a segmentation is damaged"]
    assert [fault.got.partition(":")[0] for fault in faults] == ["annotation 7", "annotation 9"]


def test_regions_that_do_not_count_stand_under_an_own_key(write):
    mask = np.zeros(SIZE, np.bool_)
    mask[7:, :5] = True
    region = {"size": list(SIZE), "counts": pack_counts(column_counts(mask))}
    entries = [{"image_id": 1, "segmentation": region}]
    dataset = write(annotation(), pixelwise={"ignored": entries})
    assert dataset.faults == ()
    target = dataset[0].target
    np.testing.assert_array_equal(target.mask == dataset.classes.ignore_index, mask)
    assert target.instances.max() == 1
    foreign = write(annotation(), pixelwise={"ignored": [{"image_id": 5}, {}, 3]})
    assert [fault.got for fault in foreign.faults] == ["3 annotations, such as of image 5"]


def test_damaged_run_lengths_name_the_files(write):
    dataset = write(annotation({"size": list(SIZE), "counts": "00"}))
    with pytest.raises(MaskFileError, match="do not fill") as caught:
        dataset[0]
    assert "instances.json" in caught.value.where
    assert "a.png" in caught.value.where


@pytest.mark.parametrize(("size", "fix"), [((9, 14), "annotated"), (SIZE[::-1], "EXIF")])
def test_another_size_than_declared_is_refused(write, size, fix):
    dataset = write(annotation(), images=[image(size=size)])
    with pytest.raises(MaskFileError, match="not of the size") as caught:
        dataset[0]
    assert f"{size[0]}×{size[1]}" in caught.value.got
    assert "10×14" in caught.value.got
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("cut", "got"),
    [(lambda text: text[:-9], "line 1, column"), (lambda text: text + "\n]", "line 2")],
)
def test_broken_json_is_told_with_its_line(write, cut, got):
    root = write(annotation()).root
    path = root / "instances.json"
    path.write_text(cut(path.read_text()))
    dataset = data.open(root, layout="coco")
    assert len(dataset) == 0
    (fault,) = dataset.faults
    assert fault.file == "instances.json"
    assert got in fault.got


def test_json_nested_too_deep_is_a_fault(write):
    root = write(annotation()).root
    (root / "instances.json").write_text(
        '{"images":[],"annotations":[],"categories":' + "[" * 10**6
    )
    assert kinds(data.open(root, layout="coco")) == {"the annotation file cannot be read"}


def test_faults_of_a_kind_are_counted_after_a_thousand(write):
    images = [image(number, f"{number}.png") for number in range(1, 1200)]
    dataset = write(images=[image(0), *images])
    assert len(dataset.faults) == 1001
    assert dataset.faults[-1].got == "and 199 more of this kind"


def test_other_json_is_no_data_set_of_this_layout(write):
    root = write(annotation()).root
    for text in ("[]", '{"shapes": []}', '{"images": [], "annotations": 3, "categories": []}'):
        (root / "instances.json").write_text(text)
        with pytest.raises(data.opening.DatasetError):
            data.open(root, layout="coco")


@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 1, 3]),
    )
)
def test_what_is_written_reads_back(mask):
    classes = ClassTable(
        "toy",
        tuple(ClassInfo(id_, f"c{id_}", (id_, 1, 1), "thing") for id_ in (0, 1, 3)),
        255,
        "",
    )
    objects = objects_of(MultiClassTarget(mask), classes, uncovered=0)
    again = []
    for number, thing in enumerate(objects):
        entry = json.loads(json.dumps(annotation_of(thing, mask.shape, number=number, image_id=1)))
        assert entry["area"] == (mask == thing.class_id).sum()
        left, top, width, height = entry["bbox"]
        assert (mask[top : top + height, left : left + width] == thing.class_id).sum() == entry[
            "area"
        ]
        shape = (
            Outline.of([np.reshape(ring, (-1, 2)) for ring in entry["segmentation"]], separate=True)
            if isinstance(entry["segmentation"], list)
            else ColumnRuns(entry["segmentation"]["counts"], tuple(entry["segmentation"]["size"]))
        )
        again.append(AnnotatedObject(entry["category_id"], shape))
    target = paint(again, classes, mask.shape, uncovered=0, kind="multi_class")
    np.testing.assert_array_equal(target.mask, mask)


def test_objects_have_polygons_and_crowds_and_holes_run_lengths():
    plain = np.ones((3, 3), np.bool_)
    holed = plain.copy()
    holed[1, 1] = False
    for mask, crowd, kind in ((plain, False, list), (plain, True, dict), (holed, False, dict)):
        thing = AnnotatedObject(1, Pixels(mask, 2, 4), crowd)
        entry = annotation_of(thing, SIZE, number=1, image_id=1)
        assert isinstance(entry["segmentation"], kind)
        assert entry["iscrowd"] == crowd
        assert entry["bbox"] == [4, 2, 3, 3]
    assert category_of(ClassInfo(3, "car", (1, 2, 3), "thing")) == {
        "id": 3, "name": "car", "supercategory": "", "isthing": 1, "color": [1, 2, 3],
    }  # fmt: skip


def test_the_sample_of_the_panoptic_paper_reads_alike_in_both_forms():
    folder = DATA / "panopticapi_sample"
    if not folder.is_dir():
        pytest.skip(
            "panopticapi_sample is not there: set PIXELWISE_DATA to the folder that holds it"
        )
    drawn, coded = data.open(folder, layout="coco"), data.open(folder, layout="panoptic")
    assert not drawn.faults
    assert not coded.faults
    for sample in coded:
        mask = np.where(sample.target.mask == 255, drawn.rest, sample.target.mask)
        other = drawn[sample.name].target
        np.testing.assert_array_equal(other.mask, mask)
        np.testing.assert_array_equal(other.instances > 0, sample.target.instances > 0)
