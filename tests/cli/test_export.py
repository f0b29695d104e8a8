from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pixelwise.export import targets
from pixelwise.export.onnx import write_card
from pixelwise.inference.model_file import read_model
from pixelwise.inference.predictor import load


@pytest.fixture
def work(tmp_path, monkeypatch, convolutions, convolutions_card):
    """A model, and a data set whose truth it tells with some errors."""
    write_card(convolutions(), convolutions_card, tmp_path / "toy.onnx")
    model = load(tmp_path / "toy.onnx", engine="onnxruntime", threads=1)
    for number in range(8):
        random = np.random.default_rng(number)
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        image = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
        truth = np.array(model.predict(image).labels)
        truth[:6] = number % 4
        for part, pixels in (("images", image), ("masks", truth.astype(np.uint8))):
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "data" / part / f"p{number}.png")
    names = [f"class {number}" for number in range(4)]
    (tmp_path / "classes.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "others.txt").write_text("sky\nroad\ntree\ncar\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def export(command):
    def run(*arguments, model="toy.onnx"):
        return command("export", model, *arguments, "--threads", "1")

    return run


DATA = ("--data", "data", "--classes", "classes.txt")


def test_an_int8_export_of_a_data_set_tells_what_it_lost(work, export):
    code, out, error = export("--to", "onnx-int8", *DATA, "--accept-drop", "20", "--json")
    assert (code, error) == (0, "")
    told = json.loads(out)
    assert told["model"] == "toy.onnx-int8.onnx"
    verdict = told["verdict"]
    assert verdict["target"] == "onnx-int8"
    assert 0.5 < verdict["drop"]["before"] < 1
    assert verdict["drop"]["low"] <= verdict["drop"]["after"] - verdict["drop"]["before"]
    assert "4 pictures" in verdict["drop"]["protocol"]
    assert verdict["calibration"] == "data, 4 pictures"
    assert len(told["pictures"]) == 8
    assert read_model(told["model"]).card.verdict.model_dump(mode="json") == verdict


def test_the_text_tells_pictures_and_sizes_of_files(work, export):
    code, out, error = export("--to", "onnx-int8", "--pictures", "data/images", "-o", "new.onnx")
    assert (code, error) == (0, "")
    assert "calibrated on: images, 4 pictures" in out
    assert "labels that agree" in out
    assert "written: new.onnx" in out


def test_a_refused_export_ends_with_1_and_writes_nothing(work, export, monkeypatch):
    strict = targets.Limits(agreement=1.0, worst=1.0, score_error=1e-9, drop=0)
    target = targets.Target("onnx-int8", "int8", "onnxruntime", strict)
    monkeypatch.setitem(targets.TARGETS, "onnx-int8", target)
    code, out, error = export("--to", "onnx-int8", "--pictures", "data/images", "--json")
    assert code == 1
    assert "does not answer as its original" in error
    assert "worst picture: p" in error
    assert "worst layers: " in error
    assert json.loads(out)["written"] is False
    assert not list(work.glob("toy.*.onnx"))


def test_a_picture_that_cannot_be_judged_is_told_and_left_out(work, export):
    (work / "data" / "masks" / "p1.png").write_bytes(b"no picture")
    code, out, error = export("--to", "onnx", *DATA, "--json")
    assert code == 0
    assert "p1" in error
    assert "7 pictures" in json.loads(out)["verdict"]["drop"]["protocol"]


def test_all_pictures_that_cannot_be_read_are_told_before_the_work(work, export):
    names = sorted(path.name for path in (work / "data" / "images").iterdir())[:2]
    for name in names:
        (work / "data" / "images" / name).write_bytes(b"no picture")
    code, out, error = export("--to", "onnx-int8", "--pictures", "data/images")
    assert (code, out) == (2, "")
    assert "2 of the 8 pictures that were drawn cannot be read" in error
    assert all(name in error for name in names)


def test_a_run_folder_is_a_model(work, export):
    (work / "run").mkdir()
    (work / "toy.onnx").rename(work / "run" / "model.onnx")
    code, _, error = export("--to", "onnx", "--pictures", "data/images", model="run")
    assert (code, error) == (0, "")
    assert (work / "run.onnx.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "tflite"), "cannot be exported to this"),
        (("--to", "onnx"), "no free ones ship"),
        (("--to", "onnx", *DATA, "--pictures", "data/images"), "named twice"),
        (("--to", "onnx", "--pictures", "data/images", "--accept-drop", "1"), "on a data set"),
        (("--to", "onnx", "--pictures", "nowhere"), "no pictures"),
        (("--to", "onnx", "--data", "nowhere"), "nowhere"),
        (("--to", "onnx", "--pictures", "data/images", "-o", "toy.onnx"), "in the way"),
        (
            ("--to", "onnx", "--pictures", "data/images", "-o", "toy.onnx", "--overwrite"),
            "would be replaced by its export",
        ),
        (("--to", "onnx", "--pictures", "data/images", "-o", "toy.xml"), "kept in a .onnx file"),
        (("--to", "onnx", "--data", "data", "--classes", "others.txt"), "do not match"),
    ],
)
def test_what_cannot_be_done_ends_with_2(work, export, arguments, told):
    before = (work / "toy.onnx").read_bytes()
    code, out, error = export(*arguments)
    assert (code, out) == (2, "")
    assert told in error
    assert "fix: " in error
    assert [path.name for path in work.glob("*.onnx")] == ["toy.onnx"]
    assert (work / "toy.onnx").read_bytes() == before


def test_an_int8_model_is_not_quantised_again(work, export):
    assert export("--to", "onnx-int8", "--pictures", "data/images", "-o", "new.onnx")[0] == 0
    code, _, error = export(
        "--to", "onnx-int8", "--pictures", "data/images", "-o", "again.onnx", model="new.onnx"
    )
    assert code == 2
    assert "quantised already" in error


def test_without_onnx_the_extra_is_named(work):
    arguments = ["pixelwise", "export", "toy.onnx", "--to", "onnx", "--pictures", "data/images"]
    code = (
        f"import sys; sys.modules['onnx'] = None; sys.argv = {arguments}\n"
        "from pixelwise.cli import main\nsys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=work,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert 'pip install "pixelwise[train]"' in done.stderr
