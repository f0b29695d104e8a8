"""The code of docs/evaluation.md, run as it is written."""

from __future__ import annotations

import re
from pathlib import Path

from pixelwise.metrics import figures

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
IN_PYTHON = PAGE.split("## In Python", 1)[1].split("\n## ", 1)[0]


def test_the_code_runs_and_its_names_are_there():
    names = {}
    for code in re.findall(r"```python\n(.*?)```", IN_PYTHON, re.DOTALL):
        exec(compile(code, "docs/evaluation.md", "exec"), names)
    assert 0.8 < names["matrix"].compute().mean_iou < 1
    assert all(0 < score < 1 for score in names["contours"].compute().f_score)
    assert names["surface"].compute().one_sided.tolist() == [0, 0]


def test_every_function_of_the_table_exists():
    table = IN_PYTHON.split("| metric |", 1)[1]
    told = set(re.findall(r"`([a-z][a-z_0-9]+)`", table))
    assert told == {*figures.__all__} - {"mean_of_defined"}
