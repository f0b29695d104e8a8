from __future__ import annotations

import pytest

from pixelwise.cli.budget import seconds_of
from pixelwise.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("90s", 90), ("1.5 M", 90), ("1h30m", 5400), ("2d", 172_800)],
)
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "10", "ten", "5m!", "-3m"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(UsageError, match="this is no time"):
        seconds_of(text)
