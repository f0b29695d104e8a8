from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import UsageError
from pixelwise.searching.places import cell_place, named_place
from pixelwise.searching.query import AllOf, AnyOf, Condition, Not, conditions_of, holds, parse


def plain(query):
    """The query with every condition as a short text."""
    if isinstance(query, Condition):
        place = f" in {query.place.name}" if query.place else ""
        return f"{query.name}{query.compare}{query.share:g}{place}"
    if isinstance(query, Not):
        return ("not", plain(query.part))
    return ("and" if isinstance(query, AllOf) else "or", *map(plain, query.parts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("car", "car>0"),
        ("car > 5%", "car>0.05"),
        ("car>5 %", "car>0.05"),
        ("CAR >= .25", "CAR>=0.25"),
        ("car ≤ 100%", "car<=1"),
        ("car < 2.3%", "car<0.023"),
        ('"traffic light" > 1%', "traffic light>0.01"),
        ("'in'", "in>0"),
        ("traffic-light", "traffic-light>0"),
        ("voiture_été > 1", "voiture_été>1"),
        ("car and not person", ("and", "car>0", ("not", "person>0"))),
        ("a or b and c", ("or", "a>0", ("and", "b>0", "c>0"))),
        ("(a OR b) And c", ("and", ("or", "a>0", "b>0"), "c>0")),
        ("not not a", ("not", ("not", "a>0"))),
        ("a and b and c", ("and", "a>0", "b>0", "c>0")),
        ("car in left half", "car>0 in left"),
        ("car > 5% in Top Left and b", ("and", "car>0.05 in top left", "b>0")),
        ("car in center", "car>0 in centre"),
        ("car > 5% in cell 2,1 of 4", "car>0.05 in cell 2,1 of 4"),
        ("cell in cell 1,1 of 1", "cell>0 in cell 1,1 of 1"),
    ],
)
def test_texts_and_what_they_mean(text, expected):
    assert plain(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "what", "column"),
    [
        ("", "name of a class", 0),
        ("   ", "name of a class", 0),
        ("> 5%", "name of a class", 0),
        ("car and", "name of a class", 7),
        ("car or or b", "name of a class", 7),
        ("not", "name of a class", 3),
        ("car >", "number is expected", 5),
        ("car > person", "number is expected", 6),
        ("car > 5", "0 … 100 %", 6),
        ("car > 101%", "0 … 100 %", 6),
        ("car > -1%", "number is expected", 6),
        ("car > 0,5", "comma", 7),
        ("car = 5%", ">, >=, < or <=", 4),
        ("traffic light > 5%", "name with spaces", 8),
        ('"car', "quotation mark", 0),
        ('car > 5% and "b', "quotation mark", 13),
        ("(car", "not closed", 4),
        ("car)", "not opened", 3),
        ("car > 5% person", "is expected", 9),
        ("car in nowhere", "no such place", 7),
        ("car in", "no such place", 6),
        ("car in left quarter", "no such place", 7),
        ("car in left > 5%", "after the number", 12),
        ("car in cell 3,1 of 2", "row and column", 12),
        ("car in cell 1,1 of 3", "row and column", 12),
        ("car in cell 1 1 of 2", "row and column", 12),
        ("car in cell 0,1 of 2", "row and column", 12),
        (f"car in cell {'9' * 5000},1 of 2", "row and column", 12),
        ("car; rm", "is expected", 3),
        ("(" * 60 + "a" + ")" * 60, "too many", 50),
        ("not " * 60 + "a", "too many", 200),
    ],
)
def test_errors_point_at_the_place(text, what, column):
    with pytest.raises(UsageError, match=what) as caught:
        parse(text)
    shown, pointer = caught.value.got.splitlines()
    assert caught.value.fix
    cut = max(0, column - 60)
    assert pointer == "  " + " " * (column - cut) + "^"
    assert shown == text[cut : column + 20]


def test_what_is_no_text_is_refused():
    for value in (None, 3, "a or " * 10_000):
        with pytest.raises(UsageError, match="text of at most"):
            parse(value)


@settings(max_examples=50)
@given(st.text(alphabet="ab andorti()<>=5%.,\"'cell", max_size=30))
def test_any_text_is_a_query_or_an_error_of_ours(text):
    try:
        query = parse(text)
    except UsageError:
        return
    assert conditions_of(query)


@settings(max_examples=50)
@given(
    shares=st.lists(st.sampled_from([0, 0.05, 0.1, 0.5]), min_size=9, max_size=9),
    text=st.sampled_from(
        ["a > 5% and b < .1 or not c >= 10%", "not (a or b) and c <= 5%", "a >= 5% or b and c"]
    ),
)
def test_queries_hold_as_in_python(shares, text):
    values = dict(zip("abc", np.reshape(shares, (3, 3)), strict=True))
    found = holds(parse(text), lambda condition: values[condition.name])
    by_hand = {
        "a > 5% and b < .1 or not c >= 10%": lambda a, b, c: (a > 0.05 and b < 0.1) or not c >= 0.1,
        "not (a or b) and c <= 5%": lambda a, b, c: not (a > 0 or b > 0) and c <= 0.05,
        "a >= 5% or b and c": lambda a, b, c: a >= 0.05 or (b > 0 and c > 0),
    }[text]
    assert found.tolist() == [by_hand(*row) for row in zip(*values.values(), strict=True)]


def test_places_as_cells():
    def cells(place):
        return place.cells.reshape(8, 8)

    assert cells(named_place(("left",)))[:, :4].all()
    assert cells(named_place(("left",))).sum() == 32
    assert cells(named_place(("bottom", "half")))[4:].all()
    assert cells(named_place(("top", "right")))[:4, 4:].sum() == 16
    assert cells(named_place(("centre",)))[2:6, 2:6].sum() == cells(named_place(("middle",))).sum()
    assert cells(cell_place(2, 4, 4))[2:4, 6:8].sum() == cells(cell_place(2, 4, 4)).sum() == 4
    for words in (("left", "top"), ("left", "left"), ("half",), ("left", "half", "half")):
        assert named_place(words) is None


def test_or_and_and_are_told_apart():
    assert isinstance(parse("a or b"), AnyOf)
    assert isinstance(parse("a and b"), AllOf)
