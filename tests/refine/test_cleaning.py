from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.kernels import label_regions
from pixelwise.refine.cleaning import filled_holes, largest_alone, smoothed, without_specks

IDS = (0, 1, 2, 7)


@st.composite
def label_maps(draw):
    """Ids of four classes, and 255 that is ignored."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    shares = draw(st.sampled_from([(0.9, 0.05, 0.05, 0, 0), (0.3, 0.3, 0.2, 0.1, 0.1)]))
    labels = rng.choice([*IDS, 255], shape, p=shares)
    return labels.astype(draw(st.sampled_from([np.uint8, np.uint16])))


def parse(*rows):
    return np.array(
        [[255 if letter == "x" else int(letter) for letter in row] for row in rows], "u1"
    )


def only(channel):
    """Probabilities that are highest for one class."""

    def of(window):
        out = np.full((4, window.bottom - window.top, window.right - window.left), 0.1, np.float32)
        out[channel] = 0.7
        return out

    return of


def test_a_speck_goes_to_the_likeliest_class_beside_it():
    labels = parse("00001111", "00201111", "00001111", "77771111")
    assert (without_specks(labels, 2, ids=IDS, probabilities=None)[1] == labels[0]).all()
    to_1 = without_specks(labels, 2, ids=IDS, probabilities=only(1))
    assert to_1[1, 2] == 0, "class 1 is not beside it"
    nearer = parse("00001111", "00021111", "00001111", "77771111")
    assert without_specks(nearer, 2, ids=IDS, probabilities=only(1))[1, 3] == 1
    assert without_specks(nearer, 2, ids=IDS, probabilities=only(3))[1, 3] == 0


def test_specks_together_grow_into_what_stays():
    labels = parse("0000000", "0012000", "0022000", "0000000")
    cleaned = without_specks(labels, 4, ids=IDS, probabilities=only(2))
    np.testing.assert_array_equal(cleaned, parse("0000000", "0022000", "0022000", "0000000"))


def test_a_region_among_ignored_pixels_stays():
    labels = parse("xxxx", "x1xx", "xxx0")
    np.testing.assert_array_equal(without_specks(labels, 9, ids=IDS, probabilities=None), labels)


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.integers(1, 30))
def test_cleaning_leaves_no_speck_that_has_a_neighbour(labels, min_area):
    cleaned = without_specks(labels, min_area, ids=IDS, probabilities=None)
    np.testing.assert_array_equal(cleaned == 255, labels == 255)
    assert set(np.unique(cleaned)) <= set(np.unique(labels))
    regions = label_regions(cleaned)
    for place in np.flatnonzero((regions.area < min_area) & (regions.label != 255)):
        region = regions.components == place
        around = cleaned[ndimage.binary_dilation(region, np.ones((3, 3))) & ~region]
        assert (around == 255).all()
    again = without_specks(cleaned, min_area, ids=IDS, probabilities=None)
    np.testing.assert_array_equal(again, cleaned)


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.sampled_from(IDS))
def test_the_largest_region_is_kept_and_the_others_are_not(labels, number):
    kept = largest_alone(labels, number, ids=IDS, probabilities=None)
    before, count = ndimage.label(labels == number, np.ones((3, 3)))
    if count:
        sizes = np.bincount(before.ravel())[1:]
        assert ((kept == number) >= (before == sizes.argmax() + 1)).all()
    after, left = ndimage.label(kept == number, np.ones((3, 3)))
    lonely = 0
    for place in range(1, left + 1):
        region = after == place
        around = kept[ndimage.binary_dilation(region, np.ones((3, 3))) & ~region]
        lonely += bool((around == 255).all())
    assert left - lonely <= 1
    np.testing.assert_array_equal(kept == 255, labels == 255)


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.sampled_from(IDS))
def test_holes_are_those_of_scipy(labels, number):
    filled = filled_holes(labels, number, ids=IDS)
    expected = ndimage.binary_fill_holes(labels == number) & (labels != 255)
    np.testing.assert_array_equal(filled == number, expected)
    np.testing.assert_array_equal(filled[~expected], labels[~expected])


@settings(max_examples=40, deadline=None)
@given(label_maps(), st.integers(0, 4))
def test_smoothing_is_a_vote(labels, radius):
    found = smoothed(labels, radius, ids=IDS)
    for y, x in np.ndindex(labels.shape):
        window = labels[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        votes = {number: int((window == number).sum()) for number in IDS}
        if labels[y, x] == 255:
            assert found[y, x] == 255
        elif votes[labels[y, x]] == max(votes.values()):
            assert found[y, x] == labels[y, x]
        else:
            assert found[y, x] == min(n for n in IDS if votes[n] == max(votes.values()))
