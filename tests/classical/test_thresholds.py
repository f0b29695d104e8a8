from __future__ import annotations

import numpy as np
import pytest

from pixelwise import classical
from pixelwise.errors import UsageError


def test_otsu_finds_the_bright_part_or_the_dark_one(disc):
    picture, mask = disc
    found = classical.otsu(picture)
    assert found.classes.names == ("background", "foreground")
    np.testing.assert_array_equal(found.labels, mask)
    np.testing.assert_array_equal(classical.otsu(picture, dark=True).labels, ~mask)


def test_a_picture_of_one_grey_is_all_background():
    flat = np.full((5, 7, 3), 90, np.uint8)
    for dark in (False, True):
        assert not classical.otsu(flat, dark=dark).labels.any()
        assert not classical.adaptive(flat, margin=0, dark=dark).labels.any()


def test_multi_otsu_numbers_ranges_from_the_darkest(stripes):
    picture, numbers = stripes((200, 200, 200), (10, 10, 10), (100, 100, 100))
    found = classical.multi_otsu(picture)
    assert found.classes.ids == (1, 2, 3)
    np.testing.assert_array_equal(found.labels, np.array([3, 1, 2])[numbers])


def test_grey_values_that_lie_side_by_side_are_told_apart(stripes):
    picture, numbers = stripes((100,) * 3, (101,) * 3, (102,) * 3)
    np.testing.assert_array_equal(classical.multi_otsu(picture).labels, numbers + 1)


def test_adaptive_finds_spots_on_ground_that_grows_brighter():
    ground = np.linspace(20, 200, 120)[None].repeat(40, axis=0)
    mask = np.zeros(ground.shape, bool)
    mask[18:22, 10::20] = mask[18:22, 11::20] = True
    grey = (ground + 30 * mask).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(classical.adaptive(picture, margin=15).labels, mask)
    assert (classical.otsu(picture).labels.astype(bool) != mask).mean() > 0.3
    inverse = classical.adaptive(255 - picture, margin=15, dark=True)
    np.testing.assert_array_equal(inverse.labels, mask)


def test_what_cannot_be_is_told_at_once(disc):
    picture, _ = disc
    with pytest.raises(UsageError) as caught:
        classical.adaptive(picture, block=4, margin=-1, dark="yes")
    for told in ("block=4, expected an odd number", "margin=-1", "dark='yes'"):
        assert told in caught.value.got
    with pytest.raises(UsageError, match="cannot be run") as caught:
        classical.multi_otsu(picture, clusters=3)
    assert caught.value.got == "clusters=3, and the picture has 2 grey values alone"
