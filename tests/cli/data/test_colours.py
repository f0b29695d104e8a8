from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.cli import main

RED, BLUE = (200, 30, 40), (20, 40, 210)


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(3):
        mask = np.full((20, 30, 3), RED, np.uint8)
        mask[number:] = BLUE
        Image.fromarray(mask).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["pixelwise", "data", "colours", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, *capsys.readouterr()

    return call


def test_colours_of_a_bare_folder_are_listed(run, masks):
    code, out, _ = run(masks)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["3", "masks:"]
    assert lines[2][:5] == ["#1428d2", "20,40,210", "1,710", "95.000%", "3"]
    assert lines[3][:5] == ["#c81e28", "200,30,40", "90", "5.000%", "2"]
    assert "\x1b" not in out


def test_colours_of_a_data_set_are_those_of_its_masks(run, masks):
    (masks.parent / "images").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(masks.parent / "images" / f"{number}.png")
    code, out, _ = run(masks.parent, "--json")
    assert code == 0
    assert {tuple(found["colour"]) for found in json.loads(out)["found"]} == {RED, BLUE}


def test_a_class_table_is_written_to_be_filled_in(run, masks, tmp_path):
    table = tmp_path / "classes.csv"
    code, out, _ = run(masks, "-o", table)
    assert code == 0
    assert "2 classes to name" in out
    assert set(ClassTable.from_csv(table).colours) == {RED, BLUE}
    table.write_text("mine")
    code, _, err = run(masks, "-o", table)
    assert code == 2
    assert "in the way" in err
    assert table.read_text() == "mine"
    assert run(masks, "-o", table, "--overwrite")[0] == 0
    assert run(masks, "-o", masks / "0.png", "--overwrite")[0] == 2


def test_unreadable_masks_are_told(run, masks):
    (masks / "x.png").write_bytes(b"no picture")
    code, out, _ = run(masks)
    assert code == 1
    assert "error: x.png" in out


def test_colours_are_shown_on_terminals(run, masks, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[48;2;20;40;210m" in run(masks)[1]


def test_folders_without_masks_are_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty")[0] == 2
    assert run(tmp_path / "nowhere")[0] == 2
