from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.evaluation.refine_search import KINDS, ROUNDS, Search, flags_of
from pixelwise.refine import crf
from pixelwise.refine.plan import Refinement

ALL = np.ones(3, np.bool_)


def counts_of(score, pictures=3):
    """Of two classes, each with that IoU in each picture."""
    right = round(10_000 * score)
    one = [[right, right], [10_000, 10_000], [right, right]]
    return np.array([one] * pictures)


def run(search, score, others=()):
    """All rounds, with trials that a function of the refinement scores."""
    trials = {"": counts_of(score(Refinement()))}
    for number in range(ROUNDS):
        for own in (search, *others):
            trials |= {flags_of(each): counts_of(score(each)) for each in own.proposals(number)}
        for own in (search, *others):
            own.learn(trials)
    return search.answer()


@pytest.mark.parametrize(
    ("refinement", "flags"),
    [
        (Refinement(), ""),
        (Refinement("crf"), "--refine crf"),
        (
            Refinement("crf", {"colour_weight": 4.0, "iterations": 3}, min_area=50),
            "--refine crf:colour_weight=4,iterations=3 --min-area 50",
        ),
        (
            Refinement("guided", {"smoothing": 1e-5}, snap=True, smooth=2),
            "--refine guided:smoothing=1e-05 --snap superpixels --smooth 2",
        ),
        (
            Refinement(fill_holes=("road", "a b"), keep_largest=("sky",)),
            "--fill-holes road --fill-holes 'a b' --keep-largest sky",
        ),
    ],
)
def test_flags(refinement, flags):
    assert flags_of(refinement) == flags


@settings(max_examples=20, deadline=None)
@given(st.integers(-2, 2), st.integers(-2, 1), st.integers(-1, 2))
def test_the_best_settings_are_found_one_after_the_other(weight, colour, smooth):
    wanted = {
        "colour_weight": 10.0 * 2**weight,
        "colour_deviation": 13.0 * 2**colour,
        "smooth_weight": 3.0 * 2**smooth,
        "position_deviation": 80.0,
    }

    def score(refinement):
        if refinement.method != "crf":
            return 0.5
        options = crf.__kwdefaults__ | dict(refinement.options)
        away = sum(abs(math.log2(options[name] / value)) for name, value in wanted.items())
        return 0.9 - 0.02 * away

    answer = run(Search(ALL, KINDS), score)
    assert (answer.method, answer.snap, answer.smooth, answer.min_area) == ("crf", False, 0, 0)
    assert crf.__kwdefaults__ | dict(answer.options) == crf.__kwdefaults__ | wanted


def test_steps_that_add_up_are_put_together():
    def score(refinement):
        area = refinement.min_area
        return (
            0.5
            + 0.1 * (refinement.method == "guided")
            + 0.02 * refinement.snap
            + (0.05 - 0.01 * abs(math.log2(area / 128)) if area else 0)
            - 0.2 * bool(refinement.smooth)
        )

    answer = run(Search(ALL, KINDS), score)
    assert answer == Refinement("guided", snap=True, min_area=128)
    without = run(Search(ALL, ("guided", "smooth", "min_area")), score)
    assert without == Refinement("guided", min_area=128)


def test_what_brings_nothing_to_speak_of_is_left_out():
    assert run(Search(ALL, KINDS), lambda each: 0.5 + 0.00005 * bool(each)) == Refinement()
    two = run(Search(ALL, KINDS), lambda each: 0.6 if each.smooth == 1 else 0.5)
    assert two == Refinement(smooth=1)


def test_a_search_sees_its_own_pictures_alone():
    own = np.array([True, True, False])
    search = Search(own, ("smooth",))
    counts = {flags_of(each): counts_of(0.5) for each in search.proposals(0)} | {"": counts_of(0.5)}
    counts["--smooth 1"][2] = counts_of(1)[0]
    counts["--smooth 3"][:2] = counts_of(0.6, 2)
    search.learn(counts)
    assert search.answer() == Refinement(smooth=3)
    assert search.gain(Refinement(smooth=1)) == 0
    assert search.gain(Refinement(smooth=3)) == pytest.approx(0.1)
    assert math.isnan(search.gain(Refinement(smooth=9)))


def test_what_others_found_is_not_taken():
    """They looked at pictures that this one must not know."""
    search, other = Search(ALL, ("smooth",)), Search(ALL, ("min_area",))

    def score(refinement):
        return 0.5 + 0.3 * bool(refinement.min_area)

    assert run(search, score, others=[other]) == Refinement()
    assert other.answer().min_area > 0


def test_what_a_picture_does_not_allow_is_no_choice():
    search = Search(ALL, ("min_area",))
    wanted = [each for number in range(2) for each in search.proposals(number)]
    search.learn({"": counts_of(0.5)} | {flags_of(each): None for each in wanted})
    assert search.answer() == Refinement()
    assert search.singles == {}
