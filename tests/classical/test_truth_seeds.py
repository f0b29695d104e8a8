from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.classical.truth_seeds import SHOWN, seeds_of_truth
from pixelwise.data.drawing import IGNORED
from pixelwise.errors import UsageError

NAMES = ("ground", "thing", "other")


def make_truth():
    """Ground with a large and a small thing, and an ignored corner."""
    channels = np.zeros((60, 80), np.uint16)
    channels[10:41, 20:51] = 1
    channels[50:55, 70:75] = 1
    channels[:5, :5] = IGNORED
    return channels


def test_a_disc_lies_at_the_most_inner_point_of_the_largest_region():
    drawn = seeds_of_truth("random-walker", make_truth(), NAMES)
    assert drawn["names"] == NAMES
    rows, columns = np.nonzero(drawn["seeds"] == 2)
    assert (rows.mean(), columns.mean()) == (25, 35)
    assert np.ptp(rows) == np.ptp(columns) == 12
    assert set(np.unique(drawn["seeds"])) == {0, 1, 2}


@settings(max_examples=50)
@given(
    arrays(
        np.uint16,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from((0, 1, 2, IGNORED)),
    )
)
def test_seeds_say_what_the_truth_says_and_every_class_has_one(channels):
    seeds = seeds_of_truth("random-walker", channels, NAMES)["seeds"]
    marked = seeds > 0
    np.testing.assert_array_equal(seeds[marked] - 1, channels[marked])
    assert set(np.unique(seeds[marked])) == set(np.unique(channels[channels != IGNORED]) + 1)


def test_a_box_is_drawn_around_one_object_alone():
    channels = make_truth()
    drawn = seeds_of_truth("grabcut", channels, NAMES)
    assert drawn["box"] == (14, 4, 80, 60)
    channels[45:60, 55:80] = 2
    assert "box" not in seeds_of_truth("grabcut", channels, NAMES)
    assert seeds_of_truth("grabcut", channels, NAMES)["seeds"].max() == 2


def test_the_circle_of_a_snake_holds_its_object_and_stays_in_the_picture():
    corners = np.array(seeds_of_truth("snake", make_truth(), NAMES)["contour"])
    assert (corners >= 0).all()
    assert (corners <= (79, 59)).all()
    distances = np.hypot(*(corners - (35, 25)).T)
    assert distances.max() > np.hypot(15, 15)


@pytest.mark.parametrize("method", ["snake", "grabcut"])
def test_a_picture_of_ground_alone_has_nothing_to_point_at(method):
    with pytest.raises(UsageError, match="no object"):
        seeds_of_truth(method, np.zeros((20, 20), np.uint16), NAMES)


def test_each_method_that_must_be_shown_is_known():
    from pixelwise.classical.methods import METHODS

    assert {name for name, method in METHODS.items() if not method.alone} - {"motion"} == {*SHOWN}
