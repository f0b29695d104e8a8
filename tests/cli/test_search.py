from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelwise.cli.search import _line
from pixelwise.formats.masks import read_mask


@pytest.fixture
def results(tmp_path, monkeypatch, command, make_model, make_table, make_photos):
    """A folder of results of four photos, with a model of the classes 0, 3, 7 and 200."""
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", "a b.png", "c.png", "f/d.png", "f/g/e.jpg")
    model = make_model(table=make_table(0, 3, 7, 200))
    made = command("predict", "photos", "--model", model, "--engine", "onnxruntime")
    assert made[0] == 0
    return tmp_path / "out"


def shares_by_hand(folder, id_):
    """Share of an id in the left half of each label map, by its photo."""
    found = {}
    for path in (folder / "labels").rglob("*.png"):
        labels = read_mask(path)
        name = path.relative_to(folder / "labels").with_suffix("").as_posix()
        found[name] = (labels[:, : labels.shape[1] // 2] == id_).mean()
    return found


def test_paths_alone_go_into_a_pipe(results, command):
    shares = shares_by_hand(results, 7)
    code, out, error = command("search", "out", "'class 7' > 0 in left")
    assert (code, error) == (0, "")
    names = [line.removeprefix("photos/").rsplit(".", 1)[0] for line in out.splitlines()]
    assert sorted(names) == sorted(name for name, share in shares.items() if share > 0)
    assert [shares[name] for name in names] == sorted(map(shares.get, names), reverse=True)
    assert all(Path(line).is_file() for line in out.splitlines())
    labels = command("search", "out", "'class 7' > 0 in left", "--labels")[1].splitlines()
    assert labels == [f"out/labels/{name}.png" for name in names]
    assert command("search", "out", "'class 7' in left", "--limit", 1)[1].splitlines() == [
        out.splitlines()[0]
    ]


def test_everything_as_json(results, command):
    shares = shares_by_hand(results, 3)
    (results / "labels" / "else.png").write_bytes(b"")
    code, out, error = command("search", "out", "'class 3' >= 0 in left half", "--json")
    assert (code, error) == (0, "")
    document = json.loads(out)
    found = {entry["source"]: entry for entry in document.pop("found")}
    assert document == {
        "matches": 4,
        "pictures": 4,
        "classes": ["class 0", "class 200", "class 3", "class 7"],
        "skipped": {"not a label map of pixelwise": 1},
        "notes": [],
    }
    assert found["photos/a b.png"] == {
        "source": "photos/a b.png",
        "labels": "out/labels/a b.png",
        "size": [12, 16],
        "shares": {"class 3 in left": shares["a b"]},
    }


def test_a_table_on_a_terminal(results, command_environment):
    pty = pytest.importorskip("pty")
    (results / "labels" / "else.png").write_bytes(b"")
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "pixelwise", "search", "out", "'class 0' >= 0", "--limit", "3"],
        env=command_environment,
        stdout=slave,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(slave)
    lines = os.read(master, 10_000).decode().splitlines()
    os.close(master)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[0].split() == ["picture", "class", "0"]
    assert len(lines[1:4]) == 3
    assert all(line.endswith(" %") and "photos/" in line for line in lines[1:4])
    assert lines[4:] == [
        "4 of 4 pictures, 3 shown",
        "passed over: 1 × not a label map of pixelwise",
    ]


def test_nothing_found_is_no_failure_and_says_what_was_passed_over(results, command):
    (results / "labels" / "else.png").write_bytes(b"")
    code, out, error = command("search", "out", "'class 0' > 50% and 'class 0' < 50%")
    assert (code, out) == (0, "")
    assert error == "passed over: 1 × not a label map of pixelwise\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out", "class 0 > 5%"), "error: a name with spaces, or a condition after another"),
        (("out", "'class 1' > 5%"), "error: no picture in the folder could show this class"),
        (("absent", "car"), "error: the folder of results cannot be listed"),
        (("photos", "car"), "error: the folder holds no results to search in"),
    ],
)
def test_what_cannot_start(results, command, arguments, message):
    code, out, error = command("search", *arguments)
    assert (code, out) == (2, "")
    assert error.startswith(message)
    assert "Traceback" not in error


def test_rasters_by_what_they_say_of_themselves(tmp_path, monkeypatch, command, make_model):
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).integers(1, 200, (3, 530, 1100)).astype(np.uint8)
    values[:, :300, :500] = 0
    shape = {"count": 3, "height": 530, "width": 1100, "dtype": "uint8", "nodata": 0}
    place = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6)}
    with rasterio.open(tmp_path / "scene.tif", "w", driver="GTiff", **shape, **place) as file:
        file.write(values)
    model = make_model(multiple=8)
    made = command("predict", "scene.tif", "--model", model, "--engine", "onnxruntime")
    assert made[0] == 0
    with rasterio.open("out/labels/scene.tif") as file:
        labels, nodata = file.read(1), file.nodata
    assert (labels == nodata).sum() == 300 * 500
    query = "'class 1' >= 0 and 'class 1' >= 0 in top left"
    (found,) = json.loads(command("search", "out", query, "--json")[1])["found"]
    part = labels[:265, :550]
    assert found["shares"] == {
        "class 1": (labels == 1).sum() / (labels != nodata).sum(),
        "class 1 in top left": (part == 1).sum() / (part != nodata).sum(),
    }
    assert (found["source"], found["size"]) == ("scene.tif", [530, 1100])


def test_names_that_are_no_text_go_into_a_pipe_as_bytes():
    assert _line("ä\udcff.jpg") == "ä".encode() + b"\xff.jpg\n"
    assert _line("b\ud800.jpg") == b"b\\ud800.jpg\n"
