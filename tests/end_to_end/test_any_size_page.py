"""The commands and the code of docs/any_size.md, run as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "any_size.md").read_text("utf-8")
TILES, RASTERS = "Tiles, overlap and test-time augmentation", "Rasters"


def blocks(section, language):
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_commands(section, environment):
    """How many there were."""
    commands = [line for block in blocks(section, "bash") for line in block.splitlines()]
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "pixelwise"
        done = subprocess.run(
            [sys.executable, "-m", "pixelwise", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return len(commands)


@pytest.fixture
def place(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples" / "nuclei", tmp_path / "examples" / "nuclei")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_write_results(place, command_environment):
    assert run_commands(TILES, command_environment) == 2
    pictures = len(list((place / "examples/nuclei/images").iterdir()))
    for folder in ("tiles", "flips"):
        assert len(list((place / "out" / folder / "labels").iterdir())) == pictures


def test_code_runs(place):
    names = {}
    for code in blocks(TILES, "python"):
        exec(compile(code, "docs/any_size.md", "exec"), names)
    assert names["seg"].provenance.settings == "tile 128, overlap 0.25, hann, tta flips"
    assert names["stripe"].window.bottom == 900
    assert names["stripe"].confidence.dtype == "float32"


@pytest.fixture
def rasters(tmp_path, monkeypatch):
    """Small rasters of the names that the page uses."""
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    place = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.3, 0, 3e5, 0, -0.3, 2.8e6)}
    random = np.random.default_rng(0)
    for name, bands, dtype in (("scene.tif", 3, "uint8"), ("sentinel.tif", 4, "int16")):
        shape = {"count": bands, "height": 150, "width": 200, "dtype": dtype}
        with rasterio.open(name, "w", driver="GTiff", **shape, **place) as file:
            file.write(random.integers(0, 256, (bands, 150, 200)).astype(dtype))
            if bands == 4:
                file.descriptions = ("B2", "B3", "B4", "B8")
    return tmp_path


def test_commands_of_rasters(rasters, command_environment):
    assert run_commands(RASTERS, command_environment) == 2
    for file in (
        "scene/labels/scene.tif",
        "scene/confidence/scene.tif",
        "scene/overlays/scene.png",
    ):
        assert (rasters / "out" / file).is_file()
    assert (rasters / "out/sentinel/labels/sentinel.tif").is_file()


def test_code_of_rasters(rasters, capsys):
    for code in blocks(RASTERS, "python"):
        exec(compile(code, "docs/any_size.md", "exec"), {})
    assert capsys.readouterr().out
    assert (rasters / "out/python/labels/scene.tif").is_file()
