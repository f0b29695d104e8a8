from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from pixelwise.data import statistics


@pytest.fixture
def folder(tmp_path):
    """Eight good pairs of two classes in images/ and masks/."""
    for number in range(8):
        random = np.random.default_rng(number)
        for kind, high in (("images", 256), ("masks", 2)):
            shape = (12, 16, 3) if kind == "images" else (12, 16)
            path = tmp_path / "set" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, high, shape, np.uint8)).save(path)
    return tmp_path / "set"


def test_a_sound_data_set_ends_with_0(folder, command):
    code, out, error = command("data", "check", folder)
    assert (code, error) == (0, "")
    assert "8 pictures" in out
    assert "no faults found" in out


def test_errors_end_with_1_and_are_all_listed(folder, command):
    (folder / "images/3.png").write_bytes(b"")
    (folder / "masks/5.png").write_bytes(b"no mask")
    code, out, error = command("data", "check", folder)
    assert (code, error) == (1, "")
    assert "images/3.png" in out
    assert "masks/5.png" in out
    assert "fix: copy or download it again" in out


def test_warnings_end_with_0(folder, command):
    (folder / "images/3.png").write_bytes((folder / "images/4.png").read_bytes())
    code, out, _ = command("data", "check", folder)
    assert code == 0
    assert "warning: the same picture stands there several times" in out


def test_json_lists_every_fault(folder, command):
    for number in range(8):
        (folder / f"masks/{number}.png").write_bytes(b"")
    (folder / "masks/0.png").write_bytes((folder / "images/0.png").read_bytes())
    Image.fromarray(np.eye(12, 16, dtype=np.uint8)).save(folder / "masks/1.png")
    code, out, _ = command("data", "check", folder, "--json", "--threads", "1")
    facts = json.loads(out)
    assert code == 1
    assert facts["layout"] == "folders"
    assert len({fault["file"] for fault in facts["faults"] if fault["severity"] == "error"}) >= 6
    assert facts["seconds"] >= 0


def test_what_is_no_data_set_ends_with_2(tmp_path, command):
    code, out, error = command("data", "check", tmp_path)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert "fix: " in error
    assert command("data", "check", tmp_path / "none")[0] == 2


def test_the_options_say_what_is_not_guessed(folder, command):
    (folder / "masks").rename(folder / "drawn")
    code, out, _ = command(
        "data", "check", folder, "--images", "images/{}.png", "--masks", "drawn/{}.png"
    )
    assert code == 0
    assert "8 of 8 pictures have a readable truth" in out
    assert command("data", "check", folder, "--layout", "none")[0] == 2


def test_a_page_is_written_whole(folder, command, tmp_path):
    page = tmp_path / "new" / "page.html"
    assert command("data", "check", folder, "--html", page)[0] == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_a_file_in_the_way_of_the_page_stays(folder, command, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    code, out, error = command("data", "check", folder, "--html", page)
    assert (code, out) == (2, "")
    assert "a file is in the way" in error
    assert page.read_text() == "mine"
    assert command("data", "check", folder, "--html", page, "--overwrite")[0] == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_a_page_has_the_name_of_one(folder, command, tmp_path):
    assert command("data", "check", folder, "--html", tmp_path / "page.png")[0] == 2
    assert not (tmp_path / "page.png").exists()


def test_a_page_that_cannot_be_written_ends_with_1(folder, command, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, error = command("data", "check", folder, "--html", tmp_path / "file" / "page.html")
    assert code == 1
    assert "no faults found" in out
    assert "cannot be" in error


def test_no_name_commands_the_terminal(folder, command):
    (folder / "images/3.png").rename(folder / "images/\x1b[31m.png")
    (folder / "masks/3.png").rename(folder / "masks/\x1b[31m.png")
    (folder / "masks/\x1b[31m.png").write_bytes(b"")
    _, out, error = command("data", "check", folder)
    assert "\x1b" not in out + error
    assert r"masks/\x1b[31m.png" in out


def test_ctrl_c_reports_what_was_seen(folder, command, monkeypatch):
    keep = statistics.Gathering._keep

    def interrupted(self, look):
        if self.seen == 5:
            raise KeyboardInterrupt
        keep(self, look)

    monkeypatch.setattr(statistics.Gathering, "_keep", interrupted)
    code, out, error = command("data", "check", folder)
    assert code == 130
    assert "only 5 pictures were looked at" in out
    assert error == "interrupted: 5 of 8 pictures were looked at\n"


INTERRUPTED = """
import os, signal, sys
from pixelwise.cli import main
from pixelwise.data.statistics import Gathering
keep = Gathering._keep
def interrupted(self, look):
    keep(self, look)
    if self.seen == 5:
        os.kill(os.getpid(), signal.SIGINT)
Gathering._keep = interrupted
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_a_real_interrupt_ends_with_130(folder, run_python):
    ended = run_python(INTERRUPTED, "data", "check", folder)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.startswith("interrupted: ")
    assert "pictures were looked at" in ended.stdout
