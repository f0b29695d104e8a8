"""Commands that judge, where classes lie over each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pixelwise.export.onnx import write_card
from pixelwise.inference.card import Postprocessing
from pixelwise.inference.model_file import read_model


@pytest.fixture
def work(layered, monkeypatch):
    monkeypatch.chdir(layered)
    return layered


def test_scores_of_each_class_are_shown_and_written(work, command):
    code, out, error = command("evaluate", "sigmoid.onnx", "data", "-o", "scores.csv")
    assert (code, error) == (0, "")
    for text in ("mIoU", "mAP of pixels", "mAP of tags", "threshold", "AP of tags: is a class in"):
        assert text in out
    assert "1,472 bins" in " ".join(out.split())
    lines = (work / "scores.csv").read_text().splitlines()
    assert "bright,threshold,0.5,,," in lines
    assert any(line.startswith("red,average_precision,0.") for line in lines)
    code, out, _ = command("evaluate", "sigmoid.onnx", "data", "--json")
    document = json.loads(out)
    assert "confusion" not in document
    assert document["protocol"]["ignored"] == "nothing: every pixel counts"
    assert len(document["pictures"]) == 12


def test_two_models_are_compared_on_the_same_pictures(work, command):
    file = read_model("sigmoid.onnx")
    lower = Postprocessing(
        alignment="half_pixel", activation="sigmoid", thresholds=(0.15, 0.15, 0.15)
    )
    card = file.card.model_copy(update={"postprocessing": lower})
    write_card(file.content, card, work / "lower.onnx")
    code, out, _ = command("compare", "sigmoid.onnx", "lower.onnx", "data", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["figures"]["mean_iou"]["low"] > 0
    assert document["figures"]["mean_average_precision"]["difference"] == 0
    assert "threshold" not in document["classes"][0]
    code, out, _ = command("compare", "sigmoid.onnx", "data/masks", "data")
    assert code == 0
    assert "AP of pixels" not in out.split("A: predictions")[0]


def test_a_model_of_layers_is_judged_by_masks_of_one_class(work, command):
    (work / "single" / "masks").mkdir(parents=True)
    (work / "single" / "images").mkdir()
    for number in range(3):
        random = np.random.default_rng(number)
        image = random.integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(image).save(work / "single" / "images" / f"p{number}.png")
        ids = random.integers(0, 3, (12, 16), np.uint8)
        ids[:2] = 255
        Image.fromarray(ids).save(work / "single" / "masks" / f"p{number}.png")
    rows = ["id,name,use", "0,red,class", "1,dark,class", "2,bright,class", "255,void,ignore"]
    (work / "classes.csv").write_text("\n".join(rows) + "\n")
    code, out, error = command(
        "evaluate", "sigmoid.onnx", "single", "--classes", "classes.csv", "--json"
    )
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert "16.7 %" in document["protocol"]["ignored"]
    assert "in every class" in document["protocol"]["ignored"]


def test_what_is_not_there_for_layers_is_refused(work, command):
    code, _, error = command("report", "sigmoid.onnx", "data", "-o", "page")
    assert code == 2
    assert "pixelwise evaluate" in error
    assert not (work / "page").exists()
    code, _, error = command("evaluate", "sigmoid.onnx", "data", "--distances")
    assert code == 2
    assert "--distances" in error


def test_without_a_prediction_of_each_picture_nothing_is_judged(work, command):
    for path in (work / "data" / "masks").glob("*/p05.png"):
        (work / "few" / path.parent.name).mkdir(parents=True)
        path.rename(work / "few" / path.parent.name / path.name)
    code, _, error = command("evaluate", "few", "data")
    assert code == 2
    assert "truth without prediction (11)" in error


def test_two_folders_of_masks_are_compared_as_layers(work, command):
    masks = work / "data" / "masks"
    code, out, error = command(
        "evaluate", "--predictions", masks, "--truth", masks, "--layout", "layers", "--json"
    )
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["figures"]["mean_iou"]["value"] == 1
    assert [each["name"] for each in document["classes"]] == ["bright", "dark", "red"]
    assert document["protocol"]["data"] == "masks (masks of classes)"
    # Without the word they would be label maps, of which 255 is mostly what is ignored.
    code, _, error = command("evaluate", "--predictions", masks, "--truth", masks)
    assert code == 2
    assert "--layout layers" in error
    images = work / "data" / "images"
    code, _, error = command(
        "evaluate", "--predictions", masks, "--truth", images, "--layout", "layers"
    )
    assert code == 2
    assert "masks/CLASS/PICTURE.png" in error
    (work / "classes.txt").write_text("one\ntwo\n")
    options = ("--layout", "layers", "--classes", "classes.txt")
    code, _, error = command("evaluate", "--predictions", masks, "--truth", masks, *options)
    assert code == 2
    assert "expected folders named one, two" in error
