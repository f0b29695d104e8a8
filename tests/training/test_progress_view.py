from __future__ import annotations

import io
import os
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from pixelwise.training.events import parse_event
from pixelwise.training.progress_view import ProgressView, Standing, _Panel

START = {
    "event": "start",
    "version": "1",
    "classes": ["a"],
    "train": 10,
    "val": 5,
    "steps_per_epoch": 100,
    "epochs": 10,
    "parameters": 5,
}
BACK = {"event": "rolled back", "step": 50, "names": ["a\x1b[2J.png", *"bcde"], "why": "no\nnumber"}


def step(number, loss=1.0):
    return {
        "event": "step",
        "epoch": (number - 1) // 100,
        "step": number,
        "loss": loss,
        "learning_rate": 0.1,
        "gradient_norm": 1.0,
    }


def speed(number):
    return {
        "event": "step time",
        "step": number,
        "seconds": 5,
        "images_per_second": 34.2,
        "memory_mib": 1820.4,
    }


def score(epoch, mean_iou, *, best):
    return {
        "event": "score",
        "epoch": epoch,
        "step": 100 * (epoch + 1),
        "loss_train": 0.4,
        "mean_iou": mean_iou,
        "pixel_accuracy": 0.9,
        "iou": [mean_iou],
        "dice": [mean_iou],
        "best": best,
    }


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def standing(*events, clock=None):
    made = Standing(clock=clock or Clock())
    for event in events:
        made.take(parse_event(event))
    return made


def drawn(shown, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    console.print(_Panel(shown), end="")
    return console.file.getvalue().split("\n")


def test_the_line_says_what_a_person_asks():
    clock = Clock()
    told = standing(START, step(100, 0.412), score(0, 0.72, best=True), clock=clock)
    clock.now += 90
    for event in (step(200, 0.412), speed(200), score(1, 0.713, best=False)):
        told.take(parse_event(event))
    assert told.line() == (
        "epoch 2/10 · loss 0.412 · mIoU 71.3 % (best 72.0 % at 1) · 34 images/s · 12 min left"
    )


def test_the_loss_is_a_mean_of_the_last():
    rising = standing(START, *(step(number, loss) for number, loss in ((1, 1.0), (2, 3.0))))
    assert rising.facts[0] == "loss 2.00"
    settled = standing(START, step(1, 1000.0), *(step(number, 1.0) for number in range(2, 900)))
    assert settled.facts[0] == "loss 1.00"
    assert standing(START, step(1, None)).facts == []


def test_time_left_is_of_the_whole_run_with_its_scorings():
    clock = Clock()
    shown = standing(START, clock=clock)
    assert shown.seconds_left is None
    for number in range(10, 101, 10):
        clock.now += 20  # 2 s a step
        shown.take(parse_event(step(number)))
    assert shown.seconds_left == pytest.approx(900 * 2)
    clock.now += 60
    shown.take(parse_event(score(0, 0.5, best=True)))
    shown.take(parse_event({"event": "score time", "step": 100, "seconds": 60}))
    assert shown.seconds_left == pytest.approx(900 * 2 + 9 * 60)
    clock.now += 20
    shown.take(parse_event(step(110)))
    assert shown.seconds_left == pytest.approx(890 * 2 + 8.9 * 60 / 1.1)


def test_after_the_last_step_no_time_is_left_to_tell():
    clock = Clock()
    shown = standing(START, step(990), clock=clock)
    clock.now += 10
    shown.take(parse_event(step(1000)))
    assert shown.seconds_left is None


def test_where_no_step_is_logged_the_loss_is_that_of_the_epoch():
    assert standing(START, score(0, 0.5, best=True)).facts[0] == "loss 0.400"


def test_a_pause_before_going_on_counts_for_no_time():
    clock = Clock()
    past = [parse_event(event) for event in (START, step(10), step(20))]
    shown = Standing(past, clock=clock)
    clock.now += 1e6
    shown.take(parse_event(step(30)))
    assert shown.seconds_left is None
    clock.now += 10
    shown.take(parse_event(step(40)))
    assert shown.seconds_left == pytest.approx(960)


def test_what_was_before_is_known_after_going_on():
    past = [parse_event(event) for event in (START, step(100), score(0, 0.7, best=True))]
    shown = Standing(past, clock=Clock())
    shown.take(parse_event(score(1, 0.6, best=False)))
    assert "best 70.0 % at 1" in shown.line()


def test_the_place_is_told_from_the_first_moment_and_while_scoring():
    assert standing().place == ["getting ready"]
    assert standing(START, step(130)).place == ["epoch 2/10", "step 30/100"]
    scoring = {"event": "scoring", "done": 3, "total": 5}
    assert standing(START, step(200), scoring).place == ["epoch 2/10", "scoring 3/5"]
    assert standing(START, step(200), scoring, step(210)).place == ["epoch 3/10", "step 10/100"]
    stopped = {"event": "stopped", "epoch": 2, "why": "done"}
    assert standing(START, step(200), scoring, stopped).place == ["writing the model"]
    assert standing(START, stopped, scoring).place == ["the model", "scoring 3/5"]
    assert standing(START, step(500)).share == 0.5


@pytest.mark.parametrize("width", range(1, 120))
def test_nothing_is_wider_than_the_terminal(width):
    shown = standing(
        START, step(100, 0.412), speed(100), score(0, 0.72, best=True), score(1, 0.6, best=False)
    )
    lines = drawn(shown, width)
    assert len(lines) == 2
    assert all(cell_len(line) < max(width, 2) for line in lines)


def test_the_more_important_stays_where_there_is_little_room():
    shown = standing(START, step(100, 0.412), speed(100), score(0, 0.72, best=True))
    assert drawn(shown, 18) == ["epoch 1/10", "loss 0.412"]
    assert drawn(shown, 9) == ["", ""]  # never half a number
    assert drawn(shown, 100)[1].endswith("1,820 MiB")
    assert "━" in drawn(shown, 100)[0]


def test_a_file_gets_nothing_unless_it_is_asked_for():
    quiet, told = io.StringIO(), io.StringIO()
    for stream, verbose in ((quiet, False), (told, True)):
        view = ProgressView(verbose=verbose, stream=stream)
        view.begin([])
        for event in (START, step(100, 0.5), BACK, score(0, 0.5, best=True), {"event": "later"}):
            view.on_event(event)
        view.close()
        view.close()
    assert quiet.getvalue() == ""
    assert told.getvalue().splitlines() == [
        r"step 50 taken back: no\nnumber (a\x1b[2J.png, b, c and 2 more)",
        "epoch 1/10 · loss 0.500 · mIoU 50.0 % (the best)",
    ]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event": "quarantined", "file": "a.png", "what": "cut off"}, "left out: a.png: cut off"),
        (
            {"event": "smaller batches", "micro_batch": 1},
            "memory did not suffice: from now on in parts of 1 picture",
        ),
        (
            {"event": "stopped", "epoch": 9, "why": "early stop"},
            "stopped after 9 epochs: early stop",
        ),
    ],
)
def test_what_happens_is_told(event, words):
    stream = io.StringIO()
    ProgressView(verbose=True, stream=stream).on_event(event)
    assert stream.getvalue() == f"{words}\n"


LIVE = """
import os, sys, time
from pixelwise.training.progress_view import ProgressView
import json
events = json.loads(sys.argv[1])
view = ProgressView()
view.begin([])
try:
    for event in events:
        view.on_event(event)
        time.sleep(0.02)
    print("on standard output")
    time.sleep(0.4)
    if sys.argv[2] == "interrupt":
        os.kill(os.getpid(), 2)
        time.sleep(5)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), 9)
finally:
    view.close()
"""


def on_a_terminal(ending, environment, columns=80):
    """What a process writes to a terminal of its own."""
    import fcntl
    import json
    import pty
    import struct
    import subprocess
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    events = json.dumps([START, step(10, 0.5), BACK, step(20, 0.5)])
    child = subprocess.Popen(
        [sys.executable, "-c", LIVE, events, ending],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={key: value for key, value in environment.items() if key != "COLUMNS"}
        | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return child.wait(60), written.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("ending", ["end", "interrupt", "kill"])
@pytest.mark.parametrize("columns", [80, 24])
def test_the_terminal_is_left_in_order(command_environment, ending, columns):
    code, written = on_a_terminal(ending, command_environment | {"NO_COLOR": "1"}, columns)
    assert (code == 0) == (ending == "end")
    assert ("epoch 1/10 · step 20/100" if columns > 24 else "epoch 1/10") in written
    assert "loss 0.500" in written
    # Shown again at once: even a killed process leaves the cursor.
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0
    assert "\x1b[?1049h" not in written
    assert "on standard output\r\n" in written
    assert r"a\x1b[2J.png" in written
    assert "\x1b[2J" not in written
    assert "\x1b[3" not in written  # no colour
    if ending == "end":
        last = written.rpartition("\r\n")[2]
        assert last.endswith("\x1b[2K")  # nothing of the view stays
