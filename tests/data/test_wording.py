from __future__ import annotations

import pytest

from pixelwise.data.wording import counted, duration, escaped, percent, printable


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3571, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (172_000, "47 h 47 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_numbers_in_words():
    assert percent(0.7134) == "71.3 %"
    assert percent(None) == "–"
    assert counted(1, "picture") == "1 picture"
    assert counted(1200, "picture") == "1,200 pictures"


def test_no_text_commands_a_terminal_or_a_page():
    assert printable("a\x1b[31m\n\u202e") == r"a\x1b[31m\n\u202e"
    assert escaped("<b>'\"&\x07") == r"&lt;b&gt;&#x27;&quot;&amp;\x07"
