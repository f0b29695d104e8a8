"""Checkpoints to which every process writes its part."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from safetensors import safe_open
from torch import nn

from pixelwise.errors import WeightsError
from pixelwise.training.distributed import World
from pixelwise.training.sharded import discard_sharded, load_sharded, save_sharded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
ALONE = World(0, 1, 0, torch.device("cpu"), "none")

# Small networks with parts that no number of processes divides evenly. What is printed are the
# whole tensors, or why something did not work.
ACT = """
import json, os, signal, sys
from pathlib import Path
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
import pixelwise.training.sharded as sharded
from pixelwise.errors import PixelwiseError
from pixelwise.training.distributed import join_world
from pixelwise.training.parallel import full_state
path, actions = Path(sys.argv[1]), sys.argv[2:]

def make(world, seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 1, 1))
    if world.size > 1:
        fully_shard(network, mesh=init_device_mesh("cpu", (world.size,)))
    return network

def step(network, optimizer):
    images = torch.arange(300.0).view(1, 3, 10, 10)
    network(images).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()

def state(network, averaged, optimizer):
    told = {"network": full_state(network), "averaged": full_state(averaged)}
    for name, parameter in network.named_parameters():
        told[name] = {
            key: value.full_tensor() if hasattr(value, "full_tensor") else value
            for key, value in optimizer.state[parameter].items()
        }
    return {
        part: {name: value.tolist() for name, value in tensors.items()}
        for part, tensors in told.items()
    }

with join_world("cpu", patience=60) as world:
    seed = 5 if "load" in actions else 0
    network, averaged = make(world, seed), make(world, seed + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    parts = (network, averaged, optimizer)
    told = {}
    try:
        for action in actions:
            if action == "save":
                sharded.save_sharded(path, world, *parts, {"step": len(told), "by": world.rank})
            if action == "load":
                told["progress"] = sharded.load_sharded(path, world, *parts)
            if action == "step":
                step(network, optimizer)
            if action == "state":
                told["state"] = state(*parts)
            if action == "die at the swap":
                sharded.write_atomic = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            if action == "no room" and world.rank == 1:
                import resource
                resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    except PixelwiseError as error:
        told["error"] = [type(error).__name__, error.what, error.got]
    if world.is_first:
        print(json.dumps(told))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.json"


@pytest.fixture
def act(run_together, path):
    def run(*actions, processes=2):
        return run_together(ACT, path, *actions, processes=processes)

    return run


def folders(path):
    return sorted(each for each in path.parent.iterdir() if each.is_dir())


def test_any_number_of_processes_takes_it_up(act, path):
    saved = act("step", "save", "state")
    assert saved["state"]["0.weight"]["exp_avg"] != [0]
    for processes in (1, 2, 3):
        loaded = act("load", "state", processes=processes)
        assert loaded["progress"] == {"step": 0, "by": 0}
        assert loaded["state"] == saved["state"]
    # The next step is the same too: the moments are those of the optimizer.
    assert act("load", "step", "state")["state"] == act("load", "step", "state")["state"]


def test_no_file_is_a_pickle(act, path):
    act("step", "save")
    (folder,) = folders(path)
    assert sorted(file.suffix for file in folder.iterdir()) == [".json", *[".safetensors"] * 2]
    files = sorted(folder.glob("*.safetensors"))
    shapes = []
    for file in files:
        with safe_open(file, framework="pt") as content:
            shapes.append(content.get_tensor("network.0.weight").shape[0])
    assert sorted(shapes) == [2, 3]


def test_before_the_first_step_there_are_no_moments(act):
    act("save")
    assert act("load", "state")["state"]["0.weight"] == {}


def test_a_new_one_takes_the_place_of_the_old(act, path):
    act("save", "step", "save")
    (folder,) = folders(path)
    assert json.loads(path.read_text())["folder"] == folder.name
    assert {each.name for each in path.parent.iterdir()} == {path.name, folder.name}


def test_a_kill_before_the_swap_leaves_the_old_one_whole(fork_together, act, path):
    before = act("save", "state")["state"]
    first, second = fork_together(ACT, [[path, "step", "die at the swap", "save"]])[0]
    assert (first.code, second.code) == (-9, 1) or "is gone" in second.out + second.error
    assert len(folders(path)) == 2
    assert act("load", "state")["state"] == before
    assert len(folders(path)) == 1


def test_a_full_disk_leaves_the_old_one_whole(act, path):
    before = act("save", "state")["state"]
    kind, what, got = act("step", "no room", "save")["error"]
    assert (kind, what) == (
        "OutputError",
        "the checkpoint cannot be written; the one before is whole",
    )
    assert got.startswith("process 1: ")
    assert act("load", "state")["state"] == before


@pytest.fixture
def kept(path):
    """A checkpoint of a single process, the networks in it, and how to load it."""
    network, averaged = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3, 1, 1)).sum().backward()
    optimizer.step()
    save_sharded(path, ALONE, network, averaged, optimizer, {"step": 3})
    return network, averaged, optimizer


def test_broken_ones_are_told(kept, path):
    (folder,) = folders(path)
    (file,) = folder.glob("*.safetensors")
    content, pointer = file.read_bytes(), path.read_text()
    for harm, told in (
        (lambda: file.write_bytes(content[:-1]), "cut short: shard"),
        (file.unlink, "missing or cut short"),
        (lambda: file.write_bytes(b"x" * len(content)), ""),
        (lambda: path.write_text("{"), ""),
        (lambda: path.write_text("[]"), ""),
        (lambda: path.write_text(pointer.replace(folder.name, "../other")), "no folder"),
        (path.unlink, "No such file"),
    ):
        harm()
        with pytest.raises(WeightsError) as caught:
            load_sharded(path, ALONE, *kept)
        assert told in caught.value.got
        file.write_bytes(content)
        path.write_text(pointer)
    assert load_sharded(path, ALONE, *kept) == {"step": 3}


def test_another_network_is_refused(kept, path):
    other = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(WeightsError, match="does not belong") as caught:
        load_sharded(path, ALONE, other, kept[1], torch.optim.AdamW(other.parameters()))
    assert "network.0.bias" in caught.value.got
    wider = nn.Conv2d(3, 4, 1)
    with pytest.raises(WeightsError):
        load_sharded(path, ALONE, wider, kept[1], torch.optim.AdamW(wider.parameters()))


def test_discarding_leaves_other_folders(kept, path):
    (path.parent / "checkpoint-mine").mkdir()
    discard_sharded(path)
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint-mine"]
