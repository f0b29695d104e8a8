from __future__ import annotations

import inspect
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.errors
from pixelwise.errors import ClassNameError, ImageFileError, PixelwiseError, did_you_mean

KINDS = [
    kind for _, kind in inspect.getmembers(pixelwise.errors, inspect.isclass)
    if issubclass(kind, PixelwiseError)
]  # fmt: skip


def test_public_names_are_sorted_and_complete():
    assert pixelwise.errors.__all__ == sorted(pixelwise.errors.__all__)
    assert {kind.__name__ for kind in KINDS} | {"did_you_mean"} == set(pixelwise.errors.__all__)


def test_an_error_says_what_where_got_and_fix():
    error = PixelwiseError("it is wrong", where="photo.jpg", got="3, expected 4", fix="add one")
    assert str(error) == "it is wrong\n  photo.jpg\n  3, expected 4\n  fix: add one"


def test_what_is_not_known_leaves_no_line():
    assert str(PixelwiseError("it is wrong")) == "it is wrong"
    assert str(PixelwiseError("it is wrong", fix="mend it")) == "it is wrong\n  fix: mend it"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_the_same(kind):
    # KeyError would show its text in quotes, OSError its number.
    assert (
        str(kind("what", where="where", got="got", fix="fix")) == "what\n  where\n  got\n  fix: fix"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_pickling(kind):
    error = kind("what", where="where", got="got", fix="fix")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_docstring_of_its_own(kind):
    assert kind.__doc__
    assert kind.__doc__ != kind.__mro__[1].__doc__


def test_errors_are_caught_by_their_builtin_kind():
    with pytest.raises(KeyError):
        raise ClassNameError("no such class")
    with pytest.raises(OSError, match="cannot be read"):
        raise ImageFileError("the picture cannot be read")


def test_did_you_mean_offers_the_nearest():
    sentence = did_you_mean("Raod", ["tree", "Road", "sky"])
    assert sentence == "did you mean Road? known: Road, sky, tree"


def test_did_you_mean_offers_several():
    assert did_you_mean("traffic", ["traffic sign", "traffic light"]).startswith(
        "did you mean traffic light or traffic sign? "
    )


def test_did_you_mean_offers_nothing_far():
    assert did_you_mean("xylophone", ["tree", "road"]) == "known: road, tree"
    assert did_you_mean("tree", []) == "known: "


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_did_you_mean_takes_any_text(name, known):
    assert "known: " in did_you_mean(name, known)
