"""Categories become classes, and bare pixels one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.layouts.meaning import Category, meaning_of

NAMES = st.text(max_size=4) | st.sampled_from(["cat", "CAT", "background", "void", "person"])
COLOURS = st.none() | st.tuples(*[st.integers(0, 255)] * 3)


def meaning(*names, **options):
    categories = [Category(number, name) for number, name in enumerate(names, 1)]
    return meaning_of(categories, name="toy", file="a.json", **options)


@given(
    st.lists(st.tuples(st.integers(-1, 70_000), NAMES, COLOURS), max_size=5),
    st.sampled_from(["", "ignored", "cat", "other"]),
)
def test_any_categories_make_a_table(parts, uncovered):
    categories = [Category(*part) for part in parts]
    found = meaning_of(categories, name="toy", file="a.json", uncovered=uncovered)
    known = {*found.classes.ids, found.ignored}
    assert set(found.ids) == {category.number for category in categories}
    assert set(found.ids.values()) <= known
    assert found.uncovered in known
    assert found.rest is None or found.rest == found.uncovered


def test_a_background_is_added_under_a_free_number():
    found = meaning("cat")
    assert (found.rest, found.uncovered) == (0, 0)
    assert found.classes.find(0).name == "background"


def test_a_file_that_names_bare_pixels_means_them():
    found = meaning("cat", "sky", uncovered="Sky")
    assert (found.uncovered, found.rest) == (2, None)
    assert meaning("cat", uncovered="ignored").uncovered == 255


def test_the_ignored_id_is_no_class():
    numbers = [Category(number, f"c{number}") for number in range(1, 260)]
    found = meaning_of(numbers, name="toy", file="")
    assert found.classes.ignore_index == found.ignored == 65_535


def test_stuff_and_what_is_ignored_have_no_instances():
    found = meaning_of(
        [Category(1, "cat"), Category(2, "mud", kind="stuff"), Category(3, "void")],
        name="toy",
        file="",
    )
    assert found.stuff == {0, 2, 255}


@pytest.mark.parametrize("name", ["cat", "kitty", "CAT"])
def test_a_table_of_the_user_is_asked_by_name_and_alias(name):
    table = ClassTable("mine", (ClassInfo(8, "cat", (1, 1, 1), aliases=("kitty",)),), 9, "")
    found = meaning(name, "void", table=table)
    assert found.ids == {1: 8, 2: 9}
    assert not found.faults
    assert any("ignored" in note for note in found.notes)


def test_categories_that_a_table_lacks_are_ignored_and_told():
    table = ClassTable("mine", (ClassInfo(0, "background", (0, 0, 0)),), None, "")
    found = meaning("cow", table=table)
    assert found.ids == {1: 255}
    assert (found.rest, found.uncovered) == (0, 0)
    assert "'cow'" in found.faults[0].got


def test_shared_colours_are_told_apart():
    same = [Category(number, name, (9, 9, 9)) for number, name in ((1, "a"), (2, "b"))]
    found = meaning_of(same, name="toy", file="")
    assert len({info.colour for info in found.classes}) == 3


@pytest.mark.parametrize("name", [" ", "a\x00"])
def test_a_name_that_cannot_be_shown_is_none_of_uncovered_pixels(name):
    meaning = meaning_of([Category(1, "cat")], name="made", file="a.json", uncovered=name)
    assert meaning.classes.names == ("background", "cat")
