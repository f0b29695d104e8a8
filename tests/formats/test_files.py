from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelwise.errors import OutputError, UsageError
from pixelwise.formats import make_folder, sweep_leftovers, write_atomic
from pixelwise.formats.files import named

SOURCE = str(Path(__file__).parents[2] / "src")


def python(code, *arguments):
    path = os.pathsep.join(entry for entry in (SOURCE, *sys.path) if entry)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "a.bin"
    write_atomic(target, b"one")
    write_atomic(target, memoryview(b"two"))
    assert target.read_bytes() == b"two"
    assert names(target.parent) == ["a.bin"]


def test_an_empty_file_can_be_written(tmp_path):
    write_atomic(tmp_path / "a", b"")
    assert (tmp_path / "a").read_bytes() == b""


def test_content_in_pieces_is_asked_for_piece_by_piece(tmp_path):
    path = tmp_path / "pieces"
    path.write_bytes(b"old")

    def pieces():
        yield b"one, "
        (temporary,) = tmp_path.glob(".pixelwise-*.tmp")
        assert temporary.read_bytes() == b"one, "
        yield memoryview(b"two")
        assert path.read_bytes() == b"old"

    write_atomic(path, pieces())
    assert path.read_bytes() == b"one, two"
    assert list(tmp_path.iterdir()) == [path]


def test_pieces_that_end_early_leave_the_old_file_alone(tmp_path):
    path = tmp_path / "pieces"
    path.write_bytes(b"old")

    def pieces():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, pieces())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_of_an_existing_file_stay(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o640)
    write_atomic(target, b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    write_atomic(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_killed_writers_leave_whole_files_and_the_rest_is_swept(tmp_path):
    code = """
import sys
from pathlib import Path
from pixelwise.formats import write_atomic
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_atomic(Path(sys.argv[1]) / "x.bin", bytes([letter]) * 3_000_000)
"""
    for delay in (0.03, 0.041, 0.052, 0.063):
        with python(code, tmp_path) as writer:
            writer.stdout.readline()
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        content = (tmp_path / "x.bin").read_bytes() if (tmp_path / "x.bin").exists() else b""
        assert content in (b"", b"a" * 3_000_000, b"b" * 3_000_000)
    leftovers = len(list(tmp_path.glob(".pixelwise-*.tmp")))
    assert sweep_leftovers(tmp_path) == leftovers
    assert list(tmp_path.glob(".pixelwise-*")) == []


def test_only_files_of_dead_processes_are_swept(tmp_path):
    with python("") as ended:
        ended.wait()
    mine = tmp_path / f".pixelwise-{os.getpid()}-0123456789abcdef.tmp"
    parents = tmp_path / f".pixelwise-{os.getppid()}-0123456789abcdef.tmp"
    dead = tmp_path / f".pixelwise-{ended.pid}-0123456789abcdef.tmp"
    foreign = tmp_path / ".pixelwise-notes.tmp"
    for path in (mine, parents, dead, foreign):
        path.touch()
    # `mine` is of an earlier process that had the same id: its token is another one.
    assert sweep_leftovers(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == sorted([parents, foreign])


def test_a_missing_folder_has_no_leftovers(tmp_path):
    assert sweep_leftovers(tmp_path / "none") == 0


def test_a_full_disk_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    code = """
import resource, signal, sys
from pathlib import Path
from pixelwise.errors import OutputError
from pixelwise.formats import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomic(Path(sys.argv[1]), bytes(1_000_000))
except OutputError as error:
    print(error)
"""
    with python(code, target) as writer:
        said = writer.stdout.read().decode()
    assert str(target) in said
    assert "fix: raise the file size limit" in said
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_device_or_pipe_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="device"):
        write_atomic(tmp_path / "pipe", b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["pipe"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_an_unwritable_folder_is_named():
    with pytest.raises(OutputError, match="/proc/nothing"):
        write_atomic(Path("/proc/nothing/a.png"), b"x")


@pytest.mark.parametrize("name", ["file/a.png", "folder", "x" * 300, "a\0b"])
def test_names_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        write_atomic(tmp_path / name, b"x")
    assert caught.value.fix
    assert caught.value.where
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_interrupt_leaves_the_old_file_alone(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (
            order.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"),
            sync(fd),
        ),
    )
    monkeypatch.setattr(
        Path, "replace", lambda old, new: (order.append("name"), replace(old, new))[1]
    )
    write_atomic(tmp_path / "a", b"new")
    assert order == ["file", "name", "folder"]


def test_a_name_that_promises_another_format_is_refused(tmp_path):
    assert named(str(tmp_path / "a.PNG"), ".png") == tmp_path / "a.PNG"
    for name in ("photo.jpg", "noend", "a.png.gz"):
        with pytest.raises(UsageError, match=r"kept in a \.png file"):
            named(tmp_path / name, ".png")
