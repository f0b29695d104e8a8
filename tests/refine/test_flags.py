from __future__ import annotations

import pytest

from pixelwise.errors import SettingsError
from pixelwise.refine.flags import read_refinement
from pixelwise.refine.plan import Refinement


@pytest.mark.parametrize(
    ("text", "method", "options"),
    [
        ("none", "none", {}),
        ("crf", "crf", {}),
        ("CRF:", "crf", {}),
        ("crf:iterations=3,colour_weight=4", "crf", {"iterations": 3, "colour_weight": 4.0}),
        (
            " crf : Iterations = 3 , colour-weight=.5",
            "crf",
            {"iterations": 3, "colour_weight": 0.5},
        ),
        ("guided:radius=4,smoothing=1e-4", "guided", {"radius": 4, "smoothing": 1e-4}),
    ],
)
def test_methods_with_their_options(text, method, options):
    assert read_refinement(refine=text) == Refinement(method, options)


def test_the_other_flags():
    found = read_refinement(
        snap="superpixels", smooth=2, fill_holes=["road"], keep_largest=["sky", "sea"], min_area=9
    )
    assert found == Refinement(
        snap=True, smooth=2, fill_holes=("road",), keep_largest=("sky", "sea"), min_area=9
    )
    assert not read_refinement()


def test_all_faults_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        read_refinement(
            refine="crf:iterations=x,color_weight=4,foo,smooth_weight=-1,smooth_weight=2,",
            snap="superpixel",
            smooth=2000,
            min_area=-1,
        )
    got = caught.value.got
    for fault in (
        "iterations='x', expected a whole number",
        "'color_weight': no option of crf (did you mean",
        "'foo': expected NAME=VALUE",
        "'': expected NAME=VALUE",
        "smooth_weight is given twice",
        "smooth_weight=-1.0, expected a number from 0 to 10,000",
        "--snap 'superpixel': did you mean superpixels?",
        "smooth=2000, expected a whole number from 0 to 1,000",
        "min_area=-1",
    ):
        assert fault in got
    assert len(got.splitlines()) == 9


@pytest.mark.parametrize(
    "text", ["", "crff", "crf iterations=3", "crf=3", "x" * 10_000, "none:a=1"]
)
def test_what_is_no_method(text):
    with pytest.raises(SettingsError) as caught:
        read_refinement(refine=text)
    assert len(caught.value.got) < 400
