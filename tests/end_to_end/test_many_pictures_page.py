"""The commands and the code of docs/many_pictures.md, run as they are written."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "many_pictures.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_commands_and_code(tmp_path, monkeypatch, command_environment, capsys):
    monkeypatch.chdir(tmp_path)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:3]
    (tmp_path / "examples" / "photos").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo, tmp_path / "examples" / "photos")
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) == 1
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
        assert (done.returncode, done.stderr) == (0, "")
        assert "3 done: out/many/labels, out/many/summary" in done.stdout
    for code in blocks("python"):
        exec(compile(code, "docs/many_pictures.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    for photo, from_stream, from_table in zip(photos, lines[:3], sorted(lines[3:]), strict=True):
        assert photo.name in from_stream
        assert photo.stem in from_table


def test_the_cluster_file_is_whole():
    (text,) = blocks("yaml")
    cluster = yaml.safe_load(text)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert any("pixelwise[ray,cloud" in command for command in cluster["setup_commands"])
    assert all(
        "STATS_ENABLED=0" in cluster[key][1] for key in cluster if key.endswith("ray_commands")
    )


def test_the_schema_is_that_of_the_table():
    from pixelwise.inference.summary import Summary

    told = set(re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE, re.MULTILINE))
    columns = {name for names in told for name in re.findall(r"`([a-z_]+)`", names)}
    documented = set(re.findall(r"^ {4}([a-z_]+) {2,}\S", Summary.__doc__, re.MULTILINE))
    assert columns == documented - {"column"}
