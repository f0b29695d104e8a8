"""A checkpoint: all of a run, or an error; never something between."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from pixelwise.errors import OutputError, WeightsError
from pixelwise.training.state import Progress, load_state, save_state

PROGRESS = Progress(
    epoch=3,
    batch=7,
    step=99,
    loss_sum=1.25e-3,
    loss_steps=7,
    best=0.1 + 0.2,
    best_epoch=2,
    without_better=1,
    accumulate=4,
    skipped=[(0, 3), (2, 1)],
    quarantined=["a b/ü.png"],
    scale=16384.0,
    log_length=1234,
    threads=2,
    ended="early stop",
)


def parts(seed=0, layout=torch.channels_last):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    averaged = copy.deepcopy(network)
    return network, averaged, optimizer


def train(network, averaged, optimizer):
    network(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    averaged.load_state_dict(network.state_dict())


def tensors(network, averaged, optimizer):
    moments = [
        value
        for _, state in sorted(optimizer.state_dict()["state"].items())
        for _, value in sorted(state.items())
    ]
    return [*network.state_dict().values(), *averaged.state_dict().values(), *moments]


def test_everything_comes_back_bit_by_bit(tmp_path):
    path = tmp_path / "c.safetensors"
    written = parts()
    train(*written)
    save_state(path, PROGRESS, *written)
    read = parts(seed=1)
    assert load_state(path, *read) == PROGRESS
    pairs = list(zip(tensors(*written), tensors(*read), strict=True))
    assert len(pairs) == 14 + 4 * 3
    for one, other in pairs:
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_order_in_memory_comes_back_too(tmp_path, layout):
    written, read = parts(layout=layout), parts(seed=1, layout=layout)
    train(*written)
    save_state(tmp_path / "c.safetensors", PROGRESS, *written)
    load_state(tmp_path / "c.safetensors", *read)
    for one, other in zip(tensors(*written), tensors(*read), strict=True):
        assert one.stride() == other.stride()


def test_a_state_before_the_first_step_comes_back(tmp_path):
    save_state(tmp_path / "c.safetensors", Progress(), *parts())
    read = parts(seed=1)
    assert load_state(tmp_path / "c.safetensors", *read) == Progress()
    assert read[2].state_dict()["state"] == {}


def test_the_file_is_plain_safetensors_with_the_progress_as_json(tmp_path):
    save_state(tmp_path / "c.safetensors", PROGRESS, *parts())
    with safe_open(tmp_path / "c.safetensors", framework="np") as file:
        told = json.loads(file.metadata()["pixelwise.progress"])
    assert told["step"] == 99
    assert told["skipped"] == [[0, 3], [2, 1]]


def of_other_size():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    return network, copy.deepcopy(network), torch.optim.AdamW(network.parameters())


@pytest.mark.parametrize("length", [0, 7, 100, 2000, -1])
def test_a_cut_file_is_an_error_that_names_it(tmp_path, length):
    path = tmp_path / "c.safetensors"
    save_state(path, PROGRESS, *parts())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="does not belong to this run") as caught:
        load_state(path, *parts())
    assert caught.value.where == str(path)


def test_a_checkpoint_of_another_network_is_an_error(tmp_path):
    path = tmp_path / "c.safetensors"
    save_state(path, PROGRESS, *parts())
    with pytest.raises(WeightsError, match="does not belong to this run"):
        load_state(path, *of_other_size())


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError):
        load_state(tmp_path / "none.safetensors", *parts())


def test_a_checkpoint_without_progress_is_an_error(tmp_path):
    save_file(parts(layout=torch.contiguous_format)[0].state_dict(), tmp_path / "c.safetensors")
    with pytest.raises(WeightsError):
        load_state(tmp_path / "c.safetensors", *parts())


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    folder = tmp_path / "c.safetensors"
    folder.mkdir()
    with pytest.raises(OutputError) as caught:
        save_state(folder, PROGRESS, *parts())
    assert caught.value.where == str(folder)
