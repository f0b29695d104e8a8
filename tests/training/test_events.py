from __future__ import annotations

import json

import pytest

from pixelwise.errors import UsageError
from pixelwise.training.events import (
    RolledBack,
    Score,
    ScoreTime,
    Step,
    StepTime,
    parse_event,
    read_events,
)

STEP = {
    "event": "step",
    "epoch": 0,
    "step": 3,
    "loss": 0.5,
    "learning_rate": 0.1,
    "gradient_norm": None,
}


def test_both_logs_may_say_step():
    assert parse_event(STEP) == Step(
        epoch=0, step=3, loss=0.5, learning_rate=0.1, gradient_norm=None
    )
    timed = {"event": "step", "step": 3, "seconds": 1.5, "images_per_second": 9.0}
    assert isinstance(parse_event(timed), StepTime)
    assert isinstance(parse_event({**timed, "event": "step time"}), StepTime)
    assert parse_event({"event": "score", "step": 3, "seconds": 2}) == ScoreTime(step=3, seconds=2)


def test_what_later_versions_tell_is_passed_over():
    assert parse_event({"event": "tea break", "minutes": 5}) is None
    assert parse_event({}) is None
    assert isinstance(parse_event({**STEP, "mood": "good"}), Step)


def test_all_that_is_wrong_with_a_line_is_told():
    with pytest.raises(UsageError) as raised:
        parse_event({**STEP, "loss": "high", "epoch": -1})
    assert "loss" in raised.value.got
    assert "epoch" in raised.value.got


def test_shares_are_shares():
    score = {
        "event": "score",
        "epoch": 0,
        "step": 1,
        "loss_train": 1.0,
        "mean_iou": 1.01,
        "pixel_accuracy": 0.5,
        "iou": [0.5],
        "dice": [0.5],
        "best": True,
    }
    with pytest.raises(UsageError, match="score"):
        parse_event(score)
    assert isinstance(parse_event({**score, "mean_iou": None}), Score)


def test_lines_cut_by_a_kill_are_passed_over(tmp_path):
    log = tmp_path / "log.jsonl"
    back = {"event": "rolled back", "step": 4, "names": ["a"], "why": "nan"}
    whole = json.dumps(STEP)
    log.write_text(f"{whole}\n{whole[:20]}{whole}\n{json.dumps(back)}\n[1]\n{whole[:30]}")
    assert [type(event) for event in read_events(log)] == [Step, RolledBack]


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert list(read_events(tmp_path / "log.jsonl")) == []


def test_a_log_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_events(tmp_path))


def test_a_wrong_line_is_told_with_its_number(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(f"{json.dumps(STEP)}\n{json.dumps({**STEP, 'step': 'x'})}\n")
    with pytest.raises(UsageError) as raised:
        list(read_events(log))
    assert raised.value.where.endswith("log.jsonl, line 2")
