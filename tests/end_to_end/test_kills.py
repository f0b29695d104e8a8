"""Runs that are broken off: by Ctrl-C, by SIGKILL, by a disk that takes no more."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")
COUNT = 60


@pytest.fixture
def work(tmp_path, make_model):
    """A folder of as many photos as take a while, and a model."""
    (tmp_path / "f").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "f" / "0.bmp")
    for number in range(1, COUNT):
        shutil.copy(tmp_path / "f" / "0.bmp", tmp_path / "f" / f"{number}.bmp")
    make_model()
    return tmp_path


@pytest.fixture
def start(work, command_environment):
    def begin(*options, **popen):
        arguments = ["predict", "f", "--model", "toy.onnx", "--engine", "onnxruntime", *options]
        return subprocess.Popen(
            [sys.executable, "-m", "pixelwise", *arguments],
            cwd=work,
            env=command_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )

    return begin


def results(work):
    """Label maps that are there, each opened whole, and when they were written."""
    found = {}
    for path in (work / "out").rglob("*.png"):
        with Image.open(path) as picture:
            picture.load()
        if path.parent.name == "labels":
            found[path.name] = path.stat().st_mtime_ns
    return found


def leftovers(work):
    return [path for path in (work / "out").rglob("*") if path.suffix == ".tmp"]


def wait_for_some(work, process, count=3):
    until = time.monotonic() + 60
    while len(list((work / "out" / "labels").glob("*.png"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def check_that_the_rest_is_done(work, start, before):
    again = start()
    out, error = again.communicate(timeout=120)
    assert (again.returncode, error) == (0, "")
    after = results(work)
    assert len(after) == COUNT
    assert before.items() <= after.items()
    assert leftovers(work) == []
    assert f"{COUNT - len(before)} done, {len(before)} already there" in out


@pytest.mark.parametrize("options", [[], ["--threads", "1"], ["--json"]], ids=str)
def test_ctrl_c_leaves_whole_files_and_the_same_command_goes_on(work, start, options):
    process = start(*options)
    wait_for_some(work, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    before = results(work)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "goes on with the rest" in error
    assert "Traceback" not in error
    assert 3 <= len(before) < COUNT
    assert leftovers(work) == []
    if not options:
        check_that_the_rest_is_done(work, start, before)


@pytest.mark.parametrize("module", ["typer.core", "numpy", "PIL.Image", "pixelwise.data.dataset"])
def test_ctrl_c_while_a_command_loads_is_one_line(tmp_path, command_environment, module):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "pixelwise", "data", "check", "."],
        cwd=tmp_path,
        env=command_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == module:
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    told = [line for line in error.splitlines() if not line.startswith("import time:")]
    assert (process.returncode, told) == (130, ["interrupted"])


def test_an_interrupt_within_generated_code_ends_with_130(tmp_path, command_environment):
    """Run as `python -m`, as the command is."""
    code = (
        "import pixelwise.cli\n"
        "pixelwise.cli.main = lambda: exec('raise KeyboardInterrupt')\n"
        "from pixelwise.__main__ import main\n"
        "main()\n"
    )
    (tmp_path / "interrupted_here.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted_here"],
        cwd=tmp_path,
        env=command_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("command", ["split", "colours"])
def test_ctrl_c_says_that_nothing_was_written(tmp_path, command_environment, command):
    """The reading waits for the signal."""
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((30, 30), number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / kind / f"{number:02}.png")
    code = (
        "import sys, time\n"
        "import pixelwise.cli.data\n"
        "command = sys.modules['pixelwise.cli.data.COMMAND']\n"
        "inner = command.progress_bar\n"
        "def waiting(total):\n"
        "    print('reading', flush=True)\n"
        "    time.sleep(30)\n"
        "    return inner(total)\n"
        "command.progress_bar = waiting\n"
        "from pixelwise.cli import main\n"
        "sys.argv = ['pixelwise', 'data', 'COMMAND', 'set', '-o', 'new/classes.csv']\n"
        "main()\n"
    ).replace("COMMAND", command)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=command_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert error == "interrupted: nothing was written\n"
    assert not (tmp_path / "new").exists()


def test_sigkill_leaves_whole_files_and_the_next_run_sweeps(work, start):
    for seen in (3, 6):
        process = start()
        wait_for_some(work, process, seen)
        process.kill()
        process.communicate(timeout=30)
    before = results(work)
    assert len(before) < COUNT
    # At least one leftover, whether or not the kill hit a write.
    (work / "out" / "overlays" / f".pixelwise-{process.pid}-0123456789abcdef.tmp").write_bytes(b"")
    check_that_the_rest_is_done(work, start, before)


def limit_file_size(most):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return limit


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_a_full_disk_ends_the_run_and_loses_nothing(work, start, tmp_path_factory, engine):
    for path in sorted((work / "f").iterdir())[8:]:
        path.unlink()
    options = ["--engine", engine]
    first = start(*options)
    first.communicate(timeout=60)
    before = {path: path.read_bytes() for path in (work / "out").rglob("*") if path.is_file()}
    assert len(before) == 16
    full = start(*options, "--overwrite", preexec_fn=limit_file_size(20_000))
    _, error = full.communicate(timeout=60)
    assert full.returncode == 1
    assert "larger than this disk or process may write" in error
    assert "stopped, since no result can be written" in error
    assert "Traceback" not in error
    # Told once for each picture that was under way, not once for all.
    assert 1 <= error.count("error:") <= 4
    after = {path: path.read_bytes() for path in (work / "out").rglob("*") if path.is_file()}
    assert after == before


def test_a_disk_that_fills_up_leaves_no_half_result(work, start):
    """The small label map would fit, the overlay does not: neither counts as done."""
    process = start("--threads", "1", preexec_fn=limit_file_size(20_000))
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert results(work) == {}
    assert leftovers(work) == []
