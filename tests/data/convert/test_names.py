from __future__ import annotations

import csv
import io

from hypothesis import given as forall
from hypothesis import strategies as st

from pixelwise.data import Entry
from pixelwise.data.convert.names import plan_names, sources_file


def names(*images, splits=()):
    pairs = zip(images, splits or [""] * len(images), strict=True)
    return [item.name for item in plan_names([Entry(image, "", split) for image, split in pairs])]


def test_folders_that_all_share_are_left_out():
    assert names("data/images/1.jpg", "data/images/2.jpg") == ["1", "2"]


def test_folders_that_tell_pictures_apart_go_in_front():
    assert names("Tile 1/images/a.jpg", "Tile 2/images/a.jpg") == ["Tile_1_a", "Tile_2_a"]


def test_a_folder_that_is_the_split_is_left_out():
    assert names("train/1.jpg", "val/2.jpg", splits=("train", "val")) == ["1", "2"]


def test_a_folder_that_the_name_starts_with_is_not_said_twice():
    images = (
        "leftImg8bit/train/aachen/aachen_1_leftImg8bit.png",
        "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png",
    )
    assert names(*images, splits=("train", "train")) == ["aachen_1", "ulm_1"]


def test_equal_names_of_two_splits_take_their_folders():
    assert names("train/1.jpg", "val/1.jpg", splits=("train", "val")) == ["train_1", "val_1"]


def test_equal_stems_are_numbered():
    assert names("1.jpg", "1.png", "2.jpg") == ["1", "1_2", "2"]


def test_case_alone_does_not_tell_names_apart():
    assert names("A.jpg", "a.jpg") == ["A", "a_2"]
    assert names("a.jpg", "A.jpg") == ["a", "A_2"]


def test_blanks_and_control_characters_become_underscores():
    assert names("a b\t\u00a0c\n.jpg") == ["a_b__c_"]


def test_bytes_that_are_no_text_stay():
    assert names("\udcff.jpg") == ["\udcff"]


def test_suffixes_stay():
    items = plan_names([Entry("a.JPEG", ""), Entry("b.tar.png", "")])
    assert [item.suffix for item in items] == [".JPEG", ".png"]
    assert [item.name for item in items] == ["a", "b.tar"]


def test_long_names_are_shortened_and_differ():
    long = ["x" * 250 + ending for ending in ("1.jpg", "2.jpg")]
    found = names(*long)
    assert len(set(found)) == 2
    assert all(len(name) < 200 for name in found)


@forall(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12, unique=True))
def test_names_are_unique_and_safe(texts):
    images = [f"{text.strip('/') or 'x'}.png" for text in texts]
    found = names(*images)
    assert len({name.casefold() for name in found}) == len(images)
    for name in found:
        assert name
        assert "/" not in name
        assert name.split() == [name]
        assert not name.startswith(".")


def test_every_name_leads_back_to_its_source():
    entries = [Entry('x, "y"/1.jpg', ""), Entry("\udcff/2.jpg", "")]
    items = plan_names(entries)
    content = sources_file(items, [f"images/{item.name}.jpg" for item in items])
    text = io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")
    rows = list(csv.DictReader(text))
    assert [row["source"] for row in rows] == [entry.image for entry in entries]
    assert [row["image"] for row in rows] == ['images/x,_"y"_1.jpg', "images/\udcff_2.jpg"]
