"""The commands and the code of docs/calibration.md, run as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pixelwise.inference.model_file import read_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "calibration.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, command_environment):
    """Where the commands have run."""
    place = tmp_path_factory.mktemp("calibration_page")
    shutil.copytree(ROOT / "examples" / "nuclei", place / "examples" / "nuclei")
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) >= 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "pixelwise"
        done = subprocess.run(
            [sys.executable, "-m", "pixelwise", *arguments],
            cwd=place,
            env=command_environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return place


def test_commands_write_what_they_say(folder):
    card = read_model(folder / "out" / "cells.onnx").card
    assert card.postprocessing.temperature != 1
    assert card.postprocessing.conformal.coverage == 0.8


def test_code_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    for code in blocks("python"):
        exec(compile(code, "docs/calibration.md", "exec"), names)
    assert names["sets"].any(0).all()
    assert 0 < names["expected_mean_iou"](names["seg"]) < 1
    # The truth was drawn by the probabilities.
    assert names["scores"].ece < 0.03
    assert 0.75 < names["binary"].auc < 0.92
