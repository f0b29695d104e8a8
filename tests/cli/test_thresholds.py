from __future__ import annotations

import json

import numpy as np
import pytest

from pixelwise.inference.model_file import read_model
from pixelwise.inference.predictor import load


def test_thresholds_go_into_a_new_file_and_make_it_better(layered, command, monkeypatch):
    monkeypatch.chdir(layered)
    before = (layered / "sigmoid.onnx").read_bytes()
    code, out, error = command("calibrate", "sigmoid.onnx", "data", "-o", "new.onnx")
    assert (code, error) == (0, "")
    assert "data, all pictures, 12 pictures in 12 groups, all pixels, 3 classes" in out
    assert "higher with a probability of 100.0 %" in " ".join(out.split())
    assert out.rstrip().endswith("written: new.onnx")
    assert (layered / "sigmoid.onnx").read_bytes() == before
    card = read_model(layered / "new.onnx").card
    assert all(0.05 < value < 0.3 for value in card.postprocessing.thresholds)
    assert [score.metric for score in card.scores] == ["mean IoU at the thresholds"]
    image = np.random.default_rng(3).integers(0, 256, (16, 20, 3), np.uint8)
    old, new = (load(name).predict_multi_label(image) for name in ("sigmoid.onnx", "new.onnx"))
    np.testing.assert_array_equal(old.probabilities(), new.probabilities())
    assert new.masks().sum() > old.masks().sum()
    scores = []
    for name in ("sigmoid.onnx", "new.onnx"):
        code, out, _ = command("evaluate", name, "data", "--json")
        assert code == 0
        scores.append(json.loads(out))
    assert scores[1]["figures"]["mean_iou"]["low"] > scores[0]["figures"]["mean_iou"]["high"]
    assert [each["threshold"]["value"] for each in scores[1]["classes"]] == [
        card.postprocessing.thresholds[load("new.onnx").classes.index(name)]
        for name in ("bright", "dark", "red")
    ]
    key = "mean_average_precision"
    assert scores[0]["figures"][key] == scores[1]["figures"][key]


def test_json_says_the_same_and_thresholds_can_be_found_again(layered, command, monkeypatch):
    monkeypatch.chdir(layered)
    code, out, _ = command("calibrate", "sigmoid.onnx", "data", "-o", "new.onnx", "--json")
    assert code == 0
    document = json.loads(out)
    file = read_model(layered / "new.onnx")
    assert document["sha256"] == file.sha256
    assert tuple(document["thresholds"].values()) == file.card.postprocessing.thresholds
    assert list(document["thresholds"]) == ["red", "dark", "bright"]
    assert document["helps"] is True
    assert document["difference"]["low"] > 0
    first = document["classes"][0]
    assert first["name"] == "bright"
    assert first["iou_after"]["value"] > first["iou_before"]["value"]
    # What is tuned already is not made better.
    code, out, _ = command("calibrate", "new.onnx", "data", "-o", "third.onnx")
    assert code == 0
    assert "they stay as they were" in out
    third = read_model(layered / "third.onnx").card.postprocessing
    assert third.thresholds == file.card.postprocessing.thresholds


@pytest.mark.parametrize(
    "option", [("--kind", "per-class"), ("--kind", "global"), ("--coverage", "0.9")]
)
def test_options_of_a_softmax_are_refused(layered, command, option):
    code, _, error = command(
        "calibrate", layered / "sigmoid.onnx", layered / "data", "-o", layered / "n.onnx", *option
    )
    assert code == 2
    assert "thresholds, no temperature" in error
    assert " ".join(option) in error
    assert not (layered / "n.onnx").exists()


def test_pictures_that_cannot_be_read_are_told(layered, command, monkeypatch):
    monkeypatch.chdir(layered)
    (layered / "data" / "masks" / "red" / "p03.png").write_bytes(b"no picture")
    code, out, _ = command("calibrate", "sigmoid.onnx", "data", "-o", "new.onnx")
    assert code == 1
    assert "left out: images/p03" in out
    assert (layered / "new.onnx").exists()


def test_temperatures_are_not_found_by_a_truth_of_several_classes(layered, command, make_model):
    single = make_model("single.onnx")
    code, _, error = command("calibrate", single, layered / "data", "-o", layered / "new.onnx")
    assert code == 2
    assert "here classes lie over each other" in error
