from __future__ import annotations

import numpy as np
import pytest

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.layer_sheet import draw_layer_example, draw_layers
from pixelwise.errors import ArrayError

TABLE = ClassTable(
    "toy",
    (ClassInfo(0, "coat", (200, 30, 40)), ClassInfo(3, "person", (50, 210, 60))),
    None,
    "made for a test",
)
MISSED, INVENTED, BOTH = (255, 176, 32), (70, 160, 255), (255, 70, 60)


def colours_in(part):
    return {tuple(pixel) for pixel in part.reshape(-1, 3).tolist()}


def test_each_pixel_shows_its_classes_and_stripes_where_they_are_several():
    photo = np.full((40, 60, 3), 90, np.uint8)
    layers = np.zeros((2, 40, 60), np.bool_)
    layers[0, :, :40] = True
    layers[1, :, 20:] = True
    drawn = draw_layers(photo, layers, TABLE)
    coat, person = (info.colour for info in TABLE)
    assert colours_in(drawn[:, :20]) == {coat}
    assert colours_in(drawn[:, 40:]) == {person}
    both = drawn[:, 20:40]
    assert colours_in(both) == {coat, person}
    assert 0.4 < (both == coat).all(-1).mean() < 0.6
    assert (draw_layers(photo, np.zeros_like(layers), TABLE) == photo).all()


def test_missed_and_invented_classes_are_told_apart_and_ignored_pixels_are_dark():
    image = np.full((256, 256, 3), 200, np.uint8)
    truth = np.zeros((2, 256, 256), np.uint8)
    found = np.zeros((2, 256, 256), np.bool_)
    truth[0, :64] = 1
    found[1, 32:96] = True
    truth[:, 200:] = 255
    found[0, 200:] = True
    sheet = draw_layer_example(image, truth, found, TABLE, name="a", note="epoch 3")
    # The four parts are of the picture's size, the errors the last of them.
    places = {colour: np.argwhere((sheet == colour).all(-1)) for colour in (MISSED, INVENTED, BOTH)}
    rows = {}
    for colour, found_at in places.items():
        # Letters of the title have these colours too, but fill no row.
        lines, counts = np.unique(found_at[:, 0], return_counts=True)
        rows[colour] = lines[counts >= 256]
        assert len(rows[colour]) == 32
    assert rows[MISSED][-1] + 1 == rows[BOTH][0]
    assert rows[BOTH][-1] + 1 == rows[INVENTED][0]
    grey = int(200 * 0.55)
    assert (sheet == grey // 2).all(-1).sum() == 56 * 256


def test_sizes_that_differ_are_refused():
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ArrayError, match="differ in size"):
        draw_layer_example(
            image, np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 9), np.bool_), TABLE, name="a"
        )
