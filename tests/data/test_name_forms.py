from __future__ import annotations

import tracemalloc

import numpy as np

from pixelwise.data.name_forms import Names
from pixelwise.data.texts import Texts


def forms_of(names: Names) -> list[tuple[str, list[int], list[list[int]]]]:
    return [(form.text, form.places.tolist(), form.numbers.tolist()) for form in names.forms]


def test_names_that_differ_in_numbers_alone_have_a_form():
    names = Names(["a_1_x", "b_7", "a_20_x", "c", "c"])
    assert forms_of(names) == [("a_#_x", [0, 2], [[1], [20]])]


def test_equal_names_of_two_folders_have_two_forms():
    names = Names(["p/f1", "q/f1", "p/f2", "q/f3"])
    assert names.folders == (("p",), ("q",))
    assert names.folder_of.tolist() == [0, 1, 0, 1]
    assert [places for _, places, _ in forms_of(names)] == [[0, 2], [1, 3]]


def test_splits_tell_samples_apart_only_where_names_come_twice():
    assert Names(["train/1", "val/2"]).folders == ((),)
    assert Names(["train/1", "val/1"]).folders == (("train",), ("val",))


def test_numbers_may_have_any_number_of_digits():
    (form,) = Names(["t7_99999999999999999999", "t7_5", "t7_6"]).forms
    assert form.numbers.tolist() == [[7, 10**20 - 1], [7, 5], [7, 6]]
    assert form.varying == [1]
    assert [rows.tolist() for rows in form.runs([], 1)] == [[1, 2, 0]]


def test_runs_are_of_equal_numbers_in_the_order_of_the_running_one():
    (form,) = Names(["s1_3", "s2_1", "s1_2", "s2_4", "s1_2"]).forms
    assert form.varying == [0, 1]
    assert [rows.tolist() for rows in form.runs([0], 1)] == [[2, 4, 0], [1, 3]]


def test_no_names_have_no_forms():
    names = Names([])
    assert len(names) == 0
    assert names.forms == ()
    assert names.folder_of.dtype == np.int32


def test_names_take_few_bytes_each():
    texts = Texts.of(f"video_{number % 7}/{number:06}" for number in range(20_000))
    tracemalloc.start()
    try:
        Names(texts)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(texts)
    finally:
        tracemalloc.stop()
