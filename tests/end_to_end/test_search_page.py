"""The commands and the code of docs/search.md, run as they are written."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

from pixelwise.searching import query

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_commands_and_code(tmp_path, monkeypatch, command, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples" / "photos").mkdir(parents=True)
    for name in ("roundabout", "highway_cars", "scooter"):
        shutil.copy(ROOT / "examples" / "photos" / f"{name}.jpg", "examples/photos")
    lines = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert [line[1] for line in lines] == ["predict", *["search"] * 3]
    assert {line[0] for line in lines} == {"pixelwise"}
    done = [command(*line[1:]) for line in lines]
    assert [(code, error) for code, _, error in done] == [(0, "")] * 4
    assert "examples/photos/roundabout.jpg" in done[1][1].splitlines()
    assert json.loads(done[2][1])["pictures"] == 3
    assert 1 <= len(done[3][1].splitlines()) <= 3
    names = {}
    for code in blocks("python"):
        exec(compile(code, "docs/search.md", "exec"), names)
    assert "examples/photos" in capsys.readouterr().out
    assert names["presence"].shares(1).shape[1:] == (2, 2)


def test_the_grammar_is_that_of_the_parser():
    (told,) = [block for block in blocks("text") if block.startswith("query")]
    assert told.strip() in re.sub(r"^ {4}", "", query.__doc__, flags=re.MULTILINE)
