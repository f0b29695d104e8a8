"""Two processes that torchrun starts: who they are, what they tell each other, how they end."""

from __future__ import annotations

import signal
import sys

import pytest
import torch

from pixelwise.errors import DeviceError, UsageError
from pixelwise.training.distributed import (
    World,
    barrier,
    from_first,
    gather_values,
    is_first_process,
    join_world,
    same_everywhere,
    sum_over,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
ALONE = World(0, 1, 0, torch.device("cpu"), "none")
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_torchrun_there_is_one_process_and_no_group(environment):
    with join_world("cpu") as world:
        assert world == ALONE
        assert world.is_first
        assert not torch.distributed.is_initialized()
    tensor = torch.tensor([1, 2])
    assert torch.equal(sum_over(world, tensor), tensor)
    assert gather_values(world, {"a": 1}) == [{"a": 1}]
    assert from_first(world, "x") == "x"
    barrier(world)
    same_everywhere(world, "x")
    assert is_first_process()


def test_a_torchrun_of_one_process_needs_no_group(environment):
    environment.setenv("WORLD_SIZE", "1")
    with join_world("cpu") as world:
        assert world == ALONE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"WORLD_SIZE": "2"}, ["RANK is not set", "LOCAL_RANK is not set", "MASTER_PORT is not"]),
        ({"WORLD_SIZE": "x", "RANK": "-1"}, ["WORLD_SIZE='x'", "RANK='-1'", "MASTER_ADDR"]),
        (dict.fromkeys(VARIABLES, "2"), ["RANK=2 is not below WORLD_SIZE=2"]),
    ],
)
def test_an_environment_that_cannot_be_is_told_whole(environment, given, told):
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(UsageError) as caught, join_world("cpu"):
        pass
    assert [part for part in told if part not in caught.value.got] == []


def test_kinds_of_devices(environment):
    with pytest.raises(UsageError, match="no such kind of device"), join_world("gpu"):
        pass
    with pytest.raises(DeviceError), join_world(f"cuda:{torch.cuda.device_count()}"):
        pass


TALK = """
import json
import torch
from pixelwise.errors import UsageError
from pixelwise.training.distributed import *
with join_world("cpu", patience=60) as world:
    whole = torch.tensor([2**61 + world.rank, 1])
    parts = torch.tensor([2.0**51 + world.rank, 0.1], dtype=torch.float64)
    strided = torch.arange(6.0).view(2, 3).t()
    told = {
        "world": [str(part) for part in vars(world).values()],
        "sum": sum_over(world, whole).tolist(),
        "doubles": sum_over(world, parts).tolist(),
        "strided": sum_over(world, strided).tolist(),
        "left alone": whole.tolist(),
        "values": gather_values(world, {"Bär": [world.rank] * (40 * world.rank)}),
        "first": from_first(world, world.rank + 7),
        "prints": is_first_process(),
    }
    same_everywhere(world, "plan")
    try:
        same_everywhere(world, f"plan {world.rank}", what="plans")
    except UsageError as error:
        told["differ"] = [error.what, error.got]
    barrier(world)
    everyone = gather_values(world, told)
    if world.is_first:
        print(json.dumps(everyone), flush=True)
assert not torch.distributed.is_initialized()
"""


def test_what_two_processes_tell_each_other(run_together):
    first, second = run_together(TALK)
    assert first.pop("world") == ["0", "2", "0", "cpu", "gloo"]
    assert second.pop("world") == ["1", "2", "1", "cpu", "gloo"]
    assert (first.pop("prints"), second.pop("prints")) == (True, False)
    assert (first.pop("left alone"), second.pop("left alone")) == ([2**61, 1], [2**61 + 1, 1])
    assert first == second
    assert first["sum"] == [2**62 + 1, 2]
    assert first["doubles"] == [2.0**52 + 1, 0.2]
    assert first["strided"] == [[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]
    assert first["values"] == [{"Bär": []}, {"Bär": [1] * 40}]
    assert first["first"] == 7
    what, got = first["differ"]
    assert what == "the processes do not have the same plans"
    assert got.startswith("process 0: ")
    assert "; process 1: " in got


# In mode `mode`, the process numbered `who` does something odd once both are there.
END = """
import os, signal, sys, time
from pixelwise.errors import OutputError, PixelwiseError
from pixelwise.training.distributed import *
mode, who, other = sys.argv[1], int(sys.argv[2]), sys.argv[3]
try:
    with join_world("cpu", patience=8 if mode == "hangs" else 60) as world:
        odd = gather_values(world, os.getpid())[who]
        if world.rank == who:
            if mode == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if mode == "fails":
                raise OutputError("the disk is full")
            if mode == "interrupted":
                raise KeyboardInterrupt
            if mode == "hangs":
                time.sleep(60)
            if mode == "late":
                time.sleep(2)
            if mode == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
        if other == "computes":
            time.sleep(60)
        if other == "wakes it" and world.rank != who:
            time.sleep(5)
            os.kill(odd, signal.SIGCONT)
        if other != "finishes":
            barrier(world)
except PixelwiseError as error:
    sys.stderr.write(f"error: {error}")
    sys.exit(2)
print("ended", flush=True)
"""
KILLED = [("killed", who, other) for who in (0, 1) for other in ("waits", "computes")]
TOLD = {
    ("fails", 0, "waits"): "stopped: the disk is full",
    ("fails", 1, "waits"): "stopped: the disk is full",
    ("interrupted", 0, "waits"): "was interrupted",
    ("hangs", 0, "waits"): "did not answer for 8 s",
}
FINE = [("late", 0, "finishes"), ("late", 1, "finishes"), ("stopped", 1, "wakes it")]
CASES = [*KILLED, *TOLD, *FINE]


@pytest.fixture(scope="module")
def ends(fork_together):
    return dict(zip(CASES, fork_together(END, CASES), strict=True))


@pytest.mark.parametrize("case", KILLED, ids=str)
def test_a_killed_process_ends_the_other_within_ten_seconds(ends, case):
    _, who, other = case
    killed, survivor = ends[case][who], ends[case][1 - who]
    assert killed.code == -signal.SIGKILL
    assert survivor.at - killed.at < 10
    assert survivor.code == (1 if other == "computes" else 2)
    assert "another process of the training is gone" in survivor.error
    assert f"process {who}" in survivor.error
    assert "killed, or its machine is lost" in survivor.error
    assert "Traceback" not in survivor.error


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_the_other_says_why_it_ends(ends, case):
    survivor = ends[case][1 - case[1]]
    assert survivor.code == 2
    assert TOLD[case] in survivor.error
    assert "Traceback" not in survivor.error


@pytest.mark.parametrize("case", FINE, ids=str)
def test_a_process_that_finishes_early_or_stands_still_is_not_taken_for_dead(ends, case):
    assert [(each.code, each.out, each.error) for each in ends[case]] == [(0, "ended\n", "")] * 2
