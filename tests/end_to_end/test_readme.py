"""The README's commands and code, run as they are written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import pixelwise

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TRAINING_PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The photos that the README speaks of, made of those in examples/."""
    monkeypatch.chdir(tmp_path)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "more").mkdir()
    shutil.copytree(ROOT / "examples" / "nuclei", tmp_path / "examples" / "nuclei")
    shutil.copy(photos[0], "photo.jpg")
    shutil.copy(photos[1], "folder")
    shutil.copy(photos[2], "folder/below")
    with Image.open(photos[3]) as picture:
        picture.save("more/one.png")
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_commands_do_what_they_say(work, command_environment):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("pixelwise ")]
    assert len(commands) >= 3
    # Trainings take long: those of the page on training are run by its own test.
    trainings = [command for command in commands if command.startswith("pixelwise train ")]
    assert set(trainings) <= set(TRAINING_PAGE.splitlines())
    commands = [command for command in commands if command not in trainings]
    script = 'set -e; pixelwise() { "$PYTHON" -m pixelwise "$@"; }\n' + "\n".join(commands)
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=command_environment | {"PYTHON": sys.executable},
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("photo", "one", "below/*"):
        (labels,) = (work / "out" / "labels").glob(f"{name}.png")
        assert labels.is_file()
        assert len(list((work / "out" / "overlays").glob(f"{name}.png"))) == 1
    assert (work / "out" / "probabilities" / "photo.npz").is_file()
    assert len(list((work / "out" / "layers" / "photo").iterdir())) == 2 * 13


def test_make_has_the_targets_that_are_named():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {
        line.split()[1]
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("make ")
    }
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_code_runs(work):
    names = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), names)
    assert names["network"].config.classes == 19
    segmentation = names["seg"]
    assert segmentation.labels.shape == segmentation.size
    assert (work / "labels.png").is_file()
    assert len(names["several"]) == 2


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_what_the_street_model_knows_is_said():
    for name in pixelwise.model_cards()["street"].classes.names:
        assert name in README
