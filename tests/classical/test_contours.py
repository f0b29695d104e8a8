from __future__ import annotations

import numpy as np
import pytest

from pixelwise import classical
from pixelwise.errors import SettingsError, UsageError


def test_edges_enclose_the_object(disc, iou):
    picture, mask = disc
    assert iou(classical.edges(picture).labels == 1, mask) > 0.9
    assert not classical.edges(picture, min_area=10_000).labels.any()


def test_gaps_in_the_outline_are_closed(iou):
    # A ring with an opening three pixels wide.
    rows, columns = np.ogrid[:60, :60]
    distance = np.hypot(rows - 30, columns - 30)
    ring = (distance > 17) & (distance < 20)
    ring[28:31, 40:] = False
    picture = np.repeat((ring * np.uint8(255))[..., None], 3, axis=2)
    assert iou(classical.edges(picture, sigma=1, close=4).labels == 1, distance < 20) > 0.8
    assert iou(classical.edges(picture, sigma=1, close=0).labels == 1, distance < 20) < 0.6


def test_chan_vese_parts_by_brightness(disc):
    picture, mask = disc
    noisy = picture + np.random.default_rng(0).integers(0, 50, picture.shape, np.uint8)
    for dark, expected in ((False, mask), (True, ~mask)):
        found = classical.chan_vese(noisy, dark=dark)
        assert (found.labels.astype(bool) == expected).mean() > 0.99


def test_chan_vese_finds_nothing_in_one_brightness():
    flat = np.full((40, 50, 3), 90, np.uint8)
    for dark in (False, True):
        assert not classical.chan_vese(flat, dark=dark).labels.any()


@pytest.mark.parametrize(
    "start", [{"circle": (40, 30, 25)}, {"contour": [(15, 5), (65, 5), (65, 58), (15, 58)]}]
)
def test_the_snake_shrinks_to_the_disc(start, disc, iou):
    picture, mask = disc
    found = classical.snake(picture, **start)
    assert iou(found.labels == 1, mask) > 0.85


def test_the_snake_needs_one_start_within_the_picture(disc):
    picture, _ = disc
    with pytest.raises(SettingsError) as caught:
        classical.snake(picture, sigma=-1)
    assert "no start" in caught.value.got
    assert "sigma=-1" in caught.value.got
    with pytest.raises(SettingsError) as caught:
        classical.snake(picture, circle=(1, 2, 3), contour=[(0, 0), (0, 1), (1, 0)])
    assert "two starts" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.snake(picture, circle=(70, 30, 20))
    assert caught.value.got == "circle 70,30,20 leaves the picture, x 0 … 79, y 0 … 63"
    with pytest.raises(UsageError) as caught:
        classical.snake(picture, contour=[(0, 0), (100, 0), (0, -4)])
    assert "contour 100,0 lies outside" in caught.value.got
    assert "contour 0,-4 lies outside" in caught.value.got
    for circle in ((5, 5, 0), (5, 5), "round", (5, 5, np.nan)):
        with pytest.raises(SettingsError, match="cannot be run"):
            classical.snake(picture, circle=circle)
    for contour in ([(5, 5), (6, 6)], [(5, 5), (6, 6), (7,)], 5):
        with pytest.raises(SettingsError, match="cannot be run"):
            classical.snake(picture, contour=contour)
