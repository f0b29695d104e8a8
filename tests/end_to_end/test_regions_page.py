"""The code of docs/regions.md, run as it is written."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from pixelwise.formats.features import attributes_of
from pixelwise.region_files import REGION_FORMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "regions.md").read_text("utf-8")


def test_the_code_runs(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    for code in blocks:
        exec(compile(code, "docs/regions.md", "exec"), names)
    np.testing.assert_array_equal(names["labels_again"].shape, names["result"].size)
    assert len(names["kept"].places) <= len(names["found_boxes"].boxes) == len(names["entries"])
    assert sum(share for _, share in names["tags"].values()) == pytest.approx(1)
    assert all(polygon.area >= 500 for polygon in names["simple"])
    assert sum(map(len, names["found"])) == names["count"] == 2
    meta, _, _, columns = pyogrio.raw.read(tmp_path / "out" / "water.gpkg")
    values = dict(zip(meta["fields"], columns, strict=True))
    assert dict(zip(values["class"], values["area_ha"], strict=True)) == {
        "land": 2800,
        "water": 1200,
    }


def test_the_commands_run(tmp_path, monkeypatch, command):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "pixelwise"
        assert command(*arguments)[0] == 0, line
    assert (tmp_path / "out/regions/svg/scooter.svg").is_file()


def test_all_forms_are_told():
    table = PAGE.split("| form |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == [
        *sorted(REGION_FORMS.keys() - {"geojson", "svg"}),
        "geojson",
        "svg",
    ]


def test_columns_are_those_of_the_file():
    table = PAGE.split("| column |", 1)[1].split("\n\n", 1)[0]
    told = re.findall(
        r"`([a-z_0-9]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])
    )
    assert told == [
        attribute.name for attribute in attributes_of(has_ground=True, has_confidence=True)
    ]
