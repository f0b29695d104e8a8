from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.augment import Augmentation
from pixelwise.data.loader import Batches
from pixelwise.errors import ClassTableError, UsageError
from pixelwise.training.class_file import read_class_file
from pixelwise.training.merging import training_data, with_run_splits

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PIXELWISE_DATA") or ROOT.parent / "shared/data")
STREET = ("camvid", "labelmefacade", "ccp")


def table(name, *names, ids=None, ignore_index=None):
    numbers = ids or range(len(names))
    infos = (ClassInfo(n, text, (n, 7, 9)) for n, text in zip(numbers, names, strict=True))
    return ClassTable(name, tuple(infos), ignore_index, "")


TOWN = table("town", "Road", "Walker", "Void", ids=(1, 5, 9), ignore_index=11)
SHOP = table("shop", "null", "skin", "purse", "hair")
FILE = """
classes: [road, house, person, bag]
sets:
  town:
    classes: {Walker: [person, bag], Void: ignored}
    unlabelled: [house, bag]
  shop:
    classes: {"null": {all but: bag}, purse: bag}
    others: person
    around: {pixels: 1, of: [person, bag]}
    splits: {"": train}
"""


@pytest.fixture
def make_set(tmp_path):
    def make(classes, rows, **options):
        root = tmp_path / classes.name
        for kind, pixels in (
            ("images", np.zeros((*np.shape(rows), 3), np.uint8)),
            ("masks", np.array(rows, np.uint8)),
        ):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / kind / "a.png")
        return pw.data.open(root, classes=classes, **options)

    return make


@pytest.fixture
def town(make_set):
    return make_set(TOWN, [[1, 5, 9, 11]])


@pytest.fixture
def shop(make_set):
    return make_set(SHOP, [[0, 0, 1, 3, 2, 0, 0]])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text(FILE, "utf-8")
    return read_class_file(path)


def may_be(data, values):
    names = np.array(data.classes.names)
    return [set(names[row]) for row in data.candidates[values]]


def test_ids_of_one_set_become_channels(town):
    data = training_data([town])
    np.testing.assert_array_equal(data.dataset[0].mask, [[0, 1, 2, 255]])
    assert data.classes.names == TOWN.names
    assert data.classes.ids == (0, 1, 2)
    assert (data.ignore_index, data.candidates, data.lengths) == (255, None, (1,))
    np.testing.assert_array_equal(data.own_terms[0].of_channel, [0, 1, 2])


def test_an_id_that_no_class_has_is_still_a_fault(make_set):
    data = training_data([make_set(table("bare", "a", "b"), [[0, 1, 255]])])
    with pytest.raises(pw.errors.MaskFileError, match="255"):
        data.dataset[0]


def test_objects_of_one_set_are_kept():
    nuclei = pw.data.open(ROOT / "examples" / "nuclei")
    data = training_data([nuclei])
    np.testing.assert_array_equal(data.dataset[0].target.instances, nuclei[0].target.instances)


def test_pixels_that_a_set_cannot_tell_get_union_rows(town, shop, file):
    data = training_data([town, shop], classes=file)
    masks = [sample.mask[0] for sample in data.dataset]
    assert masks[0][0] == 0
    assert masks[0][2] == data.ignore_index == 255
    assert may_be(data, masks[0][[1, 3]]) == [{"person", "bag"}, {"house", "bag"}]
    np.testing.assert_array_equal(masks[1][2:5], [2, 2, 3])
    every = {"road", "house", "person", "bag"}
    assert may_be(data, masks[1][[0, 6]]) == [every - {"bag"}] * 2


def test_near_an_object_nobody_else_stands(town, shop, file):
    data = training_data([town, shop], classes=file)
    assert may_be(data, data.dataset[1].mask[0][[1, 5]]) == [{"road", "house"}] * 2


def test_rows_of_channels_are_the_identity_and_unions_come_once(town, shop, file):
    data = training_data([town, shop], classes=file)
    np.testing.assert_array_equal(data.candidates[:4], np.eye(4, dtype=bool))
    unions = data.candidates[4:]
    assert len(np.unique(unions, axis=0)) == len(unions) == 4
    assert ((unions.sum(1) > 1) & (unions.sum(1) < 4)).all()
    assert len(data.dataset.classes) == len(data.candidates)
    assert len(set(data.dataset.classes.names)) == len(data.candidates)


def test_batches_give_the_values(town, shop, file):
    data = training_data([town, shop], classes=file)
    batches = Batches(data.dataset, Augmentation(size=(1, 4)), 2, workers=0)
    assert batches.ignore_index == data.ignore_index
    (batch,) = batches.epoch(0)
    assert set(np.unique(batch.masks)) <= {*range(len(data.candidates)), 255}


def test_a_set_is_scored_in_its_own_terms(town, shop, file):
    data = training_data([town, shop], classes=file)
    terms, others = data.own_terms
    assert terms.names == ("Road", "Walker")
    # A house is none of its classes; a bag is its walker's.
    np.testing.assert_array_equal(terms.of_channel, [0, -1, 1, 1])
    np.testing.assert_array_equal(terms.of_value[data.dataset[0].mask], [[0, 1, -1, -1]])
    assert others.names == ("null", "skin + hair", "purse")
    np.testing.assert_array_equal(others.of_channel, [0, 0, 1, 2])
    np.testing.assert_array_equal(others.of_value[data.dataset[1].mask], [[0, 0, 1, 1, 2, 0, 0]])


def test_parts_of_sets_have_the_same_values(town, shop, file):
    both = training_data([town, shop], classes=file)
    empty = training_data([town.subset([0]), shop.subset([])], classes=file)
    np.testing.assert_array_equal(both.candidates, empty.candidates)
    np.testing.assert_array_equal(empty.dataset[0].mask, both.dataset[0].mask)


def test_without_a_file_classes_meet_by_name(make_set):
    one = make_set(table("one", "road", "car"), [[0, 1]])
    two = make_set(table("two", "tree", "Car"), [[0, 1]])
    data = training_data([one, two])
    assert data.classes.names == ("road", "car", "tree")
    assert [sample.mask.tolist() for sample in data.dataset] == [[[0, 1]], [[2, 1]]]
    assert data.candidates is None


def test_the_rest_of_a_set_may_be_what_it_has_no_class_for(make_set):
    one = make_set(table("one", "road", "car"), [[0, 1]])
    two = make_set(table("two", "back", "car"), [[0, 1]], rest="back")
    data = training_data([one, two], classes=table("all", "road", "car", "tree"))
    mask = data.dataset[1].mask[0]
    assert mask[1] == 1
    assert may_be(data, mask[:1]) == [{"road", "tree"}]


def test_classes_that_a_table_lacks_are_ignored_and_told(make_set):
    one = make_set(table("one", "road", "car"), [[0, 1]])
    data = training_data([one], classes=table("all", "car", "tree"))
    np.testing.assert_array_equal(data.dataset[0].mask, [[255, 0]])
    assert data.notes == ("one: ignored: road",)


def test_a_set_without_any_class_of_the_table_is_an_error(make_set):
    one = make_set(table("one", "road", "car"), [[0, 1]])
    with pytest.raises(ClassTableError, match="one: none of its classes is there: road, car"):
        training_data([one], classes=table("all", "cell", "tree"))


def test_many_classes_and_unions_need_wide_values(make_set):
    names = [f"c{number}" for number in range(255)]
    one = make_set(table("one", *names[:2]), [[0, 1]])
    two = make_set(table("two", "back", "c254"), [[0, 1]], rest="back")
    data = training_data([one, two], classes=table("all", *names))
    assert data.ignore_index == 65_535
    assert data.dataset[1].mask.tolist() == [[255, 254]]
    assert data.dataset[0].mask.dtype == data.dataset[1].mask.dtype == np.uint16


def test_all_faults_of_all_sets_come_at_once(town, shop, tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text("classes: [road, bag]\nsets: {town: {classes: {Walkr: bag}}, shp: }")
    with pytest.raises(ClassTableError) as told:
        training_data([town, shop], classes=read_class_file(path))
    for part in (
        "sets: none for 'shop' (did you mean shp?",
        "town: it has no class 'Walkr' (did you mean Walker?",
        "town: what 'Walker' becomes is not told",
        "town: what 'Void' becomes is not told",
    ):
        assert part in told.value.got
    assert told.value.where == str(path)


def test_a_name_that_comes_twice_is_told(town, tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text(
        "classes: [road, bag]\nsets: {town: {others: bag, classes: {Walker: bag, walker: road}}}"
    )
    file = read_class_file(path)
    with pytest.raises(ClassTableError, match=r"(?s)2 data sets.*told twice"):
        training_data([town, town], classes=file)


def test_classes_that_cannot_meet_by_name_are_told(make_set):
    odd = table("odd", "x", "car")
    odd = replace(odd, classes=(replace(odd.classes[0], aliases=("road", "tree")), odd.classes[1]))
    one = make_set(odd, [[0, 1]])
    with pytest.raises(ClassTableError, match="'x' fits road and tree"):
        training_data([one], classes=table("all", "road", "tree", "car"))


def test_splits_get_the_names_of_the_run(shop, town, file, tmp_path):
    assert [dataset.splits for dataset in with_run_splits([shop, town], file)] == [("train",), ()]
    path = tmp_path / "wrong.yaml"
    path.write_text("classes: [a, b]\nsets: {shop: {splits: {trian: train}}}")
    with pytest.raises(UsageError, match="no split 'trian'"):
        with_run_splits([shop], read_class_file(path))


def test_there_must_be_data():
    with pytest.raises(UsageError, match="no data set"):
        training_data([])


@pytest.mark.skipif(
    not all((DATA / name).is_dir() for name in STREET),
    reason=f"no {', '.join(STREET)}: set PIXELWISE_DATA to their folder",
)
def test_the_street_recipe_fits_its_data():
    sets = [pw.data.open(DATA / name) for name in STREET]
    file = read_class_file(ROOT / "recipes" / "street.classes.yaml")
    data = training_data(with_run_splits(sets, file), classes=file)
    assert set(data.dataset.splits) == {"train", "val"}
    camvid = data.own_terms[0]
    assert camvid.names == sets[0].classes.names
    own = sets[0][0].mask.astype(np.int64)
    scored = camvid.of_value[data.dataset[0].mask]
    np.testing.assert_array_equal(np.where(scored < 0, 11, scored), own)
    for start in np.cumsum((0, *data.lengths[:-1])).tolist():
        assert len(np.unique(data.dataset[start].mask)) > 2
