from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.layouts.names import core_of, role_of, split_of, tokens_of, trims_of


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("trainannot", ("train", "annot")),
        ("1st_manual", ("1", "st", "manual")),
        ("SegmentationClass", ("segmentationclass",)),
        ("S2Hand", ("s2", "hand")),
        ("leftImg8bit", ("left", "img", "8", "bit")),
        ("Tile 4", ("tile", "4")),
    ],
)
def test_names_fall_into_words(name, tokens):
    assert tokens_of(name) == tokens


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("masks", "mask"),
        ("trainannot", "mask"),
        ("Annotations", "mask"),
        ("1st_manual", "mask"),
        ("ground-truth", "mask"),
        ("GT", "mask"),
        ("JPEGImages", "image"),
        ("input_images", "image"),
        ("S1", "image"),
        ("car-roundabout", ""),
        ("imagination", ""),
    ],
)
def test_words_tell_the_role_of_a_folder(name, role):
    assert role_of(name) == role


def test_a_split_is_told_by_one_word_only():
    assert split_of("training_images") == "train"
    assert split_of("valid") == "val"
    assert split_of("train_test") == ""
    assert split_of("street") == ""


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("train", "trainannot"),
        ("images/val", "labels/val"),
        ("val/images", "val/labels"),
        ("val_images", "val_masks"),
        ("Tile 1/images", "Tile 1/masks"),
        ("JPEGImages/car", "Annotations/car"),
        ("training/images", "training/1st_manual"),
    ],
)
def test_a_folder_of_pictures_and_that_of_their_masks_have_one_core(images, masks):
    assert core_of(images)[0] == core_of(masks)[0]
    assert core_of(masks)[1] == "mask"


def test_other_containers_have_other_cores():
    cores = {core_of(f"Tile {n}/images")[0] for n in range(5)}
    assert len(cores) == 5
    assert core_of("train/images")[0] != core_of("val/images")[0]


def test_what_all_names_share_is_cut_off_at_the_edge_of_a_word():
    stems = ["21_training", "22_training", "31_training"]
    start, end = trims_of(stems)
    assert [stem[start : len(stem) - end] for stem in stems] == ["21", "22", "31"]
    stems = ["frame_0017", "frame_0027"]
    start, end = trims_of(stems)
    assert [stem[start : len(stem) - end] for stem in stems] == ["0017", "0027"]


@given(st.lists(st.text("ab_1-", min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_names_stay_apart_without_what_they_share(stems):
    start, end = trims_of(stems)
    assert len({stem[start : len(stem) - end] for stem in stems}) == len(stems)
