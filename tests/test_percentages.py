from __future__ import annotations

import re
from pathlib import Path

import pixelwise
from pixelwise.percentages import percent


def test_shares_as_percentages():
    assert percent(0.7184) == "71.8 %"
    assert percent(0.7184, 2) == "71.84 %"
    assert percent(0.7184, 0) == "72 %"
    assert percent(None) == "–"


def test_nowhere_is_another_style():
    """Python's own format has no space."""
    sources = Path(pixelwise.__file__).parent.rglob("*.py")
    assert [str(path) for path in sources if re.search(r":\.\d%\}", path.read_text("utf-8"))] == []
