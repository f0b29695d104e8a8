from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.overlay import LegendEntry, draw_legend, draw_overlay, heat_map


def draw(image, labels, classes, **options):
    present = [info for info in classes if (labels == info.id).any()]
    entries = [LegendEntry(info, float((labels == info.id).mean())) for info in present]
    options = {"opacity": 0.5, "legend": True, "threads": 1} | options
    return draw_overlay(image, labels, classes.palette, entries, **options)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (7, 5), (64, 300), (301, 401)])
def test_the_photo_stays_at_the_upper_left_pixel_for_pixel(make_table, size):
    classes = make_table(*range(5))
    image = noise(*size)
    labels = np.random.default_rng(1).integers(0, 5, size, np.uint8)
    plain = draw(image, labels, classes, legend=False)
    shown = draw(image, labels, classes)
    assert plain.shape == image.shape
    np.testing.assert_array_equal(shown[: size[0], : size[1]], plain)
    assert shown.shape[0] > size[0]
    assert shown.shape[1] >= max(size[1], 160)
    assert shown.dtype == np.uint8


def test_beside_a_narrow_photo_is_background(make_table):
    shown = draw(noise(50, 3), np.zeros((50, 3), np.uint8), make_table(0, 1))
    beside = shown[:50, 3:].reshape(-1, 3)
    np.testing.assert_array_equal(beside, np.broadcast_to(beside[0], beside.shape))


def test_within_a_class_the_photo_shines_through(make_table):
    classes = make_table(0, 1)
    image = noise(20, 200)
    labels = np.zeros((20, 200), np.uint8)
    shown = draw(image, labels, classes, legend=False)
    expected = image * 0.5 + np.array(classes.find(0).colour) * 0.5
    assert np.abs(shown - expected).max() <= 1


def test_borders_are_in_full_colour(make_table):
    classes = make_table(0, 1)
    labels = np.zeros((20, 200), np.uint8)
    labels[:, 100:] = 1
    shown = draw(noise(20, 200), labels, classes, legend=False)
    sides = {tuple(shown[10, x]) for x in (99, 100)}
    assert sides & {info.colour for info in classes}


def test_ids_above_255_have_their_colours(make_table):
    classes = make_table(0, 300)
    labels = np.full((20, 20), 300, np.uint16)
    shown = draw(noise(20, 20), labels, classes, opacity=1.0, legend=False)
    np.testing.assert_array_equal(shown, np.broadcast_to(classes.find(300).colour, (20, 20, 3)))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "road 100.0 %"),
        (0.1234, "road 12.3 %"),
        (0.001, "road 0.1 %"),
        (0.000999, "road <0.1 %"),
        (1e-9, "road <0.1 %"),
    ],
)
def test_a_legend_text_is_name_and_percentage(share, text):
    assert LegendEntry(ClassInfo(0, "road", (1, 2, 3)), share).text == text


def swatches(strip, classes):
    """How many pixels of the strip have each class's colour."""
    shades = np.array([65_536, 256, 1])
    found, counts = np.unique(strip @ shades, return_counts=True)
    count_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return [count_of.get(int(info.colour @ shades), 0) for info in classes]


@pytest.mark.parametrize(
    ("count", "width", "height"),
    [(1, 160, 1), (3, 160, 1), (3, 30_000, 40), (150, 160, 90), (150, 1024, 683)],
)
def test_every_class_has_its_swatch(make_table, count, width, height):
    classes = make_table(*range(count))
    entries = [LegendEntry(info, 1 / count) for info in classes]
    strip = draw_legend(entries, width=width, picture_height=height)
    assert strip.shape[1] >= width
    found = swatches(strip, classes)
    assert min(found) >= 9 * 9
    assert max(found) - min(found) <= 1 + max(found) // 50


def test_all_classes_of_ade20k_fit_in_any_width():
    classes = ClassTable.builtin("ade20k")
    entries = [LegendEntry(info, 1 / 150) for info in classes]
    for width in (160, 640):
        strip = draw_legend(entries, width=width, picture_height=480)
        background = strip[0, 0]
        # A text that is cut off reaches the rim.
        np.testing.assert_array_equal(strip[:, -1], np.broadcast_to(background, strip[:, -1].shape))
        np.testing.assert_array_equal(strip[-1], np.broadcast_to(background, strip[-1].shape))


def test_a_long_name_widens_the_legend():
    long = "a class of a very long name that no narrow photo has room for"
    entries = [LegendEntry(ClassInfo(0, long, (9, 9, 9)), 0.5)]
    strip = draw_legend(entries, width=160, picture_height=100)
    font = ImageFont.load_default(11)
    assert strip.shape[1] > font.getlength(entries[0].text)
    written = np.flatnonzero((strip != strip[0, 0]).any(-1).any(0))
    assert written[-1] < strip.shape[1] - 1
    assert written[-1] > font.getlength(entries[0].text)


def test_texts_of_one_row_stay_apart(make_table):
    classes = make_table(*range(4))
    entries = [LegendEntry(info, 0.25) for info in classes]
    strip = draw_legend(entries, width=4000, picture_height=400)
    text = (strip == (235, 235, 235)).all(-1).any(0)
    starts = np.flatnonzero(np.diff(text.astype(int)) == 1)
    lefts = [np.flatnonzero((strip == np.array(i.colour)).all(-1).any(0))[0] for i in classes]
    for info, left, following in zip(classes, lefts, [*lefts[1:], 4000], strict=True):
        own = starts[(starts > left) & (starts < following)]
        assert own.size > len(info.name) // 2
        assert own[-1] < following - 10


def test_a_legend_of_nothing_is_none(make_table):
    image = noise(5, 5)
    shown = draw_overlay(
        image,
        np.zeros((5, 5), np.uint8),
        make_table(0).palette,
        [],
        opacity=0.0,
        legend=True,
        threads=1,
    )
    assert shown.shape == (5, 5, 3)


def test_heat_maps_grow_lighter():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    colours = heat_map(ramp)[0].astype(int)
    assert colours.shape == (256, 3)
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -0.5).all()
    assert lightness[0] < 1
    assert lightness[-1] > 240
    assert colours[128, 0] > 2 * colours[128, 1]
    np.testing.assert_array_equal(heat_map(np.float32([[-1, 2]])), heat_map(np.float32([[0, 1]])))
