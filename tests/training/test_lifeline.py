"""The connections that tell processes of each other's end; `test_distributed` ends real ones."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from pixelwise.training.lifeline import Lifeline, limited

PATIENCE = timedelta(seconds=60)


@pytest.fixture
def lines(monkeypatch):
    """Those of three processes, all of them this one; a stranger knocks first."""
    # It must not be ended, however slow it is.
    monkeypatch.setattr("pixelwise.training.lifeline._GRACE_SECONDS", 1000.0)
    store = HashStore()

    def join(rank):
        return Lifeline(rank, 3, store, host="localhost", patience=PATIENCE)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(join, 0)
        store.wait(["lifeline"])
        port = int(store.get("lifeline").decode().split()[0])
        with socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\n")
            others = [pool.submit(join, rank) for rank in (1, 2)]
            joined = [each.result(timeout=30) for each in (first, *others)]
    yield joined
    for line in joined:
        line.leave("was interrupted")
        line.close()


def test_nobody_is_missed_while_all_are_there(lines):
    assert [line.reason(wait=0.1) for line in lines] == [""] * 3


def test_all_hear_of_one_that_ends(lines):
    lines[2].leave("stopped: the disk\nis full")
    for line in lines[:2]:
        reason = line.reason(wait=30)
        assert reason.startswith("process 2 (")
        assert reason.endswith("stopped: the disk is full")
        line.leave("stopped")


def test_one_that_vanishes_is_told_to_all(lines):
    lines[2].close()
    for line in (lines[0], lines[1]):
        assert line.reason(wait=30)
        line.leave("stopped")


def test_the_first_waits_until_all_have_finished(lines):
    with ThreadPoolExecutor() as pool:
        first = pool.submit(lines[0].leave, "finished")
        lines[1].leave("finished")
        with pytest.raises(TimeoutError):
            first.result(timeout=0.3)
        lines[2].leave("finished")
        first.result(timeout=30)
    assert [line.reason(wait=0.1) for line in lines] == [""] * 3


def test_what_takes_too_long_ends_the_process(run_python):
    done = run_python(
        "import time\n"
        "from pixelwise.training.lifeline import limited\n"
        "with limited(0.1):\n"
        "    time.sleep(30)\n"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    with limited(60):
        pass
