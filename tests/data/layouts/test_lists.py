from __future__ import annotations

from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.lists import with_lists, with_splits
from pixelwise.data.listing import Listing

ENTRIES = [Entry(f"images/{name}.jpg", f"masks/{name}.png") for name in "abcd"]


def written(root, **lists):
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("\n".join(lines))
    return Listing.of(root)


def splits_of(entries):
    return [entry.split for entry in entries]


def test_lists_name_pictures_by_path_stem_or_first_word(tmp_path):
    listing = written(tmp_path, train=["a", "images/b.jpg masks/b.png"], val=["c.jpg 1 1"])
    entries, faults = with_lists(listing, ENTRIES)
    assert splits_of(entries) == ["train", "train", "val", ""]
    assert faults == ()


def test_other_texts_are_no_lists(tmp_path):
    listing = written(tmp_path, labels=["0 sky", "1 road"], readme=["a", "word", "among", "others"])
    assert splits_of(with_lists(listing, ENTRIES)[0]) == [""] * 4


def test_a_union_of_lists_is_no_split_of_its_own(tmp_path):
    listing = written(tmp_path, train=["a", "b"], val=["c"], trainval=["a", "b", "c"])
    entries, faults = with_lists(listing, ENTRIES)
    assert splits_of(entries) == ["train", "train", "val", ""]
    assert faults == ()


def test_all_faults_of_the_lists_are_told(tmp_path):
    listing = written(tmp_path, train=["a", "b", "gone"], val=["b", "c", "lost"])
    entries, faults = with_lists(listing, ENTRIES)
    assert splits_of(entries) == ["train", "train", "val", ""]
    assert [(fault.what, fault.file, fault.got) for fault in faults] == [
        ("a list names a picture that is not there", "train.txt", "gone"),
        ("a picture stands in two splits", "images/b.jpg", "train and val"),
        ("a list names a picture that is not there", "val.txt", "lost"),
    ]


def test_a_name_that_two_pictures_have_finds_neither():
    entries = [Entry("x/a.jpg", ""), Entry("y/a.jpg", "")]
    found, faults = with_splits(entries, {"val": ["a", "y/a.jpg"]}, {"val": "val.txt"})
    assert splits_of(found) == ["", "val"]
    assert [fault.got for fault in faults] == ["a"]


def test_names_with_spaces_are_names(tmp_path):
    entries = [Entry(f"images/photo {n}.jpg", "") for n in range(3)]
    listing = written(tmp_path, train=["photo 0", "images/photo 2.jpg"], val=["photo 1.jpg"])
    assert splits_of(with_lists(listing, entries)[0]) == ["train", "val", "train"]


def test_a_table_of_classes_is_no_list(tmp_path):
    entries = [Entry(f"images/{n}.jpg", "") for n in range(3)]
    listing = written(tmp_path, labels=["0 sky", "1 road", "2 car"])
    assert splits_of(with_lists(listing, entries)[0]) == ["", "", ""]


FOLDERS = [Entry(f"{split}/{n}.jpg", "", split) for split in ("train", "val") for n in "ab"]


def test_what_no_list_is_about_stays_in_the_split_of_its_folder(tmp_path):
    listing = written(tmp_path, train=["train/a.jpg"])
    assert splits_of(with_lists(listing, FOLDERS)[0]) == ["train", "", "val", "val"]


def test_a_union_does_not_join_the_splits_of_folders(tmp_path):
    listing = written(tmp_path, trainval=[entry.image for entry in FOLDERS])
    assert splits_of(with_lists(listing, FOLDERS)[0]) == ["train", "train", "val", "val"]


def test_lists_of_other_systems_are_read(tmp_path):
    listing = written(tmp_path, Training=["./images/a.jpg", "images\\b.jpg"], VAL=["c"])
    entries, faults = with_lists(listing, ENTRIES)
    assert splits_of(entries) == ["train", "train", "val", ""]
    assert faults == ()
