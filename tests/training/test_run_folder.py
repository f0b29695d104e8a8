"""The folder of a run: its logs, and who may write there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pixelwise.errors import OutputError, OutputExistsError, UsageError
from pixelwise.training.run_folder import Log, RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_written_at_once(tmp_path):
    with Log(tmp_path / "log", 0) as log:
        log.write({"event": "start", "name": "Größe"})
        assert read(tmp_path / "log") == [{"event": "start", "name": "Größe"}]
        assert log.sync() == (tmp_path / "log").stat().st_size


def test_a_log_is_cut_back_to_where_a_checkpoint_stood(tmp_path):
    path = tmp_path / "log"
    with Log(path, 0) as log:
        log.write({"step": 1})
        length = log.sync()
        log.write({"step": 2})
    with Log(path, length) as log:
        assert read(path) == [{"step": 1}]
        log.write({"step": 3})
    assert read(path) == [{"step": 1}, {"step": 3}]


def test_lines_can_be_taken_back_while_it_is_open(tmp_path):
    with Log(tmp_path / "log", 0) as log:
        log.write({"step": 1})
        length = log.sync()
        log.write({"step": 2})
        log.cut(length)
        log.write({"step": 4})
    assert read(tmp_path / "log") == [{"step": 1}, {"step": 4}]


def test_a_line_that_a_kill_has_cut_is_taken_away(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"step": 1}\n{"st')
    with Log(path, None) as log:
        log.write({"step": 2})
    assert read(path) == [{"step": 1}, {"step": 2}]


def test_a_log_shorter_than_the_checkpoint_says_gets_no_hole(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"step": 1}\n')
    with Log(path, 1000) as log:
        log.write({"step": 2})
    assert read(path) == [{"step": 1}, {"step": 2}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_an_error_that_names_the_log(tmp_path):
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="cannot be written") as caught, Log(path, 0) as log:
        log.write({"step": 1})
    assert caught.value.where == str(path)
    assert "No space left" in caught.value.got


def test_a_place_that_is_no_file_is_an_error(tmp_path):
    with pytest.raises(OutputError) as caught:
        Log(tmp_path, 0)
    assert caught.value.where == str(tmp_path)


def test_a_new_and_an_empty_folder_are_free(folder):
    folder.check_free()
    folder.path.mkdir()
    folder.check_free()


@pytest.mark.parametrize("name", ["plan.yaml", "splits.json", "photo.jpg", ".hidden"])
def test_a_folder_with_a_file_is_not_free(folder, name):
    folder.path.mkdir()
    (folder.path / name).write_text("mine")
    with pytest.raises(OutputExistsError, match="not empty") as caught:
        folder.check_free()
    assert caught.value.where == str(folder.path)


def test_a_folder_that_a_killed_run_left_without_a_plan_is_free(folder):
    with folder.held():
        folder.splits.write_text("{}")
    (folder.path / f".pixelwise-{2**22 + 1}-0123456789abcdef.tmp").write_text("")
    folder.check_free()
    with folder.held():
        folder.plan.write_text("")
    with pytest.raises(OutputExistsError):
        folder.check_free()


def test_only_what_has_plan_and_splits_can_go_on(folder):
    with pytest.raises(UsageError, match="no run to go on with") as caught:
        folder.check_begun()
    assert caught.value.got == "no plan.yaml, splits.json"
    folder.path.mkdir()
    folder.plan.write_text("")
    folder.splits.write_text("")
    folder.check_begun()


HOLD = """
import sys, time
from pathlib import Path
from pixelwise.errors import UsageError
from pixelwise.training.run_folder import RunFolder
try:
    with RunFolder(Path(sys.argv[1])).held():
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except UsageError as error:
    print(error.what, flush=True)
"""


def test_one_process_at_a_time_and_a_dead_one_lets_go(folder, run_python, command_environment):
    command = [sys.executable, "-c", HOLD, str(folder.path), "60"]
    process = subprocess.Popen(command, env=command_environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another process trains") as caught, folder.held():
        pass
    assert caught.value.where == str(folder.path)
    assert run_python(HOLD, folder.path, 0).stdout == "another process trains in this folder\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    with folder.held():
        pass


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), RunFolder(tmp_path / "file" / "run").held():
        pass


def test_a_run_is_over_when_it_says_so_and_has_a_model(folder):
    folder.path.mkdir()
    assert not folder.is_over()
    folder.log.write_text('{"event": "start"}\n{"event": "stopped", "epoch": 1, "why": "done"}\n')
    assert not folder.is_over()
    folder.model.write_bytes(b"")
    assert folder.is_over()
    folder.log.write_text('{"event": "start"}\n')
    assert not folder.is_over()


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "checkpoint.json"])
def test_a_run_has_begun_with_its_first_checkpoint(tmp_path, name):
    folder = RunFolder(tmp_path)
    assert not folder.is_begun()
    (tmp_path / name).touch()
    assert folder.is_begun()
