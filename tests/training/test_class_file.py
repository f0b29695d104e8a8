from __future__ import annotations

import pytest

from pixelwise.errors import ClassTableError
from pixelwise.training.class_file import read_class_file

TEXT = """
name: street
classes: {road: "#804080", person: , bag: , "no": }
sets:
  first:
    classes: {street: road, walker: [bag, person], "null": {all but: [bag]}, rest: ignored}
    others: person
    unlabelled: [road]
    around: {pixels: 3, of: person}
    splits: {extra: train, "": val}
  second:
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        path = tmp_path / "classes.yaml"
        path.write_text(text, "utf-8")
        return read_class_file(path)

    return write_and_read


def faults(read, text):
    with pytest.raises(ClassTableError) as told:
        read(text)
    return told.value.got


def test_names_become_channels(read):
    file = read(TEXT)
    assert file.classes.names == ("road", "person", "bag", "no")
    assert file.classes.ids == (0, 1, 2, 3)
    assert file.classes.ignore_index == 255
    rules = file.sets["first"]
    assert rules.places == {"street": (0,), "walker": (1, 2), "null": (0, 1, 3), "rest": ()}
    assert rules.others == (1,)
    assert rules.unlabelled == (0,)
    assert rules.around == (3, (1,))
    assert rules.splits == {"extra": "train", "": "val"}


def test_what_is_left_out_says_nothing(read):
    rules = read(TEXT).sets["second"]
    assert (rules.places, rules.others, rules.unlabelled, rules.around) == ({}, None, (), None)


def test_colours_are_kept_and_the_others_differ(read):
    colours = [info.colour for info in read(TEXT).classes]
    assert colours[0] == (0x80, 0x40, 0x80)
    assert len(set(colours)) == 4


def test_a_list_of_names_is_enough(read):
    assert read("classes: [a, b]\nsets: {one: }").classes.names == ("a", "b")


def test_words_of_yaml_are_names(read):
    file = read("classes: [null, yes, 1.0]\nsets: {on: {classes: {~: yes, null: [1.0, yes]}}}")
    assert file.classes.names == ("null", "yes", "1.0")
    assert file.sets["on"].places == {"~": (1,), "null": (1, 2)}


def test_what_may_be_anything_is_ignored(read):
    file = read("classes: [a, b]\nsets: {one: {classes: {x: [a, b], y: {all but: ignored}}}}")
    assert file.sets["one"].places == {"x": (), "y": ()}


def test_all_faults_come_at_once(read):
    got = faults(
        read,
        """
clases: []
classes: {road: "#80408", ignored: , person: , road: }
sets:
  first:
    class: {}
    classes: {a: raod, b: [person, {x: y}], c: {but: road}, a: road}
    others: persn
    around: {pixels: many, of: road}
    splits: [extra]
  second: 7
""",
    )
    for part in (
        "no such entry 'clases'",
        "did you mean classes?",
        "'#80408'",
        "'ignored' has a meaning of its own",
        "line 3: 'road' stands there twice",
        "sets: first: no such entry 'class'",
        "line 7: 'a' stands there twice",
        "sets: first: classes: b: expected a name",
        "sets: first: classes: c: expected {all but: [names]}",
        "sets: first: others: no class 'persn' (did you mean person?",
        "sets: first: around: pixels is 'many'",
        "sets: first: splits: expected names",
        "sets: second: expected",
    ):
        assert part in got


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no table"),
        ("[a, b]", "no table"),
        ("classes: [a, a]", "stands there twice"),
        ("classes: [a, A]", "not unique"),
        ("classes: 3", "expected a list of names"),
        ("classes: [[a]]", "empty"),
        ("classes: [a]\nsets: [x]", "sets: expected"),
        ("classes: [a, b]\nsets: {x: {around: {pixels: 3}}}", "around: expected"),
    ],
)
def test_what_is_no_such_file_is_told(read, text, part):
    assert part in faults(read, text)


@pytest.mark.parametrize("content", [b"classes: [a", b"\xff\xfe", b"[" * 5000, b"#" * (2 << 20)])
def test_unreadable_files_are_told(tmp_path, content):
    path = tmp_path / "classes.yaml"
    path.write_bytes(content)
    with pytest.raises(ClassTableError, match="file of classes"):
        read_class_file(path)
    with pytest.raises(ClassTableError, match="cannot be read"):
        read_class_file(tmp_path / "none.yaml")
