from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Three pairs of two classes in images/ and masks/."""
    for number in range(3):
        random = np.random.default_rng(number)
        for kind, high in (("images", 256), ("masks", 2)):
            shape = (30, 40, 3) if kind == "images" else (30, 40)
            path = tmp_path / "set" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, high, shape, np.uint8)).save(path)
    return tmp_path / "set"


def test_a_sheet_is_written(folder, tmp_path, command):
    sheet = tmp_path / "sheet.png"
    code, out, error = command("data", "preview", folder, "--augment", "strong", "-o", sheet)
    assert (code, error) == (0, "")
    assert "3 samples, 4 draws of each" in out
    with Image.open(sheet) as picture:
        assert picture.size[0] >= 5 * 40
        assert picture.size[1] >= 3 * 30


def test_json_tells_what_is_on_it(folder, tmp_path, command):
    sheet = tmp_path / "sheet.png"
    options = ("--count", 2, "--draws", 1, "--size", "20x24", "--json")
    code, out, _ = command("data", "preview", folder, "-o", sheet, *options)
    document = json.loads(out)
    assert code == 0
    assert document["output"] == str(sheet)
    assert document["size"] == [20, 24]
    assert len(document["samples"]) == 2
    assert document["skipped"] == []


def test_broken_files_are_told_and_left_out(folder, tmp_path, command):
    (folder / "masks/1.png").write_bytes(b"no mask")
    sheet = tmp_path / "sheet.png"
    code, out, error = command("data", "preview", folder, "-o", sheet)
    assert code == 0
    assert "2 samples" in out
    assert "1.png" in error
    assert sheet.exists()


def test_no_file_is_replaced_unless_asked_for(folder, tmp_path, command):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    code, _, error = command("data", "preview", folder, "-o", sheet)
    assert code == 2
    assert "--overwrite" in error
    assert sheet.read_bytes() == b"mine"
    code, _, _ = command("data", "preview", folder, "-o", sheet, "--overwrite")
    assert code == 0
    assert sheet.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--augment", "strnog"), "did you mean strong"),
        (("--size", "large"), "--size 384x512"),
        (("--size", "0x5"), "outside its limits"),
        (("-o", "sheet.jpg"), "name it sheet.png"),
    ],
)
def test_what_cannot_be_is_refused(folder, tmp_path, command, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    code, _, error = command("data", "preview", folder, *options)
    assert code == 2
    assert told in error
    assert not list(tmp_path.glob("sheet*"))


def test_a_name_that_is_too_long_is_told(folder, tmp_path, command):
    code, _, error = command("data", "preview", folder, "-o", tmp_path / f"{'x' * 300}.png")
    assert code == 2
    assert "too long" in error
