"""The command of docs/refine.md that searches settings, run as it is written."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "refine.md").read_text("utf-8")


def test_the_command_runs(tmp_path, monkeypatch, command):
    shutil.copytree(ROOT / "examples" / "nuclei", tmp_path / "examples" / "nuclei")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    pixelwise (tune-refine .+)$", PAGE, re.MULTILINE)
    (own,) = (text for text in commands if "examples/" in text)
    # Less time than a reader has: what comes out depends on it, that it runs does not.
    code, out, error = command(*shlex.split(own.replace("10s", "1s")))
    assert (code, error) == (0, "")
    assert re.search(
        r"^(recommended: --|refinement does not help|nothing is rec)", out, re.MULTILINE
    )
