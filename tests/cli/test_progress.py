from __future__ import annotations

import io
import sys

import pytest

from pixelwise.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "total"), [(io.StringIO(), 9), (Terminal(), 1), (Terminal(), 0)]
)
def test_nothing_is_shown_without_a_terminal_or_work(monkeypatch, stream, total):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total) as advance:
        advance(1)
    assert stream.getvalue() == ""


def test_a_terminal_sees_how_far_it_is(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(7) as advance:
        advance(3)
        advance(4)
    assert "7/7" in terminal.getvalue()
