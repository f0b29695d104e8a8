from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.data import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.data import open as open_dataset
from pixelwise.data.convert import FORMATS, convert, prepare
from pixelwise.errors import DatasetError, OutputExistsError, UsageError

NAMES = (
    "1.jpg", "1.png", "a b.jpg", "ä ö.png", "x/1.jpg", "y/1.jpg", "UPPER.JPG", "upper.jpg",
    "tab\there.png", "100%.jpg", "-n.jpg", "photo_mask.png", "deep/masks/labels_2.jpg", "#3.png",
    "\udcff.png", "dots.in.name.jpeg",
)  # fmt: skip
SPLITS = {
    "folder": ("", "train", "val", "test", "trainval", "extra", "photos"),
    "voc": ("", "train", "val", "trainval", "extra"),
    "cityscapes": ("", "train", "val", "train_extra"),
    "coco": ("", "train", "val", "demo"),
    "yolo": ("", "train", "val", "test"),
}
HIGHEST = {"folder": 65_534, "voc": 254, "cityscapes": 65, "coco": 65_534, "yolo": 65_534}


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@st.composite
def plans(draw, form):
    """What a data set of this format may be: seed, ids, ignored id, background, objects."""
    ids = draw(st.sets(st.integers(1, HIGHEST[form]), min_size=1, max_size=5))
    ignore_index = draw(st.sampled_from([None, 0, 255] + [65_535] * (form != "cityscapes")))
    background = draw(st.booleans())
    if form == "yolo":
        background = background and ignore_index is None
    return {
        "ids": sorted(ids - {ignore_index}) or [7],
        "ignore_index": ignore_index,
        "background": background,
        "objects": draw(st.booleans()) or form == "yolo",
        "names": draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "split": draw(st.lists(st.sampled_from(SPLITS[form]), min_size=1, max_size=3)),
    }


@pytest.mark.parametrize("form", FORMATS)
def test_what_comes_back_is_what_went_in(
    form, tmp_path_factory, given, table, painted, differences
):
    @settings(max_examples=20)
    @forall(plans(form))
    def law(plan):
        root = tmp_path_factory.mktemp("set")
        rng = np.random.default_rng(plan["seed"])
        classes = table(plan["ids"], plan["ignore_index"], background=plan["background"])
        targets = {
            name: painted(rng, classes, objects=plan["objects"], loose=form != "yolo")
            for name in plan["names"]
        }
        splits = {
            name: plan["split"][place % len(plan["split"])] for place, name in enumerate(targets)
        }
        source = given(root / "source", classes, targets, splits)
        convert(source, root / "out", to=form)
        assert differences(source, root / "out", layout=None) == []
        shutil.rmtree(root)

    law()


def test_a_chain_of_formats_loses_nothing(tmp_path, given, table, painted, differences):
    rng = np.random.default_rng(3)
    classes = table([3, 7, 12, 40], 255, background=True)
    targets = {name: painted(rng, classes, objects=True) for name in NAMES}
    splits = {name: ("train", "val")[place % 2] for place, name in enumerate(NAMES)}
    first = source = given(tmp_path / "source", classes, targets, splits)
    masks = [target.mask for target in targets.values()]
    for place, form in enumerate(("folder", "coco", "voc", "cityscapes", "folder")):
        convert(source, tmp_path / str(place), to=form)
        assert differences(source, tmp_path / str(place)) == []
        source = open_dataset(tmp_path / str(place))
    assert len(source) == len(first)
    # The order is that of the new names, so compare as a collection.
    read = [source.read_target(e, source.read_image(e).shape[:2]).mask for e in source.entries]
    assert sorted(m.tolist() for m in read) == sorted(m.tolist() for m in masks)


def test_broken_off_and_gone_on_is_the_same(tmp_path, given, table, painted):
    rng = np.random.default_rng(1)
    classes = table([1, 2], 255)
    targets = {f"{n}.png": painted(rng, classes, objects=True) for n in range(8)}
    source = given(tmp_path / "source", classes, targets)
    for form in ("folder", "voc", "cityscapes", "coco"):
        whole = convert(source, tmp_path / form, to=form)
        assert (whole.samples, whole.kept) == (8, 0)
        there = files(tmp_path / form)
        gone = sorted(there)[1::3]
        for path in gone:
            (tmp_path / form / path).unlink()
        again = convert(source, tmp_path / form, to=form)
        assert (again.written, again.kept) == (len(gone), len(there) - len(gone))
        assert files(tmp_path / form) == there


def test_half_written_files_of_a_dead_process_go(tmp_path, given, table, painted):
    classes = table([1, 2])
    source = given(tmp_path / "s", classes, {"a.png": painted(np.random.default_rng(0), classes)})
    left = tmp_path / "out" / "masks" / ".pixelwise-999999999-0123456789abcdef.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    convert(source, tmp_path / "out", to="folder")
    assert not left.exists()


@pytest.fixture
def small(tmp_path, given, table, painted):
    classes = table([1, 2, 300], 65_535)
    rng = np.random.default_rng(0)
    targets = {f"{n}.png": painted(rng, classes, (9, 7), objects=True) for n in range(3)}
    return given(tmp_path / "source", classes, targets, dict.fromkeys(targets, "train"))


def test_the_source_stays_as_it_is(small, tmp_path):
    before = files(small.root)
    convert(small, tmp_path / "out", to="folder")
    assert files(small.root) == before


def test_what_is_in_the_way_stays(small, tmp_path):
    convert(small, tmp_path / "out", to="folder")
    mask = tmp_path / "out" / "masks" / "train" / "1.png"
    mask.write_bytes(b"mine")
    before = files(tmp_path / "out")
    with pytest.raises(OutputExistsError, match="hold something else") as caught:
        convert(small, tmp_path / "out", to="folder")
    assert caught.value.got == "masks/train/1.png"
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("path", ["README.md", "images/train/other.png", "masks/x"])
def test_a_folder_with_other_files_is_refused(small, tmp_path, path):
    foreign = tmp_path / "out" / path
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    with pytest.raises(OutputExistsError, match="other files") as caught:
        convert(small, tmp_path / "out", to="folder")
    assert path in caught.value.got
    assert files(tmp_path / "out") == {path: b"mine"}


def test_a_folder_of_another_conversion_is_refused(small, tmp_path):
    convert(small, tmp_path / "out", to="folder")
    renamed = replace(small.classes.classes[0], name="another")
    other = replace(
        small, classes=replace(small.classes, classes=(renamed, *small.classes.classes[1:]))
    )
    with pytest.raises(OutputExistsError, match="another conversion"):
        convert(other, tmp_path / "out", to="folder")


def test_a_file_as_output_is_refused(small, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputExistsError):
        convert(small, tmp_path / "out", to="folder")


@pytest.mark.parametrize("inner", [".", "new", "a/../b"])
def test_the_new_set_lies_outside_the_old(small, inner):
    with pytest.raises(UsageError, match="would lie in the old one"):
        convert(small, small.root / inner, to="folder")


def test_a_link_into_the_source_is_seen_through(small, tmp_path):
    (tmp_path / "link").symlink_to(small.root)
    with pytest.raises(UsageError, match="would lie in the old one"):
        convert(small, tmp_path / "link" / "out", to="folder")


def test_an_unknown_format_is_told(small, tmp_path):
    with pytest.raises(UsageError, match="no such format") as caught:
        convert(small, tmp_path / "out", to="folders")
    assert "did you mean folder" in caught.value.fix


def test_pictures_are_copies_not_links(small, tmp_path):
    convert(small, tmp_path / "out", to="folder")
    picture = tmp_path / "out" / "images" / "train" / "0.png"
    assert picture.stat().st_nlink == 1
    assert not picture.is_symlink()


def test_all_reasons_are_told_at_once_and_nothing_is_written(small, tmp_path):
    broken = small.root / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DatasetError) as caught:
        convert(small, tmp_path / "out", to="voc")
    assert "1 of the 3 classes have ids above 254 (up to 300)" in caught.value.got
    assert "2.png" in caught.value.got
    assert "--skip-faulty" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_samples_that_cannot_be_read_are_left_out_on_demand(small, tmp_path, differences):
    (small.root / "1.png").write_bytes(b"no picture")
    converted = convert(small, tmp_path / "out", to="folder", skip_faulty=True)
    assert [fault.file for fault in converted.left_out] == ["1.png"]
    assert differences(small.subset([0, 2]), tmp_path / "out") == []


def test_nothing_readable_is_an_error(small, tmp_path):
    for entry in small.entries:
        (small.root / entry.image).write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="no sample to convert"):
        convert(small, tmp_path / "out", to="folder", skip_faulty=True)


def lost(given, root, classes, target, to, splits=None):
    source = given(root / "source", classes, {"a.png": target}, splits)
    with pytest.raises(DatasetError) as caught:
        convert(source, root / "out", to=to)
    assert not (root / "out").exists()
    return caught.value.got


def objects(mask, instances):
    return InstanceTarget(np.array(mask, np.uint16), np.array(instances, np.int32))


@pytest.mark.parametrize(
    ("to", "mask", "instances", "message"),
    [
        ("coco", [[1, 3]], [[5, 5]], "objects that lie in several classes"),
        ("yolo", [[1, 3]], [[5, 5]], "objects that lie in several classes"),
        ("cityscapes", [[1, 3]], [[5, 5]], "objects that lie in several classes"),
        ("coco", [[1, 255]], [[5, 4]], "objects on ignored pixels"),
        ("coco", [[2, 3]], [[5, 4]], "objects of a class of stuff"),
        ("yolo", [[2, 3]], [[5, 4]], "objects of a class of stuff"),
        ("yolo", [[1, 3]], [[0, 4]], "pixels of things that belong to no object"),
        ("cityscapes", [[1, 71]], [[1, 2]], "ids above 65"),
        ("cityscapes", [[1, 2000]], [[1, 0]], "ids of 1,000 and more beside objects"),
        ("folder", [[1, 3]], [[5, 70_000]], "numbers of objects above 65,535"),
        ("voc", [[1, 3]], [[5, 70_000]], "numbers of objects above 65,535"),
    ],
)
def test_objects_that_a_format_cannot_hold_are_refused(
    to, mask, instances, message, tmp_path, given, table
):
    ids = [1, 2, 3, 71] + [2000] * (to != "voc")
    got = lost(given, tmp_path, table(ids, 255), objects(mask, instances), to)
    assert message in got
    assert "1 samples, such as a" in got


def test_cityscapes_counts_a_thousand_objects_of_a_class(tmp_path, given, table, differences):
    classes = table([1, 2])
    many = np.arange(1, 1002, dtype=np.int32).reshape(7, 143)
    mask = np.ones((7, 143), np.uint8)
    got = lost(given, tmp_path, classes, InstanceTarget(mask, many), "cityscapes")
    assert "more than 1,000 objects of one class" in got
    many[0, 0] = 2
    source = given(tmp_path / "fits", classes, {"a.png": InstanceTarget(mask, many)})
    convert(source, tmp_path / "out", to="cityscapes")
    assert differences(source, tmp_path / "out") == []


def test_an_id_of_zero_has_no_objects_in_cityscapes(tmp_path, given, table):
    classes = table([0, 1])
    thing = replace(classes, classes=tuple(replace(i, kind="thing") for i in classes))
    got = lost(given, tmp_path, thing, objects([[0, 1]], [[1, 2]]), "cityscapes")
    assert "objects of a class of id 0" in got


def test_many_objects_need_sixteen_bits_in_voc(tmp_path, given, table, differences):
    classes = table([1, 2], 255)
    for count in (254, 255, 300):
        instances = np.minimum(np.arange(400), count).reshape(20, 20).astype(np.int32)
        mask = np.ones((20, 20), np.uint8)
        mask[0, 0] = 255
        source = given(tmp_path / f"s{count}", classes, {"a.png": InstanceTarget(mask, instances)})
        convert(source, tmp_path / f"o{count}", to="voc")
        assert differences(source, tmp_path / f"o{count}") == []
        with Image.open(tmp_path / f"o{count}" / "SegmentationObject" / "a.png") as picture:
            assert (picture.mode == "P") == (count == 254)


def test_void_is_255_in_voc_and_objects_on_it_stay(tmp_path, given, table, differences):
    classes = table([1, 2], 11)
    source = given(
        tmp_path / "source", classes, {"a.png": objects([[1, 11, 11, 2]], [[4, 4, 0, 0]])}
    )
    convert(source, tmp_path / "out", to="voc")
    with Image.open(tmp_path / "out" / "SegmentationClass" / "a.png") as picture:
        assert np.array(picture).tolist() == [[1, 255, 255, 2]]
    with Image.open(tmp_path / "out" / "SegmentationObject" / "a.png") as picture:
        assert np.array(picture).tolist() == [[1, 1, 255, 0]]
    assert differences(source, tmp_path / "out") == []


@pytest.mark.parametrize("to", ["folder", "voc"])
def test_a_colour_that_ignored_pixels_share_with_a_class_is_no_matter(
    to, tmp_path, given, table, differences
):
    classes = replace(table([3, 4], 255), ignore_colours=())
    black = replace(classes.classes[0], colour=(0, 0, 0))
    classes = replace(classes, classes=(black, classes.classes[1]))
    target = MultiClassTarget(np.array([[3, 4, 255]], np.uint8))
    source = given(tmp_path / "source", classes, {"a.png": target})
    convert(source, tmp_path / "out", to=to)
    assert differences(source, tmp_path / "out") == []


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_a_background_may_be_written_in_capitals(to, tmp_path, given, table, differences):
    classes = table([2, 4], 255)
    first = replace(classes.classes[0], name="Background")
    classes = replace(classes, classes=(first, classes.classes[1]))
    target = MultiClassTarget(np.array([[2, 4]], np.uint8))
    source = given(tmp_path / "source", classes, {"a.png": target})
    convert(source, tmp_path / "out", to=to)
    assert differences(source, tmp_path / "out") == []


def test_ignored_pixels_beside_a_background_are_not_for_yolo(tmp_path, given, table):
    target = MultiClassTarget(np.array([[2, 255]], np.uint8))
    got = lost(given, tmp_path, table([2, 4], 255, background=True), target, "yolo")
    assert "ignored pixels beside a background (folder, voc and coco keep them)" in got


@pytest.mark.parametrize(
    ("to", "split"), [("yolo", "demo"), ("cityscapes", "all"), ("folder", "a b"), ("voc", "a/b")]
)
def test_splits_that_a_format_cannot_tell_are_refused(to, split, tmp_path, given, table):
    target = MultiClassTarget(np.array([[2, 4]], np.uint8))
    got = lost(given, tmp_path, table([2, 4]), target, to, {"a.png": split})
    assert repr(split) in got


def test_names_that_mean_no_class_are_refused(tmp_path, given, table):
    classes = table([2, 4], 255)
    first, second = classes.classes
    named = replace(classes, classes=(replace(first, name="Ignored"), second))
    target = MultiClassTarget(np.array([[2, 4]], np.uint8))
    assert "'Ignored'" in lost(given, tmp_path / "coco", named, target, "coco")
    assert "'Ignored'" in lost(given, tmp_path / "yolo", named, target, "yolo")
    source = given(tmp_path / "source", named, {"a.png": target})
    convert(source, tmp_path / "out", to="folder")


def test_an_alias_that_the_class_table_cannot_hold_is_refused(tmp_path, given, table):
    classes = table([2])
    odd = replace(classes, classes=(replace(classes.classes[0], aliases=("a|b",)),))
    target = MultiClassTarget(np.array([[2]], np.uint8))
    assert "alias 'a|b'" in lost(given, tmp_path, odd, target, "folder")


@pytest.fixture
def layers():
    pixels = np.zeros((2, 4, 5), np.bool_)
    pixels[0, :2], pixels[1, 1:3] = True, True
    ignore = np.zeros((4, 5), np.bool_)
    return MultiLabelTarget(pixels, ignore)


@pytest.mark.parametrize("to", ["folder", "voc", "cityscapes", "yolo"])
def test_pixels_of_several_classes_are_refused(to, layers, tmp_path, given, table):
    got = lost(given, tmp_path, table([1, 2], 255), layers, to)
    assert "pixels of several classes at once (coco keeps them)" in got
    assert "pixels of no class at all (coco keeps them)" in got


def test_coco_keeps_pixels_of_several_classes(layers, tmp_path, given, table):
    bare = ~layers.layers.any(axis=0)
    classes = table([0, 1, 2], background=True)
    target = MultiLabelTarget(np.stack([bare, *layers.layers]), layers.ignore)
    source = given(tmp_path / "source", classes, {"a.png": target})
    converted = convert(source, tmp_path / "out", to="coco")
    assert "kind='multi_label'" in " ".join(converted.notes)
    read = open_dataset(tmp_path / "out", kind="multi_label")[0].target
    np.testing.assert_array_equal(read.layers, target.layers)
    np.testing.assert_array_equal(read.ignore, target.ignore)


def test_layers_that_do_not_overlap_become_ids(layers, tmp_path, given, table):
    layers.layers[1, :2] = False
    layers.ignore[3] = True
    classes = table([1, 2], 255)
    source = given(tmp_path / "source", classes, {"a.png": layers})
    convert(source, tmp_path / "out", to="folder")
    mask = open_dataset(tmp_path / "out")[0].mask
    assert mask[:, 0].tolist() == [1, 1, 2, 255]


def test_objects_of_a_background_are_kept(tmp_path, given, table, differences):
    classes = table([1, 2], background=True)
    first, second = classes.classes
    classes = replace(classes, classes=(replace(first, kind="thing"), second))
    target = objects([[1, 1, 2]], [[1, 2, 0]])
    source = given(tmp_path / "source", classes, {"a.png": target})
    convert(source, tmp_path / "out", to="coco")
    assert differences(source, tmp_path / "out") == []
    assert "'background'" in lost(given, tmp_path / "yolo", classes, target, "yolo")


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_a_background_is_no_rest_unless_the_source_says_so(to, tmp_path, given, table):
    classes = table([2, 4], background=True)
    target = MultiClassTarget(np.array([[2, 4]], np.uint8))
    for rest in (None, 2):
        source = given(tmp_path / f"s{rest}", classes, {"a.png": target}, rest=rest)
        converted = convert(source, tmp_path / f"o{rest}", to=to)
        assert converted.notes == ()
        assert open_dataset(tmp_path / f"o{rest}").rest == rest


def test_a_rest_that_files_cannot_tell_is_told(tmp_path, given, table):
    classes = table([2, 4])
    target = MultiClassTarget(np.array([[2, 4]], np.uint8))
    source = given(tmp_path / "source", classes, {"a.png": target}, rest=4)
    converted = convert(source, tmp_path / "out", to="folder")
    assert "--rest" in converted.notes[0]


def test_cityscapes_own_classes_get_its_own_numbers(tmp_path, given):
    classes = ClassTable.builtin("cityscapes")
    car, road = classes.find("car").id, classes.find("road").id
    target = objects([[road, car, car, 255]], [[0, 1, 2, 0]])
    source = given(tmp_path / "source", classes, {"a.png": target}, {"a.png": "train"})
    convert(source, tmp_path / "out", to="cityscapes")
    base = tmp_path / "out" / "gtFine" / "train" / "all"
    labels = np.array(Image.open(base / "a_gtFine_labelIds.png"))
    numbers = np.array(Image.open(base / "a_gtFine_instanceIds.png"))
    colours = np.array(Image.open(base / "a_gtFine_color.png"))
    assert labels.tolist() == [[7, 26, 26, 0]]
    assert numbers.tolist() == [[7, 26_000, 26_001, 0]]
    assert colours[0, 1].tolist() == [0, 0, 142]


def test_coco_is_read_by_its_own_tools(tmp_path, given, table, painted):
    tools = pytest.importorskip("pycocotools.coco")
    classes = table([1, 2, 3], 255, background=True)
    target = painted(np.random.default_rng(4), classes, (30, 40), objects=True)
    source = given(tmp_path / "source", classes, {"a.png": target}, {"a.png": "val"})
    convert(source, tmp_path / "out", to="coco")
    coco = tools.COCO(str(tmp_path / "out" / "annotations" / "instances_val.json"))
    names = {category["id"]: category["name"] for category in coco.cats.values()}
    assert names == {2: classes.find(2).name, 3: classes.find(3).name}
    assert {entry["category_id"] for entry in coco.anns.values()} == {2, 3}
    own = coco.dataset["pixelwise"]["ignored"]
    assert [entry["image_id"] for entry in own] == [1]
    ignored = coco.annToMask({"image_id": 1, "segmentation": own[0]["segmentation"]})
    np.testing.assert_array_equal(ignored, target.mask == 255)
    for number in (2, 3):
        drawn = np.zeros(target.size, np.bool_)
        for annotation in coco.loadAnns(coco.getAnnIds(catIds=[number])):
            inside = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == inside.sum()
            drawn |= inside
        np.testing.assert_array_equal(drawn, target.mask == number)


def test_categories_of_coco_are_numbered_from_1(tmp_path, given, table):
    classes = table([0, 4], 255)
    target = MultiClassTarget(np.array([[0, 4, 4], [255, 0, 0]], np.uint8))
    convert(given(tmp_path / "source", classes, {"a.png": target}), tmp_path / "out", to="coco")
    document = json.loads((tmp_path / "out" / "annotations" / "instances.json").read_text())
    assert [category["id"] for category in document["categories"]] == [1, 5]
    assert {entry["category_id"] for entry in document["annotations"]} == {1, 5}
    again = open_dataset(tmp_path / "out")
    assert again.classes.ids == (0, 4)
    np.testing.assert_array_equal(again[0].mask, target.mask)


@pytest.mark.parametrize("split", ["", "trainval"])
def test_voc_without_splits_has_a_list_of_all(tmp_path, given, table, split):
    target = MultiClassTarget(np.array([[1, 2]], np.uint8))
    pictures = {"a.png": target, "b.png": target}
    source = given(tmp_path / "source", table([1, 2]), pictures, dict.fromkeys(pictures, split))
    convert(source, tmp_path / "out", to="voc")
    lists = tmp_path / "out" / "ImageSets" / "Segmentation"
    assert (lists / "trainval.txt").read_text() == "a\nb\n"
    assert open_dataset(tmp_path / "out").splits == ((split,) if split else ())


def test_preparing_writes_nothing(small, tmp_path):
    steps = []
    ready = prepare(small, tmp_path / "out", to="folder", progress=steps.append)
    assert not (tmp_path / "out").exists()
    assert sum(steps) == 3
    ready.write(progress=steps.append)
    assert sum(steps) == 6


def test_threads_change_nothing(small, tmp_path):
    convert(small, tmp_path / "one", to="coco", workers=1)
    convert(small, tmp_path / "four", to="coco", workers=4)
    assert files(tmp_path / "one") == files(tmp_path / "four")


def test_the_facts_fit_into_json(small, tmp_path):
    facts = convert(small, tmp_path / "out", to="folder").to_dict()
    assert facts["samples"] == 3
    assert facts["format"] == "folder"
    assert facts["files_written"] == len(files(tmp_path / "out"))
