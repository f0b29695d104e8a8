from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from pixelwise.export.onnx import write_card
from pixelwise.inference.model_file import read_model
from pixelwise.inference.predictor import load

WEIGHTS = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]], np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_card, pointwise):
    """A model that is three times too sure, and pictures whose truth it knows."""
    place = tmp_path_factory.mktemp("calibrate")
    write_card(pointwise(0.05 * WEIGHTS, np.array([0, 0, 0, 10])), make_card(), place / "toy.onnx")
    model = load(place / "toy.onnx", engine="onnxruntime", threads=1)
    for part in ("images", "masks"):
        (place / "data" / part).mkdir(parents=True)
    for number in range(12):
        random = np.random.default_rng(number)
        image = random.integers(0, 256, (20, 24, 3), np.uint8)
        noisy = model.predict(image).logits() / 3
        truth = np.argmax(noisy + random.gumbel(size=noisy.shape), axis=0).astype(np.uint8)
        Image.fromarray(image).save(place / "data" / "images" / f"p{number:02}.png")
        Image.fromarray(truth).save(place / "data" / "masks" / f"p{number:02}.png")
    names = [f"class {number}" for number in range(4)]
    (place / "classes.txt").write_text("\n".join(names) + "\n")
    return place


@pytest.fixture
def work(made, tmp_path, monkeypatch):
    """A folder of them to write in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calibrate(command):
    def run(*arguments, model="toy.onnx"):
        return command("calibrate", model, "data", "--classes", "classes.txt", *arguments)

    return run


def test_a_new_file_is_written_and_the_old_one_stays(work, calibrate):
    before = (work / "toy.onnx").read_bytes()
    code, out, error = calibrate("-o", "new.onnx", "--coverage", "0.8")
    assert (code, error) == (0, "")
    assert (work / "toy.onnx").read_bytes() == before
    assert "data, all pictures, 12 pictures in 12 groups" in out
    assert "prediction sets for 80.0 %" in out
    assert "written: new.onnx" in out
    card = read_model(work / "new.onnx").card
    assert card.postprocessing.temperature == pytest.approx(3, rel=0.1)
    picture = work / "data" / "images" / "p00.png"
    old, new = (load(work / name).predict(picture) for name in ("toy.onnx", "new.onnx"))
    np.testing.assert_array_equal(new.labels, old.labels)
    assert new.confidence.mean() < old.confidence.mean() - 0.05
    truth = np.array(Image.open(work / "data" / "masks" / "p00.png"))
    right = np.mean(new.labels == truth)
    assert abs(new.confidence.mean() - right) < abs(old.confidence.mean() - right)
    sets = new.prediction_sets()
    assert np.take_along_axis(sets, truth[None].astype(int), 0).mean() > 0.7


def test_json_says_the_same_and_the_run_can_be_repeated(work, calibrate):
    code, out, _ = calibrate("-o", "new.onnx", "--kind", "per-class", "--json")
    assert code == 0
    document = json.loads(out)
    file = read_model(work / "new.onnx")
    assert document["sha256"] == file.sha256
    assert tuple(document["temperature"]) == file.card.postprocessing.temperature
    assert document["coverage"] is None
    assert document["after"]["NLL"]["value"] < document["before"]["NLL"]["value"]
    assert document["helps"] is True
    content = (work / "new.onnx").read_bytes()
    assert calibrate("-o", "new.onnx", "--kind", "per-class", "--overwrite")[0] == 0
    assert (work / "new.onnx").read_bytes() == content


def test_a_local_temperature_is_kept_in_the_card(work, calibrate):
    code, out, _ = calibrate("-o", "new.onnx", "--kind", "local", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["kind"] == "local"
    temperature = read_model(work / "new.onnx").card.postprocessing.temperature
    assert document["temperature"] == asdict(temperature)
    # The truth was drawn at a third of every score.
    assert temperature.at(np.array([1, 2.0, 4.0, 0.5])) == pytest.approx(3, rel=0.2)
    picture = work / "data" / "images" / "p00.png"
    old, new = (load(work / name).predict(picture) for name in ("toy.onnx", "new.onnx"))
    np.testing.assert_array_equal(new.labels, old.labels)
    assert new.confidence.mean() < old.confidence.mean() - 0.05
    # Any kind may follow, as the scores around are looked at again.
    code, out, _ = calibrate("-o", "third.onnx", "--kind", "global", model="new.onnx")
    assert code == 0
    code, out, _ = calibrate("-o", "fourth.onnx", "--kind", "auto")
    assert re.search(r"global temperature (2\.9|3\.)", out)
    assert re.search("(?s)kind +NLL after.*global.*per-class.*local", out)


def test_classes_go_together_as_in_evaluate(work, calibrate):
    names = ["class 0", "class 1", "grass", "class 3"]
    (work / "classes.txt").write_text("\n".join(names) + "\n")
    code, _, error = calibrate("-o", "new.onnx")
    assert code == 2
    assert "2 class 2" in error
    assert "grass" in error
    code, out, _ = calibrate("-o", "new.onnx", "--map", "class 2=grass")
    assert code == 0
    assert "class 2 counts as grass" in " ".join(out.split())
    (work / "map.yaml").write_text("others: nothing\nignored: grass\n")
    code, out, _ = calibrate("-o", "third.onnx", "--map", "map.yaml", "--json")
    assert code == 0
    assert "grass is ignored, class 2 counts as nothing" in json.loads(out)["protocol"].replace(
        ";", ","
    )
    code, _, error = calibrate(
        "-o",
        "one.onnx",
        *(f"--map=class {number}=grass" for number in range(4)),
        "--map=ignored=others",
    )
    assert code == 2
    assert "single class" in error
    assert not (work / "one.onnx").exists()


def test_what_is_calibrated_already_is_judged_as_it_is(work, calibrate):
    calibrate("-o", "new.onnx")
    code, out, _ = calibrate("-o", "third.onnx", "--json", model="new.onnx")
    assert code == 0
    document = json.loads(out)
    assert not document["helps"]
    temperatures = [
        read_model(work / name).card.postprocessing.temperature
        for name in ("new.onnx", "third.onnx")
    ]
    assert temperatures[0] == temperatures[1]
    code, out, _ = calibrate("-o", "fourth.onnx", model="new.onnx")
    assert "it stays as it was" in " ".join(out.split())


def test_nothing_is_replaced_unasked_and_the_model_never(work, calibrate):
    (work / "new.onnx").write_bytes(b"mine")
    code, _, error = calibrate("-o", "new.onnx")
    assert code == 2
    assert "a file is in the way" in error
    assert (work / "new.onnx").read_bytes() == b"mine"
    before = (work / "toy.onnx").read_bytes()
    code, _, error = calibrate("-o", "toy.onnx", "--overwrite")
    assert code == 2
    assert "replaced by its calibrated form" in error
    assert (work / "toy.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "new.png"), "kept in a .onnx file"),
        (("-o", "new.onnx", "--coverage", "0.99"), "needs 99 pictures"),
        (("-o", "new.onnx", "--coverage", "2"), "above 0 and below 1"),
        (("-o", "new.onnx", "--split", "val"), "no such split"),
        (("-o", "new.onnx", "--map", "grass"), "own name=name in the truth"),
        (("-o", "new.onnx", "--map", "class 1=grass"), "grass"),
    ],
)
def test_what_cannot_be_done_writes_nothing(work, calibrate, arguments, said):
    code, _, error = calibrate(*arguments)
    assert code == 2
    assert said in error
    assert "fix: " in error
    assert not (work / "new.onnx").exists()


def test_a_picture_that_cannot_be_read_is_told(work, calibrate):
    (work / "data" / "images" / "p03.png").write_bytes(b"no picture")
    code, out, _ = calibrate("-o", "new.onnx")
    assert code == 1
    assert "left out: images/p03" in out
    assert (work / "new.onnx").exists()


def test_torch_is_not_needed(run_python):
    done = run_python(
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "import pixelwise.cli.calibrate, pixelwise.evaluation.calibrate\n"
        "import pixelwise.evaluation.pixels, pixelwise.inference.predictor"
    )
    assert (done.returncode, done.stderr) == (0, "")
