from __future__ import annotations

import pytest

from pixelwise.training.events import parse_event
from pixelwise.training.tensorboard_log import TensorBoardLog

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
)


def shown(folder):
    """Steps and values by tag, as TensorBoard shows them."""
    read = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {
        tag: [(each.step, pytest.approx(each.value)) for each in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def write(folder, lines, past=()):
    observer = TensorBoardLog(folder)
    observer.begin([parse_event(line) for line in past])
    for line in lines:
        observer.on_event(line)
    observer.close()


def test_every_curve_of_the_log_is_there(make_run, tmp_path):
    run = make_run(epochs=2, steps=3, names=["road/way", "sky"])
    write(tmp_path / "board", [*run.log, *run.timing, {"event": "unknown"}])
    curves = shown(tmp_path / "board")
    steps, scores = run.of("step"), run.of("score")
    assert curves["training/loss"] == [(line["step"], line["loss"]) for line in steps]
    assert curves["training/learning rate"] == [(i["step"], i["learning_rate"]) for i in steps]
    assert curves["training/gradient norm"] == [(i["step"], i["gradient_norm"]) for i in steps]
    assert curves["validation/mean IoU"] == [(i["step"], i["mean_iou"]) for i in scores]
    for place, name in enumerate(["road/way", "sky"]):
        tag = f"IoU of each class/{name}"
        assert curves[tag] == [(line["step"], line["iou"][place]) for line in scores]
    assert curves["speed/images per second"][0] == (1, 30.0)


def test_what_is_no_number_is_no_point(tmp_path):
    line = {
        "event": "step",
        "epoch": 0,
        "step": 1,
        "loss": None,
        "learning_rate": 0.1,
        "gradient_norm": None,
    }
    write(tmp_path, [line])
    assert list(shown(tmp_path)) == ["training/learning rate"]


@pytest.mark.parametrize("kept", [0, 1, 2, 4, 5, 6, 9])
def test_after_going_on_nothing_is_there_twice_and_nothing_lacks(make_run, tmp_path, kept):
    """Killed at the last line; the checkpoint had seen `kept` lines."""
    run = make_run(epochs=2, steps=4)
    write(tmp_path / "board", run.log)
    write(tmp_path / "board", run.log[kept:], past=run.log[:kept])
    write(tmp_path / "plain", run.log)
    assert shown(tmp_path / "board") == shown(tmp_path / "plain")


@pytest.mark.parametrize("back", [2, 5])
def test_steps_that_are_taken_back_are_not_there_twice(make_run, tmp_path, back):
    run = make_run(epochs=2, steps=4)
    start, steps = run.log[0], run.of("step")
    rolled_back = {"event": "rolled back", "step": 8, "names": ["a"], "why": "no number"}
    again = [{**line, "loss": 7.0} for line in steps[back:]]
    write(tmp_path / "board", [start, *steps[:7], rolled_back, *again])
    write(tmp_path / "plain", [start, *steps[:back], *again])
    assert shown(tmp_path / "board") == shown(tmp_path / "plain")


def test_without_tensorboard_one_note_and_nothing_written(run_python, tmp_path):
    done = run_python(
        "import sys\n"
        "sys.modules['tensorboard'] = None\n"
        "from pathlib import Path\n"
        "from pixelwise.training.tensorboard_log import TensorBoardLog\n"
        "log = TensorBoardLog(Path(sys.argv[1]) / 'board')\n"
        "step = {'event': 'step', 'epoch': 0, 'step': 1, 'loss': 1, 'learning_rate': 1,\n"
        "    'gradient_norm': 1}\n"
        "log.begin(())\n"
        "log.on_event(step)\n"
        "log.on_event(step)\n"
        "log.close()",
        tmp_path,
    )
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "tensorboard is not installed" in done.stderr
    assert not (tmp_path / "board").exists()
