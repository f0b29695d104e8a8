"""The commands of docs/evaluation.md run, in their order, and their files are there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text("utf-8")


def test_the_commands_run_in_their_order(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lines = [
        line
        for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)
        for line in block.splitlines()
    ]
    assert len(lines) == 6
    told = []
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "pixelwise"
        code, out, error = command(*arguments)
        assert code == 0, f"{line}\n{out}\n{error}"
        told.append(out)
    assert all(name in told[0] for name in ("outside", "inside", "border"))
    assert "HD95" in told[1]
    assert "B better" in told[2]
    assert "mean HD95" in (tmp_path / "out" / "scores.md").read_text()
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["figures"]["mean_iou"]["value"] > 0.6
    assert ",mean_iou,1.0," in (tmp_path / "out" / "same.csv").read_text()


def test_every_kind_of_rule_is_told():
    for rule in ("OWN=TRUE", "OWN=nothing", "ignored=TRUE", "others=nothing", "ignored=others"):
        assert f"`{rule}`" in PAGE
