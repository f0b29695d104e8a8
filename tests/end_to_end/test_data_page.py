"""The commands and the code of docs/data.md, run as they are written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.data import LAYOUTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


@pytest.fixture
def work(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples" / "nuclei", tmp_path / "examples" / "nuclei")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_commands_do_what_they_say(work, command_environment):
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    script = 'set -e; pixelwise() { "$PYTHON" -m pixelwise "$@"; }\n' + "".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=command_environment | {"PYTHON": sys.executable},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "<html" in (work / "out" / "nuclei.html").read_text("utf-8")
    with Image.open(work / "out" / "nuclei.png") as sheet:
        assert min(sheet.size) > 300
    folder = work / "out" / "nuclei"
    lists = [(folder / f"{name}.txt").read_text().split() for name in ("train", "val")]
    assert len(lists[0]) > len(lists[1]) > 0
    ours, theirs = pw.data.open("examples/nuclei"), pw.data.open("out/nuclei_coco")
    assert (len(theirs), theirs.layout) == (7, "coco")
    # Both list the pictures by name.
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own.image, other.image)
        np.testing.assert_array_equal(own.mask, other.mask)


def test_the_code_runs(work):
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/data.md", "exec"), names)
    assert names["sample"].target.instances.max() == 19
    np.testing.assert_array_equal(names["rows"][0], [True, False])
    np.testing.assert_array_equal(names["data"].candidates[3], [True, True, False])
    assert set(np.unique(names["data"].dataset[0].mask)) == {0, 1, 3}
    assert names["objects"].max() == 19
    batch = names["batch"]
    assert batch.images.shape == (4, 3, 192, 256)
    assert set(np.unique(batch.masks).tolist()) <= {0, 1, names["batches"].ignore_index}


def test_every_layout_is_named():
    for layout in LAYOUTS:
        assert f"| `{layout}` |" in PAGE


def test_json_of_the_check_is_whole(work, command_environment):
    done = subprocess.run(
        [sys.executable, "-m", "pixelwise", "data", "check", "examples/nuclei", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=command_environment,
    )
    assert json.loads(done.stdout)["faults"] == []
