"""`torchrun … -m pixelwise train`: two processes do what one does, and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

SIZE = (48, 64)
PLAN = {
    "architecture": "unet",
    "encoder": "test_efficientnet",
    "encoder-weights": "null",
    # Dropout is drawn anew in every process, and PyTorch's batch normalisation loses three digits
    # in channels_last.
    "network": '{"decoder_channels": [8, 8, 8, 8], "dropout": 0.0}',
    "channels-last": "false",
    "precision": "float32",
    "crop": "64x64",
    "batch": 4,
    "epochs": 2,
    "augmentation": "none",
    "loss": "cross-entropy + dice",
    "log-every": 1,
    "workers": 0,
}
COMMAND = "from pixelwise.__main__ import main; main()"


def options(data, output, **others):
    flags = [f"--{name}={value}" for name, value in (PLAN | others).items()]
    return ["train", str(data), "-o", str(output), *flags]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight pictures to learn from, and five to score on: they cannot be shared out evenly."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 5)):
        for number in range(count):
            mask = np.zeros(SIZE, np.uint8)
            top, left = random.integers(0, 30, 2)
            mask[top : top + 12, left : left + 20] = 1
            mask[40:] = 2
            image = np.stack([mask * 80 + 20, 200 - mask * 60, mask * 20 + 90], -1)
            image = (image + random.integers(0, 30, (*SIZE, 3))).astype(np.uint8)
            for kind, pixels in (("images", image), ("masks", mask)):
                path = folder / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return folder


def lines(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def children(process):
    """The training processes of a torchrun, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = re.search(r"PPid:\s*(\d+)", (entry / "status").read_text())
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent and int(parent[1]) == process.pid:
            ranks = [int(each[5:]) for each in variables if each.startswith(b"RANK=")]
            found.update(dict.fromkeys(ranks, int(entry.name)))
    return found


def wait_for_steps(process, run, count):
    until = time.monotonic() + 400
    log = run / "log.jsonl"
    # The last line may not be whole yet.
    while not log.is_file() or log.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def alone(fork_together, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    ((process,),) = fork_together(COMMAND, [options(data, run)], processes=1)
    assert process.code == 0, process.error
    return run, process


@pytest.fixture(scope="module")
def together(start_together, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "together"
    process = start_together("-m", "pixelwise", *options(data, run))
    out, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    return run, out


def check_same(run, alone):
    got, wanted = lines(run), lines(alone)
    assert [line["event"] for line in got] == [line["event"] for line in wanted]
    for line, other in zip(got, wanted, strict=True):
        if line["event"] == "step":
            assert line["learning_rate"] == other["learning_rate"]
            assert line["loss"] == pytest.approx(other["loss"], rel=1e-4)
            assert line["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-2)
        elif line["event"] == "score":
            assert line["loss_train"] == pytest.approx(other["loss_train"], rel=1e-4)
            # A pixel or two whose scores are all but equal may fall the other way.
            for figure in ("mean_iou", "pixel_accuracy"):
                assert line[figure] == pytest.approx(other[figure], abs=1e-3)
        else:
            assert line == other


def check_counts(run):
    """Every picture is counted once, whole."""
    content = json.loads((run / "val_counts.json").read_text())
    assert content["names"] == [f"images/val/{number}" for number in range(5)]
    for picture in content["counts"]:
        truth = [row[2] for row in picture]
        assert sum(truth) == SIZE[0] * SIZE[1]


def test_two_processes_train_and_score_as_one(alone, together):
    check_same(together[0], alone[0])
    check_counts(together[0])


def test_only_the_first_process_writes_and_prints(alone, together):
    run, out = together
    names = {path.name for path in run.iterdir()}
    assert names == {path.name for path in alone[0].iterdir()}
    assert out.count("model.onnx") == alone[1].out.count("model.onnx") > 0
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_shards_train_and_score_as_one_and_go_on_in_one(fork_together, data, alone, tmp_path):
    run = tmp_path / "run"
    ((first, second),) = fork_together(COMMAND, [options(data, run, strategy="fsdp")])
    assert (first.code, second.code, second.out) == (0, 0, ""), first.error
    check_same(run, alone[0])
    check_counts(run)
    (folder,) = run.glob("checkpoint-*")
    assert len(list(folder.glob("*.safetensors"))) == 2
    before = lines(run)
    ((resumed,),) = fork_together(COMMAND, [["train", "--resume", str(run)]], processes=1)
    assert resumed.code == 0, resumed.error
    assert lines(run) == before


def end(process, pids):
    """Waits for the end, for far less than a process waits for one that is only slow."""
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_a_killed_process_ends_all_and_the_run_goes_on(start_together, data, tmp_path):
    run = tmp_path / "run"
    process = start_together("-m", "pixelwise", *options(data, run, epochs=1000))
    wait_for_steps(process, run, 8)
    pids = children(process)
    os.kill(pids[1], signal.SIGKILL)
    end(process, pids)
    begun = len(lines(run))
    again = start_together("-m", "pixelwise", "train", "--resume", str(run))
    wait_for_steps(again, run, begun + 3)
    pids = children(again)
    assert sorted(pids) == [0, 1]
    again.terminate()
    end(again, pids)
    steps = [line["step"] for line in lines(run) if line["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))


def test_ctrl_c_ends_all(start_together, data, tmp_path):
    run = tmp_path / "run"
    process = start_together("-m", "pixelwise", *options(data, run, epochs=1000))
    wait_for_steps(process, run, 3)
    pids = children(process)
    process.send_signal(signal.SIGINT)
    end(process, pids)
