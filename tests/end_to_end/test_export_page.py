"""The commands of docs/export.md, run as they are written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pixelwise.export.targets import TARGETS
from pixelwise.inference.model_file import read_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, command_environment):
    """Where the commands have run."""
    place = tmp_path_factory.mktemp("export_page")
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 3
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


def test_the_export_is_small_and_passed_its_gate(folder):
    original, file = read_model("cells"), read_model(folder / "out" / "cells-int8.onnx")
    assert len(file.content) < 0.6 * len(original.content) < 4e6
    assert file.card.verdict.original == original.sha256
    assert file.card.verdict.agreement > 0.98
    assert file.card.classes == original.card.classes


def test_the_page_tells_every_target_and_its_limits():
    for name, target in TARGETS.items():
        assert f"| `{name}` |" in PAGE
        limits = target.limits
        assert f"≥ {100 * limits.agreement:g} %" in PAGE
        assert f"≥ {100 * limits.worst:g} %" in PAGE
        assert f"≤ {100 * limits.score_error:g} %" in PAGE
        assert f"≤ {limits.drop:g} points" in PAGE
