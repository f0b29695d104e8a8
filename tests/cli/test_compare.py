from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folders(tmp_path, monkeypatch, make_photos):
    """A data set of four pictures, and two folders of label maps, the second the better one."""
    monkeypatch.chdir(tmp_path)
    names = [f"{number}.png" for number in range(4)]
    make_photos(tmp_path / "set" / "images", *names, size=(10, 12))
    random = np.random.default_rng(2)
    for name in names:
        true = random.integers(0, 2, (10, 12)).astype(np.uint8)
        maps = {"set/masks": true}
        for folder, share in (("a", 0.4), ("b", 0.1)):
            maps[folder] = np.where(random.random(true.shape) < share, 1 - true, true)
        for folder, ids in maps.items():
            (tmp_path / folder).mkdir(exist_ok=True, parents=True)
            Image.fromarray(ids).save(tmp_path / folder / name)
    (tmp_path / "set" / "classes.csv").write_text("id,name\n0,sky\n1,sea\n")
    return tmp_path


def test_which_is_better_is_told(folders, command):
    code, out, error = command("compare", "a", "b", "set")
    assert (code, error) == (0, "")
    rows = {line.split("  ")[1]: line for line in out.splitlines() if line.startswith("  ")}
    assert rows["mIoU"].split()[-2:] == ["100.0", "%"]
    assert "+" in rows["mIoU"]
    assert "A: predictions: label maps in a" in out
    assert "B: predictions: label maps in b" in out
    assert "picture list: SHA-256" in out


def test_distances_have_the_unit_of_the_pixels(folders, command):
    code, out, _ = command("compare", "a", "b", "set", "--distances", "--spacing", "0.5,0.25mm")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("  mean HD95"))
    assert row.split()[3] == row.split()[5] == "mm"


def test_json(folders, command):
    code, out, _ = command("compare", "a", "b", "set", "--json", "-o", "both.json")
    told = json.loads(out)
    assert code == 0
    assert json.loads((folders / "both.json").read_text()) == told
    assert told["figures"]["mean_iou"]["better"] == 1
    assert told["pictures"] == 4
    assert command("compare", "a", "b", "set", "-o", "both.json")[0] == 2


def test_a_picture_that_one_lacks_is_told(folders, command):
    Image.new("L", (3, 3)).save(folders / "b" / "2.png")
    code, out, error = command("compare", "a", "b", "set", "--json")
    assert code == 1
    assert "differ in size" in error
    assert json.loads(out)["pictures"] == 3


def test_what_cannot_start(folders, command):
    (folders / "a" / "0.png").unlink()
    code, out, error = command("compare", "a", "b", "set")
    assert (code, out) == (2, "")
    assert "truth without prediction (1)" in error
