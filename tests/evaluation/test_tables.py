from __future__ import annotations

import pytest

from pixelwise.evaluation.evaluate import Estimate
from pixelwise.evaluation.measures import Figure
from pixelwise.evaluation.tables import number, shown, units_of


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("%", 0.12345, "12.3"),
        ("px", 0.12345, "0.12"),
        ("m", 12.345, "12.35"),
        ("m", 0.00012345, "0.000123"),
        ("m", 0.0, "0.00"),
        ("", 0.12345, "0.123"),
    ],
)
def test_short_lengths_keep_their_digits(unit, value, text):
    assert number(value, Figure("x", "x", True, unit)) == text


def test_lengths_have_their_unit():
    length, share = Figure("a", "HD95", True, "mm"), Figure("b", "IoU", True)
    assert (length.heading, share.heading) == ("HD95 (mm)", "IoU")
    assert units_of([length, share]) == {"a": "mm"}
    assert shown(Estimate(1.5, 1.0, 2.0), length) == ("1.50 mm", "1.00 … 2.00")
