from __future__ import annotations

import numpy as np
import pytest

from pixelwise.data.drawing import IGNORED
from pixelwise.errors import ClassTableError, UsageError
from pixelwise.evaluation.matching import match_classes, read_rules


def channels(match, table, side):
    lookup = match.of_truth if side == "truth" else match.of_prediction
    return [int(lookup[number]) for number in table.ids]


def test_classes_go_together_by_name_and_by_alias(table_of):
    own = table_of("sky", "sidewalk|pavement", "car", first=3)
    true = table_of("Car|auto", "Pavement", "SKY")
    match = match_classes(own, true)
    assert match.classes.names == ("Car", "Pavement", "SKY")
    assert channels(match, own, "prediction") == [2, 1, 0]
    assert channels(match, true, "truth") == [0, 1, 2]
    assert match.of_truth[255] == IGNORED
    assert match.of_prediction[255] == 3
    assert match.notes == ("sidewalk counts as Pavement",)


def test_several_predicted_classes_may_be_one(table_of):
    own, true = table_of("car", "bus", "sky"), table_of("vehicle", "sky")
    match = match_classes(own, true, [("car", "vehicle"), ("bus", "vehicle")])
    assert channels(match, own, "prediction") == [0, 0, 1]
    assert match.classes.names == ("vehicle", "sky")


def test_classes_that_the_prediction_does_not_tell_apart_are_judged_as_one(table_of):
    own, true = table_of("person", "sky"), table_of("sky", "walker", "rider", "bin")
    rules = [("person", "walker"), ("person", "rider"), ("ignored", "bin")]
    match = match_classes(own, true, rules)
    assert match.classes.names == ("sky", "walker + rider")
    assert channels(match, true, "truth") == [0, 1, 1, IGNORED]
    assert channels(match, own, "prediction") == [1, 0]
    assert match.ignores


def test_nothing_and_others(table_of):
    own, true = table_of("sky", "dog", "cat"), table_of("sky", "bin", "box")
    match = match_classes(own, true, [("others", "nothing"), ("ignored", "others")])
    assert match.classes.names == ("sky",)
    assert channels(match, own, "prediction") == [0, 1, 1]
    assert channels(match, true, "truth") == [0, IGNORED, IGNORED]


def test_a_mismatch_shows_both_tables_and_every_fault(table_of):
    own, true = table_of("sky", "dog", "door|gate|lid"), table_of("sky", "bin", "gate", "lid")
    with pytest.raises(ClassTableError) as caught:
        match_classes(own, true, [("cow", "sky"), ("sky", "moon")], titles=("ours", "theirs"))
    got = caught.value.got
    for word in ("'cow'", "'moon'", "'dog'", "'bin'", "gate and lid"):
        assert word in got
    rows = [line.split() for line in got.splitlines()]
    assert ["–", "1", "bin"] in rows
    assert ["1", "dog", "–"] in rows
    assert "--map" in caught.value.fix
    assert caught.value.where == "ours · theirs"


def test_nothing_left_to_judge(table_of):
    own, true = table_of("a"), table_of("a")
    with pytest.raises(ClassTableError, match="do not match") as caught:
        match_classes(own, true, [("ignored", "a")])
    assert "nothing is left" in caught.value.got


def test_rules_are_read_from_text_and_files(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("car: vehicle\nnull: [a, no]\n")
    assert read_rules(["x y = b=c", str(path)]) == (
        ("x y", "b=c"),
        ("car", "vehicle"),
        ("null", "a"),
        ("null", "no"),
    )


def test_rules_that_cannot_be_read_are_listed(tmp_path):
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "deep.yaml").write_text("a: {b: c}")
    given = [
        "car",
        "=b",
        "a=",
        *(str(tmp_path / f"{name}.yaml") for name in ("list", "deep", "no")),
    ]
    with pytest.raises(UsageError) as caught:
        read_rules(given)
    assert len(caught.value.got.split("; ")) == 6


def test_every_id_has_a_place(table_of):
    own, true = table_of("a", "b", first=300, ignore_index=None), table_of("b", "a", first=7)
    match = match_classes(own, true)
    assert match.of_truth.shape == match.of_prediction.shape == (65_536,)
    assert np.flatnonzero(match.of_truth != IGNORED).tolist() == [7, 8]
    assert np.flatnonzero(match.of_prediction != 2).tolist() == [300, 301]
