"""What a data set leaves of the pictures that are there."""

from __future__ import annotations

from PIL import Image

from pixelwise.data.coverage import leftover
from pixelwise.data.layouts import coco, layers
from pixelwise.data.layouts.base import Request
from pixelwise.data.listing import Listing


def save(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 255).save(root / path)


def left_in(root, layout):
    listing = Listing.of(root)
    return leftover(listing, layout.find(listing, Request()))


def one_picture(root):
    (root / "all.json").write_text(
        '{"images": [{"id": 1, "file_name": "a/0.png"}], "annotations": [], "categories": []}'
    )
    save(root, "a/0.png")


def test_all_masks_of_a_picture_are_part_of_the_data_set(tmp_path):
    save(tmp_path, *(f"images/{n}.png" for n in range(2)))
    save(tmp_path, *(f"masks/{name}/{n}.png" for n in range(2) for name in "abcde"))
    assert left_in(tmp_path, layers) is None


def test_half_of_the_pictures_are_enough(tmp_path):
    one_picture(tmp_path)
    save(tmp_path, "b/0.png")
    assert left_in(tmp_path, coco) is None


def test_pictures_of_other_folders_are_strays(tmp_path):
    one_picture(tmp_path)
    save(tmp_path, "a/1.png", "b/0.png", "c/inner/0.png")
    left = left_in(tmp_path, coco)
    assert (left.count, left.strays, left.used) == (3, 2, 1)
    assert (left.example, left.folders) == ("b/0.png", ("c",))
    assert left.told.startswith("3 picture files are not part of this data set, such as b/0.png")
    assert left.told.endswith("in c/: give one of these as the path")
