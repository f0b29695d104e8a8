from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classical.faults import Faults
from pixelwise.classical.seeds import parse_points, place_seeds
from pixelwise.errors import MaskFileError, UsageError


def told(seeds, size=(4, 6), **options):
    """The faults, in lines."""
    faults = Faults("toy", "a.png")
    place_seeds(seeds, size, faults, **options)
    with pytest.raises(UsageError) as caught:
        faults.tell()
    return [line.strip() for line in caught.value.got.splitlines()]


def test_points_lie_where_they_say():
    faults = Faults("toy", "a.png")
    shown = place_seeds([(5, 0, "Sky"), (1, 3, "road"), (4, 0, "sky")], (4, 6), faults)
    # One class, whatever the case; the first spelling is its name.
    assert shown.names[0] == "Sky"
    assert shown.ids[0, 5] == shown.ids[0, 4] == 1
    assert shown.names[shown.ids[3, 1] - 1] == "road"
    assert (shown.ids > 0).sum() == 3


def test_points_are_read_from_texts():
    assert parse_points(["3,4:sky", " 5 , 6 : a:b "]) == ((3, 4, "sky"), (5, 6, "a:b"))
    with pytest.raises(UsageError) as caught:
        parse_points(["3,4:sky", "3;4:sky", "3,4", "scribbles.png"])
    assert caught.value.got == "'3;4:sky', '3,4', 'scribbles.png'"


def test_points_outside_and_of_unknown_classes_are_told_at_once():
    faults = told([(6, 0, "sky"), (0, -1, "road"), (1, 1, "raod")], names=("sky", "road"))
    # What is wrong whatever the picture comes first.
    assert faults[0].startswith("seed 1,1:raod: no such class; did you mean road?")
    assert faults[1] == "seed 6,0:sky: outside the picture, x 0 … 5, y 0 … 3"
    assert faults[2].startswith("seed 0,-1:road: outside")
    assert faults[3].startswith("no seed, expected")


def test_one_pixel_of_two_classes_and_one_class_alone_are_refused():
    assert told([(1, 1, "a"), (1, 1, "b")]) == [
        "seed 1,1: of a and of b",
        "seeds of one class alone, expected seeds of two classes or more",
    ]


def test_scribbles_are_read_from_files(tmp_path):
    ids = np.zeros((4, 6), np.uint8)
    ids[0, 0], ids[3, 5] = 2, 1
    Image.fromarray(ids).save(tmp_path / "scribbles.png")
    shown = place_seeds(tmp_path / "scribbles.png", (4, 6), Faults("toy", "a.png"))
    np.testing.assert_array_equal(shown.ids, ids)
    assert shown.names == ("region 1", "region 2")
    with pytest.raises(MaskFileError):
        place_seeds(tmp_path / "none.png", (4, 6), Faults("toy", "a.png"))


def test_scribbles_that_do_not_fit_are_refused():
    ids = np.zeros((4, 6), np.int64)
    ids[0, 0], ids[1, 1] = 1, 9
    assert "seeds of 6×3" in told(ids[:3])[0]
    assert told(ids, names=("a", "b"))[0] == "seeds hold 0 … 9, expected 0 (unknown) … 2: 1 a, 2 b"
    assert "seeds hold -1" in told(ids - 1)[0]
    assert "expected integers [H, W]" in told(ids.astype(float))[0]
    assert "no seed" in told(np.zeros((4, 6), np.uint8))[0]
    # A soft brush.
    assert told(ids + 100)[0] == "seeds hold 100 … 109, expected 0 (unknown) … 64"


def test_what_is_no_point_and_names_that_cannot_be_are_refused():
    assert told([(1, 2), (0, 0, "a")])[0] == "seed (1, 2), expected x, y and the name of a class"
    assert "seed (1.5, 2, 'a')" in told([(1.5, 2, "a"), (0, 0, "b")])[0]
    assert "each name once" in told([(0, 0, "a")], names=("a", "A"))[0]
    assert "a name for each class" in told([(0, 0, "a")], names=("a", ""))[0]
    for names in ("ab", (1, 2)):
        assert "a name for each class" in told([(0, 0, "a")], names=names)[0]


def test_what_was_shown_has_a_hash():
    def hashed(seeds, size=(4, 6)):
        return place_seeds(seeds, size, Faults("toy", "a.png")).sha256

    first = hashed([(0, 0, "a"), (1, 1, "b")])
    assert first == hashed([(0, 0, "a"), (1, 1, "b")])
    assert first != hashed([(0, 0, "a"), (1, 1, "c")])
    assert first != hashed([(0, 0, "a"), (2, 1, "b")])
