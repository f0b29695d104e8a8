"""Two processes train to what one process with the whole batch trains to."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from pixelwise.models.build import build
from pixelwise.training.distributed import World
from pixelwise.training.parallel import clip_gradients, full_state, shard, whole, wrap

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

# Both processes train on a half of the batch, in `parts` parts; the first one also trains alone on
# the same parts put together. `kind` says what is odd about the network.
TRAIN = """
import contextlib, copy, json, sys
import torch
from torch import nn
from pixelwise.models.build import build
from pixelwise.training.distributed import gather_values, join_world, sum_over
from pixelwise.training.parallel import *

strategy, parts, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def make(seed):
    torch.manual_seed(seed)
    network = build("segformer", classes=3, encoder="mit_b0").train()
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        if type(module).__name__ == "StochasticDepth":
            module.rate = 0.0
    if kind == "unused":
        network.encoder.left_over = nn.Linear(3, 3)
    if kind == "frozen":
        network.decoder.norm.eval()
        network.encoder.stages[0].requires_grad_(False)
    return network

def train(network, forward, batch, size, context):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    told = []
    for _ in range(2):
        optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for number, part in enumerate(batch, start=1):
            with context(number == len(batch)):
                (logits,) = forward(part)
                loss = (logits.square() + logits).sum() / 3000
                (loss * size).backward()
            total += loss.detach()
        told += [total, clip_gradients(network, 1.0)]
        optimizer.step()
    return told

with join_world("cpu", patience=60) as world:
    images = torch.randn(4, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    cut = images.view(2, parts, 2 // parts, 3, 32, 64)
    network = make(world.rank)
    averaged = copy.deepcopy(network).eval()
    wrapped = wrap(network, world, strategy)
    shard(averaged, world, strategy)
    kept = network.decoder.norm.training
    held = sum(local(parameter).numel() for parameter in network.parameters())
    def part(last):
        return wrapped.part(last=last)

    told = train(network, wrapped, cut[world.rank], world.size, part)
    told = [float(sum_over(world, told[0])), told[1], float(sum_over(world, told[2])), told[3]]
    with torch.no_grad():
        for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
            local(old).lerp_(local(new), 0.5)
    with whole(averaged), torch.inference_mode():
        for _ in range(1 + 2 * world.rank):
            scored = averaged(images[:1])
    train(network, wrapped, cut[world.rank], world.size, part)
    state, mean = full_state(network), full_state(averaged)
    helds = gather_values(world, held)
    if world.is_first:
        alone = make(0)
        start = copy.deepcopy(alone)
        nothing = lambda last: contextlib.nullcontext()
        together = cut.transpose(0, 1).reshape(parts, 4 // parts, 3, 32, 64)
        wanted = train(alone, alone.all_logits, together, 1, nothing)
        half = copy.deepcopy(start).eval()
        with torch.no_grad():
            for old, new in zip(half.parameters(), alone.parameters(), strict=True):
                old.lerp_(new, 0.5)
            wanted_scores = half(images[:1])
        train(alone, alone.all_logits, together, 1, nothing)

        def apart(got, wanted):
            return max(
                float((got[name] - value).abs().max() / value.abs().max().clamp(min=0.01))
                for name, value in wanted.items()
            )

        print(json.dumps({
            "told": told,
            "wanted": [float(value) for value in wanted],
            "weights": apart(state, alone.state_dict()),
            "moved": apart(start.state_dict(), alone.state_dict()),
            "averaged": apart(mean, half.state_dict()),
            "scores": float((scored - wanted_scores).abs().max()),
            "held": [part / sum(p.numel() for p in alone.parameters()) for part in helds],
            "norm trains": kept,
        }))
"""
CASES = [("ddp", 2, "unused"), ("ddp", 1, "frozen"), ("fsdp", 2, "frozen")]


@pytest.fixture(scope="module")
def results(fork_together):
    return dict(zip(CASES, fork_together(TRAIN, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_equals_that_of_one_process(results, case):
    group = results[case]
    assert [each.code for each in group] == [0, 0], group[0].error
    result = json.loads(group[0].out)
    assert result["told"] == pytest.approx(result["wanted"], rel=1e-5)
    assert result["weights"] < 1e-4
    assert result["averaged"] < 1e-4
    assert result["scores"] < 1e-4
    assert result["moved"] > 100 * result["weights"]
    assert result["norm trains"] == (case[2] != "frozen")
    assert result["held"] == ([1, 1] if case[0] == "ddp" else pytest.approx([0.5, 0.5], abs=0.01))
    assert [each.error for each in group] == ["", ""]


def test_one_process_needs_nothing():
    network = build("segformer", classes=3, encoder="mit_b0")
    world = World(0, 1, 0, torch.device("cpu"), "none")
    before = [type(module) for module in network.modules()]
    for strategy in ("ddp", "fsdp"):
        wrapped = wrap(network, world, strategy)
        shard(network, world, strategy)
    assert [type(module) for module in network.modules()] == before
    image = torch.randn(1, 3, 32, 32)
    with wrapped.part(last=False), whole(network):
        (logits,) = wrapped(image)
    logits.sum().backward()
    norm = torch.cat([part.grad.flatten() for part in network.parameters()]).norm()
    assert clip_gradients(network, 0.1) == pytest.approx(float(norm), rel=1e-4)
    clipped = torch.cat([part.grad.flatten() for part in network.parameters()]).norm()
    assert float(clipped) == pytest.approx(0.1, rel=1e-4)
    assert full_state(network).keys() == network.state_dict().keys()
