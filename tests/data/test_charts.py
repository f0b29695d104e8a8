from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.charts import Curve, chart, small_chart

LEFT, RIGHT, TOP, FOOT = 54, 410, 12, 204


def path(text, style):
    """The points of a curve, as drawn."""
    (drawn,) = re.findall(rf'<path class="curve {style}" d="([^"]*)"', text)
    return [
        (pen, float(x), float(y)) for pen, x, y in re.findall(r"([ML])([\d.]+) ([\d.]+)", drawn)
    ]


def numbers(text):
    return [element.text for element in ET.fromstring(text).iter("text")]


def test_points_lie_where_their_values_are():
    text = chart("t", [Curve("", [(1, 0.0), (2, 0.5), (3, 1.0)])], across="epoch", percent=True)
    assert path(text, "strong") == [
        ("M", LEFT, FOOT),
        ("L", (LEFT + RIGHT) / 2, (TOP + FOOT) / 2),
        ("L", RIGHT, TOP),
    ]
    assert numbers(text) == ["0 %", "25 %", "50 %", "75 %", "100 %", "1", "2", "3", "epoch"]


def test_a_wide_range_is_logarithmic_where_asked():
    curve = Curve("", [(1, 1000.0), (2, 10.0), (3, 1.0)])
    steps = path(chart("t", [curve], across="step", logarithmic=True), "strong")
    assert steps[1][2] == pytest.approx(TOP + (FOOT - TOP) * 2 / 3, abs=0.1)
    plain = path(chart("t", [curve], across="step"), "strong")
    assert plain[1][2] > FOOT - 3
    with_zero = Curve("", [(1, 1000.0), (2, 0.0)])
    assert chart("t", [with_zero], across="step", logarithmic=True)


def test_a_gap_stays_a_gap_and_a_point_alone_is_seen():
    text = chart("t", [Curve("", [(1, 1.0), (2, None), (3, 2.0), (4, 1.5)])], across="x")
    assert [pen for pen, _, _ in path(text, "strong")] == ["M", "M", "L"]
    assert text.count('class="dot"') == 1


def test_one_point_stands_in_the_middle():
    text = chart("t", [Curve("", [(1, 0.5)])], across="epoch", percent=True, mark=(1, 0.5))
    assert path(text, "strong")[0][1] == (LEFT + RIGHT) / 2
    assert f'class="mark" cx="{(LEFT + RIGHT) / 2:.1f}"' in text
    assert "1" in numbers(text)


def test_without_a_point_there_is_no_chart():
    assert chart("t", [Curve("a", [])], across="x") == ""
    assert chart("t", [Curve("a", [(1, None)])], across="x") == ""
    assert small_chart([(1, None)], 5) == ""


def test_of_a_million_points_the_peaks_stay():
    points = [(float(x), 1.0) for x in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    points[77_777] = (77_777.0, 0.0)
    text = chart("t", [Curve("", points)], across="step")
    assert len(text) < 30_000
    drawn = path(text, "strong")
    assert min(y for _, _, y in drawn) == pytest.approx(TOP + (FOOT - TOP) / 10, abs=0.1)
    assert max(y for _, _, y in drawn) == FOOT
    assert [x for _, x, _ in drawn] == sorted(x for _, x, _ in drawn)


def test_texts_are_text():
    text = chart("<b>&", [Curve("<i>", [(1, 1.0)]), Curve('"', [(1, 2.0)])], across="<u>")
    assert ET.fromstring(text) is not None
    assert "<b>" not in text
    assert "&lt;i&gt;" in text


value = st.floats(-1e12, 1e12, allow_nan=False)


@given(
    ys=st.lists(st.one_of(st.none(), value), min_size=1, max_size=30),
    logarithmic=st.booleans(),
)
def test_any_values_stay_within_the_frame(ys, logarithmic):
    points = [(float(x), y) for x, y in enumerate(ys)]
    text = chart("t", [Curve("", points)], across="x", logarithmic=logarithmic)
    if not text:
        assert all(y is None for y in ys)
        return
    assert "nan" not in text
    for _, x, y in path(text, "strong"):
        assert LEFT <= x <= RIGHT
        assert TOP <= y <= FOOT
    marks = numbers(text)
    assert len(marks) <= 16


def test_small_curves_share_one_scale():
    low = small_chart([(1, 0.0), (2, 0.5)], 4)
    assert path(low, "strong") == [("M", 2, 54), ("L", pytest.approx(54, abs=0.1), 28)]
    assert 'aria-hidden="true"' in low
