"""Pictures that belong together: what an interval goes by, and in which words."""

from __future__ import annotations

import numpy as np

from pixelwise.data.groups import Groups
from pixelwise.training.score_groups import ScoreGroups, groups_of, joined_groups


def films(*numbers):
    return ScoreGroups("video", numbers)


def test_few_groups_are_told_and_many_are_used():
    few, many = films(0, 0, 1, 2), films(*(number // 2 for number in range(20)))
    assert few.used(np.ones((4, 1), bool)) is None
    assert few.told() == "frames of 3 films"
    assert many.used(np.ones((20, 1), bool)) == many.of
    assert many.units(10) == "10 films"
    assert films(4, 4).told() == "frames of 1 film"


def test_an_interval_goes_by_pictures_where_a_class_is_in_one_group_only():
    many = films(*(number // 2 for number in range(20)))
    held = np.ones((20, 2), bool)
    held[2:, 1] = False
    assert many.used(held) is None
    held[4, 1] = True
    assert many.used(held) == many.of


def test_groups_of_some_pictures():
    assert films(0, 0, 1, 2).at([3, 0, 1]).of == (2, 0, 0)
    assert films(0, 0, 1, 2).at([0, 2, 3]) is None


def test_pictures_alone_are_in_no_groups():
    of = np.array([0, 1, 1, 2], np.int32)
    assert groups_of(Groups(of, "tiles", "a test", 1.0), [0, 1, 2]) == ScoreGroups(
        "tiles", (0, 1, 1)
    )
    assert groups_of(Groups(of, "tiles", "a test", 1.0), [0, 1, 3]) is None
    assert groups_of(Groups(of, "none", "a test", 1.0), [1, 2]) is None


def test_the_folder_of_a_split_is_no_group():
    of = np.array([0, 0, 1, 1], np.int32)
    assert groups_of(Groups(of, "folders", "a test", 1.0), [2, 3]) is None
    assert groups_of(Groups(of, "video", "a test", 1.0), [2, 3]) == ScoreGroups("video", (1, 1))


def test_data_sets_share_no_group():
    both = joined_groups([films(3, 3, 5), None], [3, 2])
    assert both is not None
    assert len(set(both.of)) == 4
    assert both.of[0] == both.of[1]
    assert both.told() == "pictures of 4 groups"
    same = joined_groups([films(0, 0), films(0, 1)], [2, 2])
    assert same is not None
    assert same.told() == "frames of 3 films"
    assert joined_groups([None, None], [2, 3]) is None
