from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise import classical
from pixelwise.errors import SettingsError, UsageError

POINTS = [(40, 30, "disc"), (2, 2, "rest")]


def test_grabcut_finds_what_is_in_the_box(disc):
    picture, mask = disc
    found = classical.grabcut(picture, box=(20, 10, 60, 50))
    np.testing.assert_array_equal(found.labels, mask)


def test_grabcut_keeps_what_it_was_shown(disc):
    picture, mask = disc
    scribbles = np.zeros(mask.shape, np.uint8)
    scribbles[30, 36:44] = 2
    scribbles[2, 2:70] = 1
    scribbles[28, 38:42] = 1
    found = classical.grabcut(picture, seeds=scribbles).labels
    assert not found[28, 38:42].any()
    assert found[30, 36:44].all()
    assert (found == mask).mean() > 0.95
    points = [(40, 30, "foreground")]
    in_box = classical.grabcut(picture, box=(20, 10, 60, 50), seeds=points)
    np.testing.assert_array_equal(in_box.labels, mask)


def test_grabcut_is_the_same_for_a_seed():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    first, again = (classical.grabcut(picture, box=(5, 5, 35, 35), seed=3).labels for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_grabcut_tells_what_it_lacks(disc):
    picture, _ = disc
    with pytest.raises(SettingsError) as caught:
        classical.grabcut(picture)
    assert "neither a box nor seeds" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.grabcut(picture, box=(20, 10, 200, 50), seeds=[(3, 3, "dog"), (500, 3, "cat")])
    assert "box 20,10,200,50 is empty or leaves the picture" in caught.value.got
    assert "no such class" in caught.value.got
    assert "seed 500,3:cat: outside the picture" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.grabcut(picture, box=(0, 0, 80, 64))
    assert "no pixel to be background" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.grabcut(picture, seeds=[(3, 3, "foreground")])
    assert "one class alone" in caught.value.got
    for box in ((1, 2, 3), 5, (1.5, 2, 3, 4)):
        with pytest.raises(SettingsError, match="cannot be run"):
            classical.grabcut(picture, box=box)


def test_the_walker_stays_within_edges(disc):
    picture, mask = disc
    found = classical.random_walker(picture, seeds=POINTS)
    np.testing.assert_array_equal(found.layer("disc").mask, mask)


def test_the_walker_on_a_line_is_worked_out():
    """On even ground the probability falls linearly from one seed to the other."""
    line = np.full((1, 11, 3), 80, np.uint8)
    found = classical.random_walker(line, seeds=[(0, 0, "a"), (10, 0, "b")])
    np.testing.assert_allclose(found.probabilities()[0, 0], np.linspace(1, 0, 11), atol=1e-4)


def test_scribbles_have_names_and_a_class_may_lack_any(disc):
    picture, mask = disc
    scribbles = np.zeros(mask.shape, np.uint8)
    scribbles[30, 40], scribbles[2, 2] = 1, 3
    found = classical.random_walker(picture, seeds=scribbles, names=("disc", "none", "rest"))
    assert found.classes.ids == (1, 2, 3)
    np.testing.assert_array_equal(found.labels, np.where(mask, 1, 3))


def test_where_all_is_shown_nothing_is_left_to_walk(disc):
    picture, mask = disc
    found = classical.random_walker(picture, seeds=np.where(mask, 2, 1))
    np.testing.assert_array_equal(found.labels, np.where(mask, 2, 1))


def test_a_large_picture_is_walked_smaller(disc, iou):
    picture, mask = disc
    large = np.asarray(Image.fromarray(picture).resize((960, 768), Image.Resampling.NEAREST))
    found = classical.random_walker(large, seeds=[(480, 360, "disc"), (24, 24, "rest")])
    assert found.scores.shape == (2, 384, 480)
    assert found.size == (768, 960)
    assert iou(found.layer("disc").mask, mask.repeat(12, 0).repeat(12, 1)) > 0.99
    with pytest.raises(UsageError) as caught:
        classical.random_walker(large, seeds=[(480, 360, "disc"), (481, 361, "rest")])
    assert "two classes within 2 pixels, near 480,360" in caught.value.got
