"""The commands and the code of docs/any_size.md on tiles, run as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "any_size.md").read_text("utf-8")
SECTION = PAGE.split("\n## Tiles, overlap and test-time augmentation\n")[1].split("\n## ")[0]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples" / "nuclei", tmp_path / "examples" / "nuclei")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_write_results(place, command_environment):
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) == 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "pixelwise"
        done = subprocess.run(
            [sys.executable, "-m", "pixelwise", *arguments],
            env=command_environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    pictures = len(list((place / "examples/nuclei/images").iterdir()))
    for folder in ("tiles", "flips"):
        assert len(list((place / "out" / folder / "labels").iterdir())) == pictures


def test_code_runs(place):
    names = {}
    for code in blocks("python"):
        exec(compile(code, "docs/any_size.md", "exec"), names)
    assert names["seg"].provenance.settings == "tile 128, overlap 0.25, hann, tta flips"
    assert names["stripe"].window.bottom == 900
    assert names["stripe"].confidence.dtype == "float32"
