from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.class_entries
from pixelwise.class_entries import is_whole, key_of, listed, read_lines, shown, table_faults
from pixelwise.classes import ClassTable
from pixelwise.errors import ClassTableError


def plain(**changes):
    """The plain form of a table of two classes, with changes to its second class or the table."""
    first = {"id": 0, "name": "sky", "colour": [1, 2, 3]}
    second = {"id": 1, "name": "road", "colour": [4, 5, 6], "kind": "stuff", "aliases": ["street"]}
    whole = {"name": "made", "ignore_index": 255, "source": "a test", "ignore_colours": []}
    for key, value in changes.items():
        (whole if key in whole or key == "classes" else second)[key] = value
    return {"classes": [first, second]} | whole


def faults_of(**changes):
    return "\n".join(table_faults(plain(**changes)))


def test_public_names_are_sorted():
    assert pixelwise.class_entries.__all__ == sorted(pixelwise.class_entries.__all__)


def test_a_sound_table_has_no_fault():
    assert table_faults(plain()) == []
    assert ClassTable.from_dict(plain()).names == ("sky", "road")


def test_optional_entries_may_be_left_out():
    value = plain()
    del value["ignore_colours"], value["classes"][1]["kind"], value["classes"][1]["aliases"]
    assert ClassTable.from_dict(value).find("road").kind == "stuff"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": -1}, "id -1, expected 0 … 65534"),
        ({"id": 65_535}, "id 65535"),
        ({"id": True}, "id True"),
        ({"id": 1.0}, "id 1.0"),
        ({"id": "1"}, "id '1'"),
        ({"id": 2**200}, "id a huge number"),
        ({"id": 0}, "id 0 is shared by 'sky', 'road'"),
        ({"name": 7}, "name 7, expected text"),
        ({"name": "made", "source": None}, "source None, expected text"),
        ({"colour": [1, 2]}, "colour (1, 2)"),
        ({"colour": [1, 2, 256]}, "colour (1, 2, 256)"),
        ({"colour": [1, 2, [3]]}, "colour (1, 2, …)"),
        ({"colour": "red"}, "colour 'red'"),
        ({"colour": None}, "colour None"),
        ({"kind": "things"}, "kind 'things'"),
        ({"kind": ["thing"]}, "kind ('thing')"),
        ({"aliases": "street"}, "aliases 'street', expected a list"),
        ({"aliases": ["Sky"]}, "'sky' of id 0 and 'Sky' of id 1"),
        ({"aliases": ["ROAD"]}, "'road' of id 1 and 'ROAD' of id 1"),
        ({"aliases": [""]}, "alias is empty"),
        ({"aliases": [None]}, "alias None, expected text"),
        ({"aliases": ["a\x07b\u202e"]}, "control characters: U+0007, U+202E"),
        ({"aliases": ["\ud800"]}, "U+D800"),
        ({"aliases": [" a"]}, "spaces at an end"),
        ({"colours": []}, "'colours' is not known"),
        ({"ignore_index": 1}, "ignore_index 1 is the id of 'road'"),
        ({"ignore_index": 65_536}, "ignore_index 65536"),
        ({"ignore_index": "255"}, "ignore_index '255'"),
        ({"ignore_colours": [[1, 2, 300]]}, "ignore_colours"),
        ({"ignore_colours": 5}, "ignore_colours 5"),
        ({"ignore_colours": [[0, 0, 0]], "ignore_index": None}, "no ignore_index"),
        ({"classes": []}, "there must be one at least"),
        ({"classes": {"a": 1}}, "not a list but dict"),
        ({"classes": [None]}, "classes[0]: not a class but None"),
    ],
)
def test_each_fault_is_told(changes, said):
    assert said in faults_of(**changes)
    with pytest.raises(ClassTableError):
        ClassTable.from_dict(plain(**changes))


def test_letters_may_be_joined():
    persian = "می\u200cخواهم"
    assert table_faults(plain(name="made", aliases=[persian])) == []


def test_missing_and_unknown_entries_are_all_listed():
    value = plain()
    del value["classes"][0]["colour"], value["source"]
    value["classes"][1]["color"] = value["extra"] = 1
    value[5] = None
    faults = table_faults(value)
    assert sorted(faults) == [
        "classes[0] 'sky': colour is missing",
        "classes[1] 'road': 'color' is not known",
        "table: 'extra' is not known",
        "table: 5 is not known",
        "table: source is missing",
    ]


@pytest.mark.parametrize("value", [None, 3, "made", [], [1]])
def test_what_is_no_table_is_refused(value):
    assert "not a table" in table_faults(value)[0]
    with pytest.raises(ClassTableError, match="not a table"):
        ClassTable.from_dict(value)


def test_an_empty_object_misses_everything():
    assert len(table_faults({})) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "colour", "classes", "kind"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["name", "source", "classes", "ignore_index", "ignore_colours", "id", "colour", "aliases"]
    ),
    json_values,
)
def test_any_json_gives_a_table_or_the_declared_error(key, value):
    try:
        made = ClassTable.from_dict(plain(**{key: value}))
    except ClassTableError:
        return
    assert ClassTable.from_dict(made.to_dict()) == made


@settings(max_examples=150, deadline=None)
@given(st.text('idnamergbuse,|\n"0123 \x00é', max_size=60), st.booleans())
def test_any_text_gives_a_table_or_faults(text, with_header):
    value, faults = read_lines("id,name,r,g,b\n" * with_header + text, "made", "a test")
    if not faults and not table_faults(value):
        assert len(ClassTable.from_dict(value)) >= 1


def test_header_faults_name_the_columns():
    faults = read_lines("id|name|r|g|b\n0|a|1|2|3\n", "made", "a test")[1]
    assert "header: id is missing" in faults
    assert faults[-1].endswith("id, name, and optionally aliases, b, g, kind, r, use")
    missing = read_lines("id,name,r\n0,a,1\n", "made", "a test")[1]
    assert "header: of the columns r, g, b all are there, or none" in missing
    assert "header: a column is there twice" in read_lines("id,name,r,g,b,id", "made", "")[1]
    assert read_lines("", "made", "a test")[1]


def test_a_cell_too_long_to_read_is_a_fault():
    faults = read_lines(f"id,name,r,g,b\n0,{'a' * 200_000},1,2,3\n", "made", "a test")[1]
    assert faults[0].startswith("line 2: ")


def test_several_ignored_ids_are_a_fault():
    text = "id,name,r,g,b,use\n0,a,1,2,3,class\n1,b,0,0,0,ignore\n2,c,0,0,0,ignore\n"
    assert read_lines(text, "made", "a test")[1] == ["several ids are ignored: 1, 2"]


def test_classes_without_a_colour_get_one_of_their_own():
    text = "id,name,r,g,b,use\n0,a,102,0,255,class\n1,b,,,,class\n2,c,,,,\n3,void,,,,ignore\n"
    value, faults = read_lines(text, "made", "a test")
    made = ClassTable.from_dict(value)
    assert faults == []
    assert len(made.colours) == 3
    assert made.ignore_index == 3
    assert made.ignore_colours == ()


def test_numbers_are_plain_digits():
    value, _ = read_lines("id,name,r,g,b\n1_0,a,٣,2, 3 \n", "made", "a test")
    assert value["classes"][0]["id"] == "1_0"
    assert value["classes"][0]["colour"] == ("٣", 2, 3)


def test_a_number_of_many_digits_is_a_fault():
    value, _ = read_lines(f"id,name,r,g,b\n{'9' * 5000},a,1,2,3\n", "made", "a test")
    assert "id '999" in table_faults(value)[0]


def test_names_count_as_one_by_their_letters():
    assert key_of("Cafe\u0301") == key_of("CAFÉ")
    assert key_of("tree") != key_of("trees")


def test_truth_values_are_no_numbers():
    assert is_whole(3)
    assert is_whole(np.uint8(3))
    assert not is_whole(True)
    assert not is_whole(np.bool_(True))
    assert not is_whole(3.0)


def test_shown_is_short_whatever_comes():
    nested = [[]]
    for _ in range(100_000):
        nested = [nested]
    for value in ("a" * 1000, 10**5000, nested, list(range(1000)), object(), {"a": nested}):
        assert len(shown(value)) <= 100


def test_a_long_list_of_faults_is_cut():
    lines = listed([f"fault {number}" for number in range(25)]).split("\n  ")
    assert lines[-2:] == ["fault 19", "… and 5 more"]
    assert listed(["one", "two"]) == "one\n  two"
