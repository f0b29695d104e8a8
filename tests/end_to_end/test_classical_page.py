"""The commands and the code of docs/classical.md, run as they are written."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from pixelwise.classical.methods import METHODS
from pixelwise.formats.masks import read_mask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "classical.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("classical_page")
    for name in ("nuclei", "photos"):
        shutil.copytree(ROOT / "examples" / name, place / "examples" / name)
    return place


def test_commands_do_what_they_say(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) == 5
    for line in commands:
        program, *arguments = shlex.split(line)
        assert program == "pixelwise"
        code, out, error = command(*arguments)
        assert (code, error) == (0, ""), line
    assert "model cells" in out
    nuclei = read_mask(folder / "out" / "otsu" / "labels" / "violet_1.png")
    true = read_mask(folder / "examples" / "nuclei" / "masks" / "violet_1.png") > 0
    assert ((nuclei == 1) & true).sum() / ((nuclei == 1) | true).sum() > 0.6
    cut = read_mask(folder / "out" / "grabcut" / "labels" / "scooter.png")
    assert 0.05 < cut.mean() < 0.15
    grown = read_mask(folder / "out" / "watershed" / "labels" / "scooter.png")
    assert (grown[330, 320], grown[200, 400], grown[40, 320]) == (1, 2, 3)
    assert (grown[320:] == 1).mean() > 0.9


def test_code_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    (code,) = blocks("python")
    exec(compile(code, "docs/classical.md", "exec"), names)
    assert 10 < len(names["nuclei"]) < 60
    assert np.unique(names["regions"]).size > 100
    assert names["seg"].size == (360, 640)


def test_the_table_has_every_method_with_its_options():
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    told = {name: set(re.findall(r"`([a-z_]+)`", options)) for name, options in rows}
    assert told == {
        name: {*inspect.signature(method.run).parameters} - {"image", "images"}
        for name, method in METHODS.items()
    }
