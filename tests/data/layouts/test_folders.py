from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.data.layouts.base import Request
from pixelwise.data.layouts.folders import find
from pixelwise.data.listing import Listing
from pixelwise.errors import MaskFileError, UsageError

IDS = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3


def save(root, *paths, mask=IDS):
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        is_mask = any(word in path for word in ("mask", "label", "annot", "manual", "Annot"))
        picture = mask if is_mask else np.full((6, 8, 3), len(path), np.uint8)
        Image.fromarray(picture.astype(np.uint8)).save(place)


def found_in(root, **request):
    return find(Listing.of(root), Request(**request))


def pairs_of(found):
    return {entry.image: (entry.truth, entry.split) for entry in found.entries}


@pytest.mark.parametrize(
    "files",
    [
        {"images/a.jpg": "masks/a.png", "images/b.png": "masks/b.png"},
        {"a.jpg": "a_mask.png", "b.jpg": "b_mask.png"},
        {
            "images/001_image.png": "annotations/001_annotation.png",
            "images/002_image.png": "annotations/002_annotation.png",
        },
        {
            "images/21_training.png": "manual/21_manual1.png",
            "images/22_training.png": "manual/22_manual1.png",
        },
        {
            "JPEGImages/car/0.jpg": "Annotations/car/0.png",
            "JPEGImages/dog/0.jpg": "Annotations/dog/0.png",
        },
        {
            "Tile 1/images/p_1.jpg": "Tile 1/masks/p_1.png",
            "Tile 2/images/p_1.jpg": "Tile 2/masks/p_1.png",
        },
        {"S2/x_1_S2Hand.png": "labels/x_1_LabelHand.png"},
    ],
)
def test_pictures_find_their_masks(tmp_path, files):
    save(tmp_path, *files, *files.values())
    found = found_in(tmp_path)
    assert pairs_of(found) == {image: (mask, "") for image, mask in files.items()}
    assert found.faults == ()
    assert found.sureness == 0.85


def test_what_is_stored_with_loss_is_the_picture(tmp_path):
    for name in "ab":
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.jpg")
        Image.fromarray(IDS).save(tmp_path / f"{name}.png")
    assert pairs_of(found_in(tmp_path)) == {"a.jpg": ("a.png", ""), "b.jpg": ("b.png", "")}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}/a.png", "{}annot/a.png"),
        ("images/{}/a.png", "masks/{}/a.png"),
        ("{}/images/a.png", "{}/masks/a.png"),
        ("{}_images/a.png", "{}_masks/a.png"),
    ],
)
def test_folders_tell_the_split(tmp_path, image, mask):
    for split in ("train", "val"):
        save(tmp_path, image.format(split), mask.format(split))
    assert pairs_of(found_in(tmp_path)) == {
        image.format(split): (mask.format(split), split) for split in ("train", "val")
    }


def test_every_unpaired_and_doubled_file_is_told(tmp_path):
    save(tmp_path, "images/a.png", "images/b.png", "images/b.jpg", "images/lone.png")
    save(tmp_path, "masks/a.png", "masks/b.png", "masks/b.bmp", "masks/left.png")
    found = found_in(tmp_path)
    assert len(found.entries) == 2
    assert sorted((fault.what, fault.file) for fault in found.faults) == [
        ("the mask has no picture", "masks/left.png"),
        ("the picture has no mask", "images/lone.png"),
        ("two masks have the same name but for their suffix", "masks/b.png"),
        ("two pictures have the same name but for their suffix", "images/b.png"),
    ]
    assert found.sureness < 0.85


def test_patterns_are_followed_to_the_letter(tmp_path):
    save(tmp_path, "x/a_rgb.png", "x/a_depth.png", "y/7/a_label.png", "x/b_rgb.png")
    found = found_in(tmp_path, images="x/{}_rgb.png", masks="y/*/{}_label.png")
    assert pairs_of(found) == {"x/a_rgb.png": ("y/7/a_label.png", "")}
    assert [fault.file for fault in found.faults] == ["x/b_rgb.png"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"images": "x/{}.png"}, "come in pairs"),
        ({"images": "x/a.png", "masks": "y/{}.png"}, "holds {} once"),
        ({"images": "x/{}.gif", "masks": "y/{}.png"}, "fits no picture"),
    ],
)
def test_patterns_that_cannot_be_followed_are_told(tmp_path, patterns, message):
    save(tmp_path, "x/a.png", "y/a_mask.png")
    with pytest.raises(UsageError, match=message):
        found_in(tmp_path, **patterns)


def test_the_colours_of_the_table_choose_among_two_folders_of_masks(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name,r,g,b\n0,soil,0,0,0\n1,weed,255,0,0\n")
    colours = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)[IDS % 2]
    for name in "ab":
        save(tmp_path, f"images/{name}.png", f"masks/{name}.png", mask=IDS % 2)
        save(tmp_path, f"annotations/{name}.png", mask=colours)
    found = found_in(tmp_path)
    assert {mask for mask, _ in pairs_of(found).values()} == {
        "annotations/a.png",
        "annotations/b.png",
    }
    assert "masks" in found.notes[0]


def test_the_field_of_view_beside_a_drawing_by_hand_counts_alone(tmp_path):
    field = np.zeros((6, 8), np.uint8)
    field[:, :4] = 255
    for number in (21, 22):
        save(tmp_path, f"images/{number}_training.png")
        save(tmp_path, f"1st_manual/{number}_manual1.png", mask=(IDS > 0).astype(np.uint8) * 255)
        save(tmp_path, f"mask/{number}_training_mask.png", mask=field)
    found = found_in(tmp_path)
    target = found.truth.read(tmp_path, found.entries[0], found.classes, (6, 8))
    np.testing.assert_array_equal(target.mask, np.where(field > 0, IDS > 0, 255))


def test_masks_that_are_none_are_a_fault_and_an_error_each(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    save(tmp_path, "images/a.png", "masks/a.png", mask=noise)
    found = found_in(tmp_path)
    assert [fault.what for fault in found.faults] == [
        "the masks hold too many colours to be classes"
    ]
    with pytest.raises(MaskFileError, match="holds colours"):
        found.truth.read(tmp_path, found.entries[0], found.classes, (60, 80))


def test_masks_that_cannot_be_read_do_not_hide_the_others(tmp_path):
    save(tmp_path, "images/a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"")
    found = found_in(tmp_path)
    assert len(found.entries) == 1
    assert "none of the masks" in found.faults[0].what


def test_folders_without_masks_are_no_data_set(tmp_path):
    save(tmp_path, "a/1.png", "b/2.png")
    assert found_in(tmp_path) is None


def test_the_users_table_comes_before_the_one_that_lies_there(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name,r,g,b\n0,soil,0,0,0\n1,weed,255,0,0\n")
    save(tmp_path, "images/a.png", "masks/a.png")
    camvid = ClassTable.builtin("camvid")
    assert found_in(tmp_path, classes=camvid).classes == camvid
    assert found_in(tmp_path).classes.names == ("soil", "weed")


def test_one_lone_picture_does_not_unpair_names_in_other_letters(tmp_path):
    save(tmp_path, *(f"images/{name}.png" for name in "猫犬鳥魚"))
    save(tmp_path, *(f"masks/{name}.png" for name in "猫犬鳥"))
    found = found_in(tmp_path)
    assert {image[7] + mask[6] for image, (mask, _) in pairs_of(found).items()} == {
        "猫猫",
        "犬犬",
        "鳥鳥",
    }
    assert [fault.what for fault in found.faults] == ["the picture has no mask"]


def test_marks_on_letters_pair_in_either_form(tmp_path):
    for name in ("Café", "Müll"):
        save(tmp_path, f"images/{unicodedata.normalize('NFC', name)}.png")
        save(tmp_path, f"masks/{unicodedata.normalize('NFD', name)}.png")
    found = found_in(tmp_path)
    assert len(found.entries) == 2
    assert found.faults == ()


def test_numbers_come_before_the_colours_made_of_them(tmp_path):
    for name in "ab":
        save(tmp_path, f"images/{name}.png", f"masks_machine/{name}.png")
        save(tmp_path, f"masks_human/{name}.png", mask=np.repeat(IDS[..., None], 3, 2) * (9, 0, 5))
    assert {mask for mask, _ in pairs_of(found_in(tmp_path)).values()} == {
        "masks_machine/a.png",
        "masks_machine/b.png",
    }


def test_files_that_are_the_same_to_a_pattern_are_told(tmp_path):
    save(tmp_path, "x/im/a.png", "y/im/a.png", "x/mask/a.png", "y/mask/a.png")
    found = found_in(tmp_path, images="*/im/{}.png", masks="*/mask/{}.png")
    assert [fault.file for fault in found.faults] == ["y/im/a.png", "y/mask/a.png"]


def test_files_that_are_left_are_told(tmp_path):
    save(tmp_path, "images/a.png", "masks/a.png", "thermal/a.png", "thermal/b.png")
    assert "2 files such as thermal/a.png" in found_in(tmp_path).notes[0]


def test_numbers_pair_without_their_zeros_where_all_do(tmp_path):
    save(tmp_path, "images/1.jpg", "images/10.jpg", "masks/001.png", "masks/010.png")
    assert pairs_of(found_in(tmp_path)) == {
        "images/1.jpg": ("masks/001.png", ""),
        "images/10.jpg": ("masks/010.png", ""),
    }


def test_numbers_with_zeros_are_others_where_some_are_left(tmp_path):
    save(tmp_path, "images/1.jpg", "images/2.jpg", "masks/001.png")
    assert found_in(tmp_path) is None


def test_notes_name_folders_in_their_own_letters(tmp_path):
    save(tmp_path, "S2/a_S2.png", "S1/a_S1.png", "Labels/a_Label.png")
    told = "pictures from S2/, masks from Labels/; these were left: S1/"
    assert found_in(tmp_path).notes[0].startswith(told)


@pytest.mark.parametrize("stems", [["a", "b", "c"], ["a", "a-b", "a b"], ["b_2", "b_10", "b"]])
def test_pairs_are_the_same_in_whatever_order_the_names_sort(tmp_path, stems):
    files = {f"images/{stem}.jpg": f"masks/{stem}.png" for stem in stems}
    save(tmp_path, *files, *files.values())
    assert {entry.image: entry.truth for entry in found_in(tmp_path).entries} == files
    save(tmp_path, "images/a0.jpg")
    found = found_in(tmp_path)
    assert {entry.image: entry.truth for entry in found.entries} == files
    assert [fault.file for fault in found.faults] == ["images/a0.jpg"]
