"""The code of docs/models.md, run as it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.models import table_of
from pixelwise.models.build import ARCHITECTURES
from pixelwise.models.encoders.make import OWN_ENCODERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text("utf-8")


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for code in blocks:
        exec(compile(code, "docs/models.md", "exec"), names)
    assert names["logits"].shape == (1, 19, 94, 125)
    assert names["full"].shape == (1, 19, 375, 500)
    assert names["again"].config == names["network"].config


def test_sources_are_those_of_the_table_of_architectures():
    for name, entry in ARCHITECTURES.items():
        for source in entry.sources:
            (row,) = re.findall(rf"^\| `{source}` \|.*$", PAGE, re.MULTILINE)
            assert f"`{name}`" in row


def test_own_encoders_are_named():
    for name in OWN_ENCODERS:
        assert f"`{name}`" in PAGE or name.startswith("mit_b")


def test_the_figures_are_those_of_the_stored_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "models.json").read_text())
    assert table_of(results) in PAGE
