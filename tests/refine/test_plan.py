from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ClassNameError, SettingsError, UsageError
from pixelwise.geometry import Geometry
from pixelwise.kernels.axis import Axis
from pixelwise.refine.flags import read_refinement
from pixelwise.refine.options import METHODS, WHOLE
from pixelwise.refine.plan import Refinement
from pixelwise.segmentation import Provenance, Segmentation

TABLE = ClassTable(
    "made",
    (
        ClassInfo(3, "sky", (0, 0, 0), aliases=("heaven",)),
        ClassInfo(5, "sea", (9, 9, 9)),
        ClassInfo(8, "sand", (1, 2, 3)),
    ),
    255,
    "a test",
)
FLAGS = {
    "--refine": "refine",
    "--snap": "snap",
    "--smooth": "smooth",
    "--min-area": "min_area",
}


@st.composite
def refinements(draw):
    method = draw(st.sampled_from(list(METHODS)))
    options = {}
    for name, (least, most) in METHODS[method].items():
        if draw(st.booleans()):
            numbers = (
                st.integers(int(least), int(most)) if name in WHOLE else st.floats(least, most)
            )
            options[name] = draw(numbers)
    classes = st.lists(st.sampled_from(TABLE.names), max_size=2, unique=True).map(tuple)
    return Refinement(
        method,
        options,
        snap=draw(st.booleans()),
        smooth=draw(st.integers(0, 1000)),
        fill_holes=draw(classes),
        keep_largest=draw(classes),
        min_area=draw(st.integers(0, 10**6)),
    )


def read_flags(flags):
    """As the command line does."""
    values = {"fill_holes": [], "keep_largest": []}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        name = FLAGS.get(flag)
        if name is None:
            values[flag.removeprefix("--").replace("-", "_")].append(value)
        else:
            values[name] = int(value) if name in {"smooth", "min_area"} else value
    return read_refinement(**values)


def segmentation(seed=0, *, ignored=False, size=(21, 26)):
    rng = np.random.default_rng(seed)
    labels = None
    if ignored:
        labels = rng.choice(np.array([*TABLE.ids, 255], np.uint8), size)
    return Segmentation(
        rng.normal(size=(3, 11, 13)).astype(np.float32),
        TABLE,
        Geometry(Axis.half_pixel(size[0], 11), Axis.half_pixel(size[1], 13)),
        Provenance("model", "hash", "engine", (4, 4), "picture", "0"),
        image=rng.integers(0, 256, (*size, 3), np.uint8),
        labels=labels,
    )


def squares(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] // 5
    return rows * 100 + columns


@settings(max_examples=50)
@given(refinements())
def test_flags_give_it_again(refinement):
    again = read_flags(refinement.to_flags())
    assert again == refinement
    assert again.describe() == refinement.describe()
    assert pickle.loads(pickle.dumps(refinement)) == refinement
    assert bool(refinement.to_flags()) == bool(refinement) == bool(refinement.describe())


def test_what_is_said_has_every_option():
    assert Refinement().describe() == ""
    plain, spelt = Refinement("crf"), Refinement("crf", {"iterations": 5, "smooth_weight": 3})
    assert plain.describe() == spelt.describe()
    assert plain.describe() == (
        "refine crf:iterations=5,colour_weight=10,colour_deviation=13,position_deviation=80,"
        "smooth_weight=3,smooth_deviation=3"
    )
    assert Refinement("crf", {"iterations": 4}).describe() != plain.describe()
    cleaned = Refinement(snap=True, smooth=2, fill_holes=("sea",), min_area=9)
    assert cleaned.describe() == "snap superpixels, smooth 2, fill-holes sea, min-area 9"


def test_everything_that_is_wrong_is_told():
    with pytest.raises(SettingsError) as caught:
        Refinement("crf", {"iterations": 2.5, "colour_wait": 3}, smooth=-1, min_area=True)
    got = caught.value.got
    assert "iterations=2.5, expected a whole number from 0 to 1,000" in got
    assert "'colour_wait': no option of crf (did you mean " in got
    assert "smooth=-1" in got
    assert "min_area=True" in got
    with pytest.raises(SettingsError, match="cannot be refined so") as caught:
        Refinement("guide")
    assert "did you mean guided?" in caught.value.got
    with pytest.raises(SettingsError) as caught:
        Refinement("none", {"radius": 3})
    assert "no option of none" in caught.value.got


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_numbers_that_overflow_are_refused(value):
    for name in ("colour_weight", "position_deviation", "smooth_deviation"):
        with pytest.raises(SettingsError, match="refined so"):
            Refinement("crf", {name: value})


def test_options_stay_as_they_were():
    options = {"radius": 4}
    refinement = Refinement("guided", options)
    options["radius"] = 5
    assert refinement.options == {"radius": 4}
    with pytest.raises(TypeError):
        refinement.options["radius"] = 6


def test_classes_get_the_names_of_the_table():
    asked = Refinement(fill_holes=("Heaven", "sky"), keep_largest=("SEA",))
    named = asked.of_classes(TABLE)
    assert (named.fill_holes, named.keep_largest) == (("sky",), ("sea",))
    with pytest.raises(ClassNameError) as caught:
        Refinement(fill_holes=("sku", "sky"), keep_largest=("moon",)).of_classes(TABLE)
    assert "fill_holes 'sku': did you mean sky?" in caught.value.got
    assert "keep_largest 'moon'" in caught.value.got


@settings(max_examples=50)
@given(refinements(), st.integers(0, 2**32 - 1))
def test_ignored_pixels_stay_and_no_class_is_invented(refinement, seed):
    """No options that are taken overflow."""
    cleaning = Refinement(
        snap=refinement.snap,
        smooth=refinement.smooth,
        fill_holes=refinement.fill_holes,
        keep_largest=refinement.keep_largest,
        min_area=refinement.min_area,
    )
    before = segmentation(seed, ignored=True)
    after = cleaning.apply(before, squares)
    np.testing.assert_array_equal(after.labels == 255, before.labels == 255)
    assert set(np.unique(after.labels)) <= set(np.unique(before.labels))
    options = dict(refinement.options)
    if "iterations" in options:
        options["iterations"] %= 4
    found = Refinement(refinement.method, options).apply(segmentation(seed))
    assert set(np.unique(found.labels)) <= set(TABLE.ids)
    probabilities = found.probabilities()
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)


def test_steps_come_in_their_order():
    refinement = Refinement(
        "guided",
        {"radius": 2},
        snap=True,
        smooth=1,
        fill_holes=("sky", "sea"),
        keep_largest=("sand",),
        min_area=4,
    )
    made = refinement.apply(segmentation(), squares)
    assert [step.partition(":")[0] for step in made.provenance.refined] == [
        "guided",
        "snap",
        "smooth",
        "fill_holes",
        "fill_holes",
        "keep_largest",
        "min_area",
    ]
    with pytest.raises(UsageError, match="superpixels"):
        refinement.apply(segmentation())
    untouched = segmentation()
    assert Refinement().apply(untouched) is untouched


def test_names_of_classes_cannot_pass_for_other_steps():
    one, other = Refinement(fill_holes=("a, smooth 2",)), Refinement(fill_holes=("a",), smooth=2)
    assert one.describe() == "fill-holes 'a, smooth 2'"
    assert one.describe() != other.describe()
