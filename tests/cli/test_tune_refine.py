from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pixelwise.export.onnx import write_card
from pixelwise.inference.predictor import load
from pixelwise.refine.plan import Refinement

WEIGHTS = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]], np.float32)
RIGHT = Refinement(min_area=16)


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_card, pointwise):
    """A model that sees specks everywhere, and pictures whose truth has none."""
    place = tmp_path_factory.mktemp("tune_refine")
    write_card(pointwise(0.05 * WEIGHTS, np.array([0, 0, 0, 2])), make_card(), place / "toy.onnx")
    model = load(place / "toy.onnx", engine="onnxruntime", threads=1)
    for number in range(5):
        random = np.random.default_rng(number)
        clean = np.full((18, 24, 3), 80.0)
        clean[:, :12, 0] += 70
        clean[:, 12:, 1] += 70
        image = np.clip(clean + random.normal(0, 28, clean.shape), 0, 255).astype(np.uint8)
        truth = RIGHT.apply(model.predict(image)).labels
        for part, pixels in (("images", image), ("masks", truth)):
            (place / "data" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / "data" / part / f"p{number}-{number**2}.png")
    names = [f"class {number}" for number in range(4)]
    (place / "classes.txt").write_text("\n".join(names) + "\n")
    return place


@pytest.fixture
def work(made, tmp_path, monkeypatch):
    """A folder of them to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tune(command):
    def run(*arguments, model="toy.onnx", data="data"):
        return command("tune-refine", model, data, "--classes", "classes.txt", *arguments)

    return run


def test_what_helps_is_recommended_as_flags(work, tune):
    code, out, error = tune("--by", "image")
    assert (code, error) == (0, "")
    assert out.endswith("recommended: --min-area 16\n")
    assert "refinement helps: mIoU rises" in out
    assert "on 5 pictures, each refined with what was chosen by others" in out
    assert "100.00 %" in out
    assert "groups: every picture by itself" in out
    assert not [*work.glob("out*")]


def test_json_says_that_nothing_helps(work, tune):
    model = load("toy.onnx", engine="onnxruntime", threads=1)
    for path in (work / "data" / "images").iterdir():
        Image.fromarray(model.predict(path).labels).save(work / "data" / "masks" / path.name)
    code, out, error = tune("--json")
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["recommended"] is None
    assert document["reason"].startswith("nothing that was tried")
    assert document["chosen"] == ""
    assert document["chosen_by_others"] == [""] * 5
    assert document["figures"]["mean_iou"]["a"] == document["figures"]["mean_iou"]["b"] == 1
    assert document["steps"]["crf"]["gain"] < 0
    assert document["protocol"]["split"] == "all pictures"
    assert document["faults"] == []
    code, out, _ = tune("--budget", "0.01s")
    assert code == 0
    assert "nothing is recommended: time was over before anything" in " ".join(out.split())


def test_a_test_split_is_taken_only_when_named(work, tune):
    for split in ("train", "test"):
        for part in ("images", "masks"):
            shutil.copytree(work / "data" / part, work / "set" / split / part)
    code, _, error = tune(data="set")
    assert code == 2
    assert "no such split" in error
    code, out, _ = tune("--split", "test", "--budget", "0.01s", data="set")
    assert code == 0
    assert "split: test: 5 pictures" in out


def test_the_pictures_that_a_run_kept_back_are_taken(work, tune):
    run = work / "run"
    run.mkdir()
    shutil.move(work / "toy.onnx", run / "model.onnx")
    images = sorted(f"images/{path.name}" for path in (work / "data" / "images").iterdir())
    sets = [{"name": "data", "train": images[:1], "validation": images[1:]}]
    (run / "splits.json").write_text(json.dumps({"sets": sets}))
    code, out, _ = tune("--budget", "0.01s", model="run")
    assert code == 0
    assert "split: kept back by run: 4 pictures" in out


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("--budget", "soon"), {}, "this is no time"),
        (("--split", "val"), {}, "no such split"),
        (("--map", "grass"), {}, "own name=name in the truth"),
        ((), {"model": "data/masks"}, "a model is needed"),
        ((), {"model": "sigmoid.onnx"}, "lie over each other"),
        ((), {"model": "none.onnx"}, "none.onnx"),
    ],
)
def test_what_cannot_be_done_is_told(work, tune, make_card, pointwise, arguments, options, said):
    card = make_card()
    layers = card.postprocessing.model_copy(update={"activation": "sigmoid"})
    card = card.model_copy(update={"postprocessing": layers})
    write_card(pointwise(), card, work / "sigmoid.onnx")
    code, out, error = tune(*arguments, **options)
    assert (code, out) == (2, "")
    assert said in error
    assert "fix: " in error


def test_pictures_that_cannot_be_read(work, tune):
    paths = sorted((work / "data" / "images").iterdir())
    paths[2].write_bytes(b"no picture")
    code, out, _ = tune("--budget", "0.01s")
    assert code == 1
    assert f"left out: images/{paths[2].stem}" in out
    paths[3].write_bytes(b"no picture")
    code, _, error = tune("--budget", "0.01s")
    assert code == 2
    assert "too many pictures cannot be read" in error
    for path in paths[2:4]:
        path.unlink()
        (work / "data" / "masks" / path.name).unlink()
    code, _, error = tune("--budget", "0.01s")
    assert code == 2
    assert "4 pictures are needed at least" in error
