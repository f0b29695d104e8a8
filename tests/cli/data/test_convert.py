from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from pixelwise.data import open as open_dataset

COUNT = 40


@pytest.fixture
def source(tmp_path):
    """Pictures of noise and masks of three ids, 40 of them, with a class table."""
    rng = np.random.default_rng(2)
    for folder in ("images/train", "masks/train", "images/val", "masks/val"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for number in range(COUNT):
        split = "val" if number % 4 == 0 else "train"
        pixels = rng.integers(0, 256, (120, 160, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / "images" / split / f"{number}.png")
        mask = rng.integers(0, 3, (120, 160), np.uint8)
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / split / f"{number}.png")
    (tmp_path / "set" / "classes.csv").write_text(
        "id,name,r,g,b,use,kind\n0,background,0,0,0,class,stuff\n1,leaf,0,255,0,class,thing\n"
        "2,ignored,9,9,9,ignore,\n"
    )
    return tmp_path / "set"


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.parametrize("to", ["folder", "voc", "coco", "cityscapes"])
def test_every_format_opens_again(to, source, tmp_path, command):
    code, out, err = command("data", "convert", source, "--to", to, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert f"{COUNT} samples as {to}" in out
    new = open_dataset(tmp_path / "out")
    assert len(new) == COUNT
    assert sorted(new.splits) == ["train", "val"]
    assert new.classes.names == ("background", "leaf")


def test_json_is_one_document(source, tmp_path, command):
    code, out, _ = command(
        "data", "convert", source, "--to", "folder", "-o", tmp_path / "out", "--json"
    )
    facts = json.loads(out)
    assert code == 0
    assert facts["samples"] == COUNT
    assert facts["files_written"] == len(files(tmp_path / "out"))


def test_a_second_run_writes_nothing(source, tmp_path, command):
    arguments = ("data", "convert", source, "--to", "voc", "-o", tmp_path / "out", "--json")
    first = json.loads(command(*arguments)[1])
    before = files(tmp_path / "out")
    second = json.loads(command(*arguments)[1])
    assert second["files_written"] == 0
    assert second["files_kept"] == first["files_written"]
    assert files(tmp_path / "out") == before


def test_what_would_be_lost_is_refused(source, tmp_path, command):
    code, out, err = command("data", "convert", source, "--to", "yolo", "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "ignored pixels beside a background (folder, voc and coco keep them)" in err
    assert "pixels of things that belong to no object" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "csv", "-o", "out"), "no such format"),
        (("--to", "voc", "-o", "set/new"), "would lie in the old one"),
        (("--to", "voc", "-o", "set"), "would lie in the old one"),
    ],
)
def test_what_cannot_start_says_why(source, monkeypatch, command, arguments, message):
    monkeypatch.chdir(source.parent)
    code, _, err = command("data", "convert", "set", *arguments)
    assert code == 2
    assert message in err


def test_foreign_files_stay(source, tmp_path, command):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    code, _, err = command("data", "convert", source, "--to", "voc", "-o", tmp_path / "out")
    assert code == 2
    assert "thesis.txt" in err
    assert files(tmp_path / "out") == {"thesis.txt": b"years of work"}


def test_a_file_in_the_way_of_one_sample_is_told(source, tmp_path, command):
    picture = tmp_path / "out" / "JPEGImages" / "7.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"another")
    code, _, err = command("data", "convert", source, "--to", "voc", "-o", tmp_path / "out")
    assert code == 1
    assert "JPEGImages/7.png" in err
    assert picture.read_bytes() == b"another"


def test_faulty_samples_are_left_out_and_listed(source, tmp_path, command):
    (source / "images" / "train" / "3.png").write_bytes(b"no picture")
    arguments = ("data", "convert", source, "--to", "folder", "-o", tmp_path / "out")
    code, _, err = command(*arguments)
    assert code == 2
    assert "images/train/3.png" in err
    code, out, _ = command(*arguments, "--skip-faulty")
    assert code == 1
    assert "left out: images/train/3.png" in out
    assert len(open_dataset(tmp_path / "out")) == COUNT - 1


def test_faults_of_names_are_told(source, tmp_path, command):
    (source / "masks" / "train" / "3.png").unlink()
    code, out, _ = command("data", "convert", source, "--to", "folder", "-o", tmp_path / "out")
    assert code == 1
    assert "the source has 1 faults" in out


def test_a_name_cannot_command_the_terminal(source, tmp_path, command):
    (source / "images" / "train" / "\x1b[31m.png").write_bytes(b"no picture")
    Image.new("L", (3, 3)).save(source / "masks" / "train" / "\x1b[31m.png")
    _, out, err = command("data", "convert", source, "--to", "folder", "-o", tmp_path / "out")
    assert "\x1b" not in out + err


@pytest.fixture
def start(source, tmp_path, command_environment):
    def begin(output):
        arguments = ["data", "convert", str(source), "--to", "voc", "-o", str(output)]
        return subprocess.Popen(
            [sys.executable, "-m", "pixelwise", *arguments],
            env=command_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def wait_for_files(folder, count, process):
    while len(list(folder.rglob("*.png"))) < count and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(start, source, tmp_path, command):
    out = tmp_path / "out"
    killed = 0
    for count in (5, 30):
        process = start(out)
        wait_for_files(out, count, process)
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        for path in out.rglob("*.png"):
            if not path.name.startswith("."):
                with Image.open(path) as picture:
                    picture.load()
    assert killed
    code, _, _ = command("data", "convert", source, "--to", "voc", "-o", out)
    assert code == 0
    assert command("data", "convert", source, "--to", "voc", "-o", tmp_path / "whole")[0] == 0
    assert files(out) == files(tmp_path / "whole")
    assert list(out.rglob(".*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_with_130(start, tmp_path):
    process = start(tmp_path / "out")
    wait_for_files(tmp_path / "out", 3, process)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on with the rest" in err
