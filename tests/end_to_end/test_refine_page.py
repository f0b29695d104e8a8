"""The code and the commands of docs/refine.md, run as they are written."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from pathlib import Path

from pixelwise import refine
from pixelwise.cli.predict import predict
from pixelwise.formats.masks import read_mask, read_png_text
from pixelwise.refine.plan import Refinement

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "refine.md").read_text("utf-8")


def test_the_code_runs(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/refine.md", "exec"), names)
    steps = [step.split(":")[0] for step in names["cleaned"].provenance.refined]
    assert steps == ["crf", "fill_holes", "min_area"]
    assert (read_mask("out/refined.png") == names["cleaned"].labels).all()


def test_the_commands_run(tmp_path, monkeypatch, command):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "pixelwise"
        assert command(*arguments)[0] == 0
    settings = [
        json.loads(read_png_text(f"out/{folder}/labels/roundabout.png")["pixelwise"])["settings"]
        for folder in ("guided", "crf")
    ]
    assert settings[0] == "refine guided:radius=8,smoothing=0.001, min-area 200"
    assert settings[1].startswith("refine crf:iterations=3,colour_weight=4,")
    assert settings[1].endswith(", fill-holes car")


def test_every_flag_is_told():
    table = PAGE.split("| flag |", 1)[1].split("\n\n", 1)[0]
    told = re.findall(r"^\| `--([a-z-]+)", table, re.MULTILINE)
    everything = Refinement("crf", {}, True, 1, ("a",), ("b",), 1)
    assert [f"--{flag}" for flag in told] == [*everything.to_flags()[::2]]
    assert {flag.replace("-", "_") for flag in told} <= set(inspect.signature(predict).parameters)


def test_every_step_is_told():
    table = PAGE.split("| step |", 1)[1].split("\n\n", 1)[0]
    assert sorted(re.findall(r"^\| `([a-z_]+)\(", table, re.MULTILINE)) == refine.__all__
