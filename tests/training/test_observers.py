from __future__ import annotations

import io
import sys

from pixelwise.training.observers import Observers, say


class Watcher:
    def __init__(self, calls, name, *, fails=()):
        self.calls, self.name, self.fails = calls, name, fails

    def begin(self, past):
        self.calls.append((self.name, past))
        if "begin" in self.fails:
            raise OSError("disk full")

    def on_event(self, event):
        self.calls.append((self.name, event["event"]))
        if "event" in self.fails:
            raise OSError("disk full")

    def close(self):
        self.calls.append((self.name, "closed"))
        if "close" in self.fails:
            raise OSError("disk full")


def test_all_are_told_in_order_and_closed_backwards():
    calls = []
    observers = Observers([Watcher(calls, "a"), Watcher(calls, "b")])
    observers.begin(["past"])
    observers.on_event({"event": "step"})
    observers.close()
    observers.close()
    assert calls == [
        ("a", ["past"]),
        ("b", ["past"]),
        ("a", "step"),
        ("b", "step"),
        ("b", "closed"),
        ("a", "closed"),
    ]


def test_one_that_fails_is_left_out_with_one_word_and_the_others_go_on():
    calls, notes = [], []
    broken = Watcher(calls, "broken", fails=("event", "close"))
    observers = Observers([broken, Watcher(calls, "whole")], note=notes.append)
    observers.on_event({"event": "one"})
    observers.on_event({"event": "two"})
    assert calls == [
        ("broken", "one"),
        ("broken", "closed"),
        ("whole", "one"),
        ("whole", "two"),
    ]
    assert notes == ["Watcher is left out, training goes on: disk full"]


def test_one_that_cannot_begin_is_left_out():
    calls, notes = [], []
    observers = Observers([Watcher(calls, "a", fails=("begin",))], note=notes.append)
    observers.begin([])
    observers.on_event({"event": "one"})
    assert calls == [("a", []), ("a", "closed")]
    assert len(notes) == 1


def test_one_that_cannot_be_closed_keeps_no_other_from_it():
    calls, notes = [], []
    observers = Observers(
        [Watcher(calls, "a"), Watcher(calls, "b", fails=("close",))], note=notes.append
    )
    observers.close()
    assert calls == [("b", "closed"), ("a", "closed")]
    assert len(notes) == 1


def test_a_closed_standard_error_is_no_error(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    say("a line")
    assert stream.getvalue() == "a line\n"
    stream.close()
    say("nobody reads it")
