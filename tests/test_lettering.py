from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from pixelwise import lettering as module
from pixelwise.classes import ClassInfo
from pixelwise.lettering import lettering
from pixelwise.overlay import LegendEntry, draw_legend


def drawn(font, text):
    mask = font.getmask(text)
    return mask.size, bytes(mask)


@pytest.fixture
def no_system_fonts(monkeypatch):
    monkeypatch.setattr(module, "_SYSTEM_FONTS", ("there is none of this name.ttf",))


def test_plain_letters_have_the_built_in_font():
    letters = lettering(["road 12.5 %", "sky"], 20)
    assert letters.font.getname() == ImageFont.load_default(20).getname()
    assert letters.texts == ("road 12.5 %", "sky")


@pytest.mark.parametrize(
    "text", ["Straße", "Äpfel", "fiancé", "道路", "A\u0308pfel", "дорога", "🙂"]
)
def test_no_letter_is_the_sign_of_a_missing_one(text):
    letters = lettering([text], 20)
    missing = drawn(letters.font, "\uffff")
    assert all(drawn(letters.font, letter) != missing for letter in letters.texts[0])


def test_without_system_fonts_accents_go_and_the_rest_is_asked(no_system_fonts):
    assert lettering(["Äpfel é", "道 x"], 20).texts == ("Apfel e", "? x")


def test_what_cannot_be_shown_is_written_out():
    assert lettering(["a\nb\x1b"], 14).texts == ("a\\nb\\x1b",)


def test_legends_of_other_letters_are_not_boxes():
    def legend(name):
        return draw_legend(
            [LegendEntry(ClassInfo(1, name, (9, 9, 9)), 0.5)], width=300, picture_height=300
        )

    assert not np.array_equal(legend("道ß"), legend("\uffff\uffff"))
    assert not np.array_equal(legend("ß"), legend("é"))
