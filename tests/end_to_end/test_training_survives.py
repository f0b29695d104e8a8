"""Trainings that are killed, interrupted, out of disk or out of memory, and go on to the same bits.

The processes are forked from one that has loaded PyTorch, since that takes seconds; what happens
to them is real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.training_soak import fingerprint, make_data, tiny_plan
from pixelwise.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")

SERVER = """
import json, os, resource, signal, sys
from functools import partial
from pathlib import Path
import onnxscript
import torch
from benchmarks.training_soak import end, start, work
from pixelwise.cli import main

torch.set_num_threads(1)


def command(arguments):
    sys.argv = ["pixelwise", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0


class KillAt:
    # Ends the process at the nth such event of the file system whose first path ends so.
    def __init__(self, event, ending, count, signal):
        self.event, self.ending, self.count, self.signal = event, ending, count, signal

    def __call__(self, event, arguments):
        if event == self.event and str(arguments[self.place]).endswith(self.ending):
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), self.signal)

    @property
    def place(self):
        return 1 if self.event == "os.rename" else 0


for line in sys.stdin:
    order = json.loads(line)
    watch = None
    if order["kill"] is not None:
        watch = KillAt(*order["kill"])
    if order["command"] is None:
        task = partial(work, Path(order["folder"]), order["plan"], export=order["export"])
    else:
        task = partial(command, order["command"])

    def limited():
        if order["file_size"] is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"],) * 2)
        if order["memory"] is not None:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + order["memory"],) * 2)
        return task()

    process = start(limited, Path(order["output"]), watch)
    print(process, flush=True)
    if order["wait"]:
        print(end(process), flush=True)
    else:
        sys.stdin.readline()
        print(end(process), flush=True)
"""


class Trainings:
    """Starts processes, each with what befalls it."""

    def __init__(self, server, base):
        self._server, self._base = server, base
        self.output = base / "output"

    def run(self, **order):
        """Exit code, negative for a signal, and what the process has printed."""
        self._order(wait=True, **order)
        return int(self._server.stdout.readline()), self.output.read_text(errors="replace")

    def begin(self, **order):
        """Starts a process; gives its id."""
        return self._order(wait=False, **order)

    def end(self):
        """Waits for what `begin` has started."""
        print(file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline()), self.output.read_text(errors="replace")

    def _order(self, **order):
        self.output.unlink(missing_ok=True)
        usual = {"command": None, "kill": None, "file_size": None, "memory": None, "export": False}
        order = {**usual, "output": str(self.output), **order}
        print(json.dumps(order, default=str), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())


@pytest.fixture(scope="module")
def server(command_environment, tmp_path_factory):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=tmp_path_factory.mktemp("server"),
        env=command_environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.stdin.close()
    process.wait(timeout=60)


@pytest.fixture
def trainings(server, tmp_path):
    return Trainings(server, tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(scope="module")
def whole(server, data, tmp_path_factory):
    """What a run makes that nothing happens to."""
    base = tmp_path_factory.mktemp("whole")
    code, text = Trainings(server, base).run(folder=base / "run", plan=tiny_plan(data))
    assert code == 0, text
    return fingerprint(base / "run")


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.suffix == ".tmp"]


# Where the process is killed: at the nth time that a file takes its name, or is opened.
MOMENTS = {
    "splits": ("os.rename", "splits.json", 1),
    "plan": ("os.rename", "plan.yaml", 1),
    "log": ("open", "log.jsonl", 1),
    "first checkpoint": ("os.rename", "checkpoint.safetensors", 1),
    "checkpoint in an epoch": ("os.rename", "checkpoint.safetensors", 3),
    "inside a checkpoint": ("open", ".tmp", 6),
    "best": ("os.rename", "best.safetensors", 1),
    "reading": ("open", "images/train/3.png", 4),
    "scoring": ("open", "images/val/1.png", 2),
    "counts": ("os.rename", "val_counts.json", 1),
}


BEFORE_BATCHES, SAVING, LATER = list(MOMENTS)[:4], list(MOMENTS)[4:7], list(MOMENTS)[7:]


@pytest.mark.parametrize(
    ("moments", "workers"),
    [(BEFORE_BATCHES, 2), *((group, count) for group in (SAVING, LATER) for count in (0, 2, 4))],
)
def test_a_killed_run_goes_on_to_the_same_bits(trainings, data, whole, tmp_path, moments, workers):
    order = {"folder": tmp_path / "run", "plan": tiny_plan(data, workers=workers)}
    for moment in moments:
        code, text = trainings.run(**order, kill=(*MOMENTS[moment], signal.SIGKILL))
        assert code == -signal.SIGKILL, (moment, text)
    assert trainings.run(**order) == (0, "")
    assert fingerprint(tmp_path / "run") == whole
    assert leftovers(tmp_path / "run") == []


def test_a_run_that_ended_before_its_model_goes_on_to_it(trainings, data, whole, tmp_path):
    """On a full disk, then killed while the model is scored, then to the end, then once more."""
    folder = tmp_path / "run"
    order = {"folder": folder, "plan": tiny_plan(data)}
    assert trainings.run(**order) == (0, "")
    code, text = trainings.run(**order, export=True, file_size=50_000)
    assert code == 2
    assert "model.unscored.onnx" in text
    assert f"pixelwise train --resume {folder}" in text
    assert "Traceback" not in text
    assert not (folder / "model.onnx").exists()
    assert fingerprint(folder) == whole
    kill = ("open", "images/val/1.png", 1, signal.SIGKILL)
    code, text = trainings.run(**order, export=True, kill=kill)
    assert code == -signal.SIGKILL, text
    assert (folder / "model.unscored.onnx").exists()
    assert not (folder / "model.onnx").exists()
    code, text = trainings.run(command=["train", "--resume", str(folder)])
    assert code == 0, text
    assert not (folder / "model.unscored.onnx").exists()
    made = fingerprint(folder)
    model = made.pop("model.onnx")
    assert made == whole
    assert leftovers(folder) == []
    code, text = trainings.run(command=["train", "--resume", str(folder)])
    assert code == 0, text
    assert "had ended before" in text
    assert fingerprint(folder) == whole | {"model.onnx": model}


def test_a_folder_begun_without_a_plan_can_be_begun_again(trainings, data, whole, tmp_path):
    order = {"folder": tmp_path / "run", "plan": tiny_plan(data)}
    code, _ = trainings.run(**order, kill=("os.rename", "plan.yaml", 1, signal.SIGKILL))
    assert code == -signal.SIGKILL
    code, text = trainings.run(command=["train", "--resume", str(tmp_path / "run")])
    assert code == 2
    assert "no plan.yaml" in text
    assert "the same command again" in text
    assert trainings.run(**order) == (0, "")
    assert fingerprint(tmp_path / "run") == whole


@pytest.mark.parametrize("most", [300, 3_000, 200_000, 500_000])
def test_a_full_disk_loses_nothing(trainings, data, whole, tmp_path, most):
    """What does not fit: the plan, the log, the weights, or the checkpoint."""
    folder = tmp_path / "run"
    order = {"folder": folder, "plan": tiny_plan(data)}
    code, text = trainings.run(**order, file_size=most)
    assert code == 2, text
    assert "Traceback" not in text
    assert str(folder) in text
    assert "fix: " in text
    assert leftovers(folder) == []
    code, text = trainings.run(**order)
    assert (code, text) == (0, "")
    assert fingerprint(folder) == whole


def test_a_disk_that_fills_up_in_mid_run_keeps_the_last_checkpoint(
    trainings, data, whole, tmp_path
):
    folder = tmp_path / "run"
    order = {"folder": folder, "plan": tiny_plan(data)}
    trainings.run(**order, kill=("os.rename", "checkpoint.safetensors", 4, signal.SIGKILL))
    before = {
        name: (folder / name).read_bytes() for name in ("checkpoint.safetensors", "plan.yaml")
    }
    code, text = trainings.run(**order, file_size=500_000)
    assert code == 2
    assert "checkpoint.safetensors" in text
    assert f"pixelwise train --resume {folder}" in text
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert trainings.run(**order) == (0, "")
    assert fingerprint(folder) == whole


def wait_for(path, process, *, longer=0):
    until = time.monotonic() + 60
    while not path.is_file() or path.stat().st_size <= longer:
        assert time.monotonic() < until
        os.kill(process, 0)
        time.sleep(0.005)


def flags(data, folder, **choices):
    """The command line of a tiny plan."""
    plan = tiny_plan(data, **choices)
    plan.pop("data")
    command = ["train", str(data), "-o", str(folder)]
    for name, value in plan.items():
        text = json.dumps(value) if not isinstance(value, str) else value
        command += [f"--{name.replace('_', '-')}", text]
    return command


def test_ctrl_c_says_how_to_go_on(trainings, data, whole, tmp_path):
    folder = tmp_path / "run"
    process = trainings.begin(command=flags(data, folder))
    wait_for(folder / "timing.jsonl", process, longer=600)
    os.kill(process, signal.SIGINT)
    code, text = trainings.end()
    assert code == 130
    assert "Traceback" not in text
    assert text.splitlines()[-1] == (f"interrupted; go on with: pixelwise train --resume {folder}")
    assert trainings.run(folder=folder, plan=tiny_plan(data)) == (0, "")
    assert fingerprint(folder) == whole


def test_ctrl_c_before_the_plan_says_that_nothing_was_begun(trainings, data, tmp_path):
    folder = tmp_path / "run"
    kill = ("open", "images/val/1.png", 1, signal.SIGINT)
    code, text = trainings.run(command=flags(data, folder, workers=0), kill=kill)
    assert (code, text.splitlines()[-1]) == (130, "interrupted; nothing was begun")
    assert not folder.exists()


def test_sigterm_ends_a_run_that_goes_on_later(trainings, data, whole, tmp_path):
    folder = tmp_path / "run"
    process = trainings.begin(folder=folder, plan=tiny_plan(data))
    wait_for(folder / "best.safetensors", process)
    os.kill(process, signal.SIGTERM)
    code, text = trainings.end()
    assert code == -signal.SIGTERM
    assert "Traceback" not in text
    assert trainings.run(folder=folder, plan=tiny_plan(data)) == (0, "")
    assert fingerprint(folder) == whole


def test_a_second_process_is_kept_out_of_the_folder(trainings, data, whole, tmp_path):
    folder = tmp_path / "run"
    trainings.run(
        folder=folder,
        plan=tiny_plan(data),
        kill=("os.rename", "checkpoint.safetensors", 2, signal.SIGKILL),
    )
    before = (folder / "log.jsonl").read_bytes()
    with RunFolder(folder).held():
        code, text = trainings.run(command=["train", "--resume", str(folder)])
    assert code == 2
    assert "another process trains in this folder" in text
    assert str(folder) in text
    assert (folder / "log.jsonl").read_bytes() == before
    assert trainings.run(folder=folder, plan=tiny_plan(data)) == (0, "")
    assert fingerprint(folder) == whole


def test_a_folder_with_something_in_it_is_left_alone(trainings, data, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "splits.json").write_text("my own")
    code, text = trainings.run(command=flags(data, folder))
    assert code == 2
    assert "not empty" in text
    assert [path.name for path in folder.iterdir()] == ["splits.json"]
    assert (folder / "splits.json").read_text() == "my own"


def test_a_place_that_cannot_be_written_is_a_clear_error(trainings, data, tmp_path):
    (tmp_path / "file").write_text("")
    code, text = trainings.run(command=flags(data, tmp_path / "file" / "run"))
    assert code == 2
    assert "cannot be made" in text
    assert "Traceback" not in text


def test_too_little_memory_is_a_clear_error(trainings, data, tmp_path):
    plan = tiny_plan(data, crop=[1024, 1024], batch=4, workers=0)
    code, text = trainings.run(folder=tmp_path / "run", plan=plan, memory=100 * 2**20)
    assert code == 2, text
    assert "memory does not suffice" in text
    assert "Traceback" not in text


def test_a_step_that_does_not_fit_is_halved(trainings, data, tmp_path):
    folder = tmp_path / "run"
    plan = tiny_plan(data, crop=[512, 512], batch=8, workers=0, epochs=1, average_decay=0.0)
    code, text = trainings.run(folder=folder, plan=plan, memory=600 * 2**20)
    assert code == 0, text
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    halved = [line for line in log if line["event"] == "smaller batches"]
    assert halved
    assert halved[0] == {"event": "smaller batches", "micro_batch": 4}
