"""The code of docs/refine.md, run as it is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pixelwise import refine
from pixelwise.formats.masks import read_mask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "refine.md").read_text("utf-8")


def test_the_code_runs(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/refine.md", "exec"), names)
    steps = [step.split(":")[0] for step in names["cleaned"].provenance.refined]
    assert steps == ["crf", "fill_holes", "min_area"]
    assert (read_mask("out/refined.png") == names["cleaned"].labels).all()


def test_every_step_is_told():
    table = PAGE.split("| step |", 1)[1].split("\n\n", 1)[0]
    assert sorted(re.findall(r"^\| `([a-z_]+)\(", table, re.MULTILINE)) == refine.__all__
