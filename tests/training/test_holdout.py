from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.statistics import gather
from pixelwise.errors import DatasetError, UsageError
from pixelwise.training.holdout import part_of, with_validation

CLASSES = ClassTable(
    "toy", (ClassInfo(0, "soil", (0, 0, 0)), ClassInfo(1, "weed", (0, 200, 0))), 255, "a test"
)


@pytest.fixture
def make_data(tmp_path):
    """A data set of pictures of noise with these names below images/."""

    def make(*names, picture=None, unlabelled=()):
        for number, name in enumerate(names):
            random = np.random.default_rng(number if picture is None else picture)
            coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
            mask = random.integers(0, 2, (24, 32), np.uint8)
            path = tmp_path / "images" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(coarse).resize((32, 24), Image.Resampling.BICUBIC).save(path)
            path = tmp_path / "masks" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
            if name in unlabelled:
                path.write_bytes(b"no picture")
        return pixelwise.data.open(tmp_path, classes=CLASSES)

    return make


def images(dataset: Dataset) -> set[str]:
    return {entry.image for entry in dataset.entries}


def named(make_data, **splits):
    """A data set with splits of so many pictures."""
    dataset = make_data(*(f"{split}_{n}" for split, count in splits.items() for n in range(count)))
    entries = [
        pixelwise.data.Entry(e.image, e.truth, split=e.image.split("/")[-1].split("_")[0])
        for e in dataset.entries
    ]
    return Dataset(dataset.root, dataset.layout, dataset.classes, tuple(entries), dataset.truth)


def test_a_split_to_score_on_is_taken(make_data):
    parts = with_validation(named(make_data, train=6, val=2, test=2))
    assert {entry.split for entry in parts.train.entries} == {"train"}
    assert {entry.split for entry in parts.validation.entries} == {"val"}
    assert (len(parts.train), len(parts.validation)) == (6, 2)


def test_a_test_split_is_never_touched(make_data):
    parts = with_validation(named(make_data, train=8, test=4))
    assert {entry.split for entry in (*parts.train.entries, *parts.validation.entries)} == {"train"}
    assert len(parts.train) + len(parts.validation) == 8


def test_other_usual_names_are_found(make_data):
    parts = with_validation(named(make_data, training=6, valid=2))
    assert (len(parts.train), len(parts.validation)) == (6, 2)


def test_a_split_that_is_not_there_is_refused(make_data):
    with pytest.raises(UsageError, match="no such split"):
        with_validation(named(make_data, train=6), train="trian")
    with pytest.raises(UsageError, match="no such split"):
        with_validation(named(make_data, train=6), validation="vall")


def test_without_a_split_to_learn_from_there_is_no_training(make_data):
    with pytest.raises(DatasetError, match="no split to learn from"):
        with_validation(named(make_data, val=3, test=3))


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(make_data, share):
    with pytest.raises(UsageError, match="share"):
        with_validation(make_data("a", "b"), share=share)


def test_scenes_stay_whole(make_data):
    names = [f"Tile {tile}/image_{part}" for tile in range(1, 7) for part in range(4)]
    parts = with_validation(make_data(*names))
    scenes = [{name.split("/")[1] for name in images(part)} for part in parts[:2]]
    assert not scenes[0] & scenes[1]
    assert len(parts.validation) == 4
    assert "tiles of a scene" in parts.note


def test_copies_are_never_parted(make_data, tmp_path):
    names = [f"{letter}{n}" for letter in "abcdefgh" for n in "xy"]
    dataset = make_data(*names)
    for letter in "abcdefgh":
        for folder in ("images", "masks"):
            (tmp_path / folder / f"{letter}y.png").write_bytes(
                (tmp_path / folder / f"{letter}x.png").read_bytes()
            )
    parts = with_validation(dataset)
    letters = [{name.split("/")[-1][0] for name in images(part)} for part in parts[:2]]
    assert not letters[0] & letters[1]


def test_where_all_look_alike_a_block_is_kept_back(make_data):
    parts = with_validation(make_data(*(f"a{n}" for n in range(10)), picture=3))
    assert images(parts.validation) == {"images/a8.png", "images/a9.png"}
    assert "look alike" in parts.note


def test_pictures_without_readable_truth_are_left_out(make_data):
    dataset = make_data(*"abcdefgh", unlabelled="h")
    parts = with_validation(dataset)
    assert "images/h.png" not in images(parts.train) | images(parts.validation)
    assert len(parts.train) + len(parts.validation) == 7
    assert "1 without a readable truth" in parts.note


def test_one_picture_is_too_few(make_data):
    with pytest.raises(DatasetError, match="two labelled pictures"):
        with_validation(make_data("a"))


def test_two_pictures_do(make_data):
    parts = with_validation(make_data("a", "b"))
    assert (len(parts.train), len(parts.validation)) == (1, 1)


def test_the_seed_decides_alone(make_data):
    dataset = make_data(*(f"{n:02}x" for n in range(30)))
    first, again = with_validation(dataset, seed=1), with_validation(dataset, seed=1)
    assert images(first.validation) == images(again.validation)
    assert not images(first.train) & images(first.validation)
    assert images(with_validation(dataset, seed=2).validation) != images(first.validation)


def test_part_of_statistics_are_those_of_the_part(make_data):
    dataset = make_data(*"abcdefg", unlabelled="c")
    whole = gather(dataset)[0]
    places = np.array([5, 2, 0])
    part, again = part_of(whole, places), gather(dataset.subset(places.tolist()))[0]
    np.testing.assert_array_equal(part.counts, again.counts)
    for name in ("sizes", "labelled", "ignored", "objects", "hashes", "digests", "offsets"):
        np.testing.assert_array_equal(getattr(part, name), getattr(again, name), err_msg=name)


def test_the_statistics_are_those_of_the_pictures_learned_from(make_data):
    dataset = make_data(*(f"a{number}" for number in range(10)), unlabelled=("a3",))
    grey = dataset.root / "images" / "a3.png"
    Image.open(grey).convert("L").save(grey)
    parts = with_validation(dataset)
    expected, _ = gather(parts.train)
    for field in fields(expected):
        if field.name == "ignored_by_colour":
            continue
        told, wanted = getattr(parts.statistics, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(told, wanted, err_msg=field.name)


def test_groups_of_a_split_are_told_from_all_pictures(make_data):
    places = ("train/tile_1", "train/tile_2", "val/tile_3", "val/tile_4")
    dataset = make_data(*(f"{place}/{part}" for place in places for part in "ab"))
    entries = tuple(
        pixelwise.data.Entry(e.image, e.truth, split=e.image.split("/")[1]) for e in dataset.entries
    )
    dataset = Dataset(dataset.root, dataset.layout, dataset.classes, entries, dataset.truth)
    groups = with_validation(dataset).groups
    assert groups is not None
    assert groups.told() == "tiles of 2 scenes"
    assert groups.used(np.ones((4, 1), bool)) is None


def test_pictures_that_stand_alone_are_in_no_groups(make_data):
    assert with_validation(make_data("a", "b", "c", "d", "e")).groups is None
