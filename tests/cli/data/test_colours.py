from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import pixelwise.data
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
    assert lines[2][:6] == ["#1428d2", "20,40,210", "1,710", "95.000", "%", "3"]
    assert lines[3][:6] == ["#c81e28", "200,30,40", "90", "5.000", "%", "2"]
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


@pytest.fixture
def data(tmp_path):
    """Makes a data set of masks given by suffix of their files."""

    def make(masks, suffix=".png", classes=""):
        for kind in ("images", "masks"):
            (tmp_path / "set" / kind).mkdir(parents=True)
        for number, mask in enumerate(masks):
            noise = np.random.default_rng(number).integers(0, 256, (*mask.shape[:2], 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / "set" / "images" / f"{number}.png")
            Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"{number}{suffix}")
        if classes:
            (tmp_path / "set" / "classes.csv").write_text(classes)
        return tmp_path / "set"

    return make


def test_values_below_0_are_written_as_ignored_and_read_so(run, data, tmp_path):
    mask = np.zeros((20, 20), np.int32)
    mask[:5], mask[5:9] = -1, 1
    root = data([mask], ".tif")
    code, out, _ = run(root, "-o", tmp_path / "classes.csv")
    assert code == 0
    assert "2 classes to name, 1 ignored" in out
    assert "-1: no class can have an id below 0" in out
    table = ClassTable.from_csv(tmp_path / "classes.csv")
    assert (table.ids, table.ignore_index) == ((0, 1), 255)
    target = pixelwise.data.open(root, classes=tmp_path / "classes.csv")[0].mask
    np.testing.assert_array_equal(np.unique(target), [0, 1, 255])


def test_names_of_ignored_rows_stay(run, data, tmp_path):
    mask = np.repeat(np.uint8([[1], [2], [3]]), 12, axis=0).repeat(9, axis=1)
    table = "id,name,r,g,b,use\n1,pet,,,,class\n2,background,,,,class\n3,the border,,,,ignore\n"
    code, out, _ = run(data([mask, mask], classes=table), "-o", tmp_path / "new.csv")
    assert code == 0
    assert "the border (ignored)" in out
    assert "3,the border,,,,ignore" in (tmp_path / "new.csv").read_text()


def test_numbers_of_objects_are_one_class(run, data, tmp_path):
    masks = []
    for number in range(5):
        mask = np.zeros((40, 40), np.uint16)
        for place in range(4 + number):
            mask[4 * place : 4 * place + 2, 3:20] = place + 1
        masks.append(mask)
    code, out, _ = run(data(masks), "-o", tmp_path / "new.csv")
    assert code == 0
    assert "numbers of objects" in out
    assert "2 classes to name" in out
    assert ClassTable.from_csv(tmp_path / "new.csv").names == ("background", "object")


def test_no_class_is_written_for_each_of_very_many_values(run, tmp_path):
    (tmp_path / "bare").mkdir()
    for number in range(2):
        mask = np.arange(400, dtype=np.uint16).reshape(20, 20)
        Image.fromarray(mask).save(tmp_path / "bare" / f"{number}.png")
    code, out, _ = run(tmp_path / "bare", "-o", tmp_path / "new.csv")
    assert code == 0
    assert len(out.splitlines()) < 25
    assert "ids of objects" in out
    assert not (tmp_path / "new.csv").exists()


def test_jpeg_masks_are_told(run, masks):
    with Image.open(masks / "1.png") as mask:
        mask.save(masks / "j.jpg")
    assert "1 of them are JPEG files" in run(masks)[1]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_are_no_wider_than_the_terminal(run, masks, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    name = "0123456789abcdef" * 5 + ".png"
    (masks / "0.png").rename(masks / name)
    (masks / "2.png").unlink()
    out = run(masks)[1]
    assert max(map(len, out.splitlines())) <= width
    assert (name in out) == (width == 200)
    assert ("cdef.png" in out) == (width > 60)
