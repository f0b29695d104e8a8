from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """A data set of bright squares of several sizes."""
    monkeypatch.chdir(tmp_path)
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 : 15 + number, 10:30] = 1
        noise = np.random.default_rng(number).integers(0, 20, (40, 50), np.uint8)
        Image.fromarray(mask * np.uint8(150) + noise).save(f"set/images/{number}.png")
        Image.fromarray(mask).save(f"set/masks/{number}.png")
    return tmp_path / "set"


def test_all_methods_of_one_picture_are_scored(squares, command):
    code, out, error = command("classical", "set", "--benchmark")
    assert (code, error) == (0, "")
    table, protocol = out.split("\n\n")
    names = [line.split()[0] for line in table.splitlines()[1:]]
    assert set(names[:-3]) == {
        "otsu", "multi-otsu", "adaptive", "kmeans", "gmm", "slic", "watershed", "felzenszwalb",
        "chan-vese", "edges",
    }  # fmt: skip
    assert set(names[-3:]) == {"snake", "grabcut", "random-walker"}
    assert table.count("(seeds from the truth)") == 3
    for told in ("Hungarian", "one confusion matrix", "all pictures: 6 pictures", "jackknife"):
        assert told in protocol
    assert "seeds from the truth: snake, grabcut, random-walker: not automatic" in protocol
    assert "not scored: motion: needs a sequence" in protocol


def test_chosen_methods_as_json(squares, command):
    arguments = ["--method", "grabcut", "--method", "otsu", "--sample", 4, "--seed", 3]
    code, out, _ = command("classical", "set", "--benchmark", *arguments, "--json")
    assert code == 0
    document = json.loads(out)
    assert [entry["method"] for entry in document["methods"]] == ["otsu", "grabcut"]
    assert [entry["seeds"] for entry in document["methods"]] == [None, "from the truth"]
    best = document["methods"][0]
    assert best["one_assignment"]["mean_iou"]["value"] == 1
    assert list(best["regions"].values()) == ["background", "foreground"]
    assert "4 of 6 drawn by seed 3" in document["protocol"]["split"]
    again = json.loads(command("classical", "set", "--benchmark", *arguments, "--json")[1])
    assert again["protocol"] == document["protocol"]


def test_the_result_goes_to_a_file_too_and_overwrites_nothing(squares, command):
    arguments = ["classical", "set", "--benchmark", "--method", "otsu"]
    assert command(*arguments, "-o", "scores.md")[0] == 0
    text = Path("scores.md").read_text()
    assert text.startswith("| method | mIoU % |")
    assert "- assignment: regions have no names" in text
    code, _, error = command(*arguments, "-o", "scores.md")
    assert code == 2
    assert "in the way" in error
    assert command(*arguments, "-o", "scores.json", "--overwrite")[0] == 0
    assert json.loads(Path("scores.json").read_text())["methods"][0]["method"] == "otsu"
    code, _, error = command(*arguments, "-o", "scores.xlsx")
    assert code == 2
    assert ".json or .md" in error


def test_beside_a_model_of_borders(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    nuclei = ROOT / "examples" / "nuclei"
    arguments = ["--method", "otsu", "--method", "edges", "--model", "cells", "--json"]
    code, out, error = command("classical", nuclei, "--benchmark", *arguments)
    assert (code, error) == (0, "")
    document = json.loads(out)
    model = document["model"]["mean_iou"]["value"]
    assert model > 0.8
    assert "inside counts as object; border counts as object" in document["protocol"]["map"]
    for entry in document["methods"]:
        made = entry["model_minus_method"]
        own = entry["one_assignment"]["mean_iou"]["value"]
        assert made["difference"] == pytest.approx(model - own)
        assert made["low"] < made["difference"] < made["high"]
        assert made["better"] in {"model", "open"}


def test_what_cannot_start(squares, command):
    code, _, error = command("classical", "set", "--benchmark", "--method", "motion")
    assert code == 2
    assert "needs a sequence" in error
    code, _, error = command("classical", "nowhere", "--benchmark")
    assert code == 2
    assert "nowhere" in error


def test_pictures_that_cannot_be_read_are_told(squares, command):
    (squares / "images" / "2.png").write_bytes(b"no picture")
    code, out, error = command("classical", "set", "--benchmark", "--method", "otsu")
    assert code == 1
    assert "5 pictures, 1 picture left out" in " ".join(out.split())
    assert "2" in error


def test_a_truth_of_several_classes_a_pixel_is_refused_before_work(tmp_path, command):
    (tmp_path / "set/images").mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (12, 10)).save(tmp_path / f"set/images/{name}.png")
        for layer in ("bag", "person"):
            folder = tmp_path / "set/masks" / layer
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(10, 12, dtype=np.uint8) * 255).save(folder / f"{name}.png")
    code, _, error = command("classical", str(tmp_path / "set"), "--benchmark")
    assert code == 2
    assert "judged by one class a pixel" in " ".join(error.split())
    assert "fix:" in error
