from __future__ import annotations

from pixelwise.classes import ClassTable
from pixelwise.colours import colour_of
from pixelwise.data.colour_names import ColourNames, placeholder, strays_among

RED, BLUE = 0x2010E0, 0xD02010


def code_of(colour):
    return colour[0] | colour[1] << 8 | colour[2] << 16


def test_codes_are_colours():
    assert colour_of(0x2010E0) == (0xE0, 0x10, 0x20)
    assert placeholder((224, 16, 32)) == "colour #e01020"


def test_strays_are_rare_in_all_and_where_they_are():
    frequent = {RED: (600_000, 10**6), BLUE: (400_000, 10**6)}
    far = code_of((20, 230, 20))
    assert strays_among(frequent | {far: (99, 10**5)}, 10**6) == {far: "rare"}
    assert strays_among(frequent | {far: (99, 10**4)}, 10**6) == {}
    assert strays_among(frequent | {far: (101, 10**6)}, 10**6) == {}


def test_colours_of_edges_may_be_ten_times_as_frequent():
    frequent = {RED: (600_000, 10**6), BLUE: (400_000, 10**6)}
    close, middle = code_of((220, 20, 30)), code_of((120, 24, 120))
    assert strays_among(frequent | {close: (900, 10**6)}, 10**6) == {close: "close to #e01020"}
    assert strays_among(frequent | {middle: (900, 10**6)}, 10**6) == {
        middle: "between #e01020 and #1020d0"
    }
    assert strays_among(frequent | {middle: (1100, 10**6)}, 10**6) == {}


def test_a_table_gives_names_only_if_it_fits_as_a_whole():
    camvid = ClassTable.builtin("camvid")
    codes = [code_of(info.colour) for info in camvid]
    sky = camvid.find("sky").colour
    assert ColourNames(codes, set(), None).of_colour(sky) == "sky"
    others = [code_of((n, 3, 7)) for n in range(5)]
    assert ColourNames(codes[:4] + others, set(), None).of_colour(sky) == ""
    assert ColourNames(codes[:2], set(), None).of_colour(sky) == ""
    assert "camvid: sky" in ColourNames([], set(), None).known_as(sky)


def test_255_is_ignored_above_other_values_alone():
    assert ColourNames([], {0, 1, 255}, None).ignores_value(255)
    assert not ColourNames([], {0, 255}, None).ignores_value(255)
    assert not ColourNames([], {255}, None).ignores_value(255)
    assert not ColourNames([], {0, 255, 300}, None).ignores_value(255)
    assert ColourNames([], {-1, 0}, None).ignores_value(-1)
