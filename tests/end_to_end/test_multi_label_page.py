"""The commands and the code of docs/multi_label.md, run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.inference.card import Postprocessing

PAGE = (Path(__file__).parents[2] / "docs" / "multi_label.md").read_text("utf-8")
TABLE = ClassTable(
    "bags",
    tuple(
        ClassInfo(n, name, colour)
        for n, (name, colour) in enumerate(
            {"person": (220, 20, 60), "bag": (0, 120, 200), "leather": (120, 70, 20)}.items()
        )
    ),
    None,
    "made for a test",
)


@pytest.fixture
def work(tmp_path, monkeypatch, make_photos, make_model, pointwise, make_card):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, "photo.jpg", size=(60, 140))
    make_photos(tmp_path / "photos", "a.png", "b.png")
    make_photos(tmp_path / "set" / "images", "a.png", "b.png")
    network = pointwise(np.eye(3, dtype=np.float32) / 16, np.full(3, -8, np.float32))
    card = Postprocessing(alignment="half_pixel", activation="sigmoid")
    make_model("bags.onnx", network=network, card=make_card(TABLE, postprocessing=card))
    return tmp_path


def test_the_code_runs(work):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.split("## Predicting")[0], re.S)
    exec(compile(code, "docs/multi_label.md", "exec"), {})
    assert (work / "results" / "masks" / "leather" / "photo.png").exists()


def test_the_commands_run_and_masks_are_a_data_set(work, command):
    commands = re.findall(r"pixelwise (predict [^`\n]+)", PAGE.split("## Predicting")[1])
    assert len(commands) == 2
    for line in commands:
        assert command(*line.split())[0] == 0
    dataset = pw.data.open("set")
    assert dataset.layout == "layers"
    assert len(dataset) == 2
    model = pw.load("bags.onnx")
    first = model.predict_multi_label("set/images/a.png")
    order = [dataset.classes.index(name) for name in TABLE.names]
    np.testing.assert_array_equal(dataset[0].target.layers[order], first.masks())
