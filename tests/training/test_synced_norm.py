"""Two processes normalise their parts of a batch as one process the whole."""

from __future__ import annotations

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from pixelwise.errors import UsageError
from pixelwise.models.layers import BatchNorm
from pixelwise.training.synced_norm import SyncedBatchNorm, sync_batch_norm

# Of a batch of `whole`, the first process has the first `first`. Each compares with a norm of its
# own that sees the whole batch, and the largest differences of both are printed.
COMPARE = """
import copy, json
import torch
from torch import nn
from timm.layers.norm_act import BatchNormAct2d
from pixelwise.models.layers import BatchNorm
from pixelwise.training.distributed import gather_values, join_world, sum_over
from pixelwise.training.synced_norm import sync_batch_norm

def difference(got, wanted):
    if not wanted.numel():
        return 0.0
    scale = wanted.double().abs().max().clamp(min=1e-6)
    return float((got.double() - wanted.double()).abs().max() / scale)

def compare(world, norm, whole, first, layout=torch.contiguous_format):
    whole = whole.contiguous(memory_format=layout) if whole.ndim == 4 else whole
    net = nn.Sequential(copy.deepcopy(norm))
    with torch.no_grad():
        for values in (net[0].weight, net[0].bias, net[0].running_mean, net[0].running_var):
            values.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(3))
    reference = copy.deepcopy(net)
    if not local:
        sync_batch_norm(net, torch.device("cpu"))
    own = slice(0, first) if world.is_first else slice(first, None)
    slope = torch.randn(whole.shape, generator=torch.Generator().manual_seed(4))
    results = []
    for _ in range(2):
        x, y = whole[own].clone().requires_grad_(), whole.clone().requires_grad_()
        out, wanted = net(x), reference(y)
        out.backward(slope[own].to(out.dtype))
        wanted.backward(slope.to(wanted.dtype))
        results += [difference(out, wanted[own]), difference(x.grad, y.grad[own])]
    for name, tensor in net.named_parameters():
        wanted = dict(reference.named_parameters())[name]
        results.append(difference(sum_over(world, tensor.grad), wanted.grad))
    for name, tensor in net.named_buffers():
        results.append(difference(tensor, dict(reference.named_buffers())[name]))
    return max(max(part) for part in gather_values(world, results))

local = False
with join_world("cpu", patience=60) as world:
    draw = torch.Generator().manual_seed(2)
    batch = torch.randn(4, 6, 5, 7, generator=draw) * 3 + 100
    norm = nn.BatchNorm2d(6)
    found = {
        "equal parts": compare(world, norm, batch, 2),
        "unequal parts": compare(world, norm, batch, 3),
        "an empty part": compare(world, norm, batch, 4),
        "channels_last": compare(world, norm, batch, 2, torch.channels_last),
        "cumulative": compare(world, nn.BatchNorm2d(6, momentum=None), batch, 1),
        "own norm": compare(world, BatchNorm(6, eps=1e-3), batch, 3),
        "with activation": compare(world, BatchNormAct2d(6), batch, 3),
        "vectors": compare(world, nn.BatchNorm1d(6), batch[:, :, 0, 0], 3),
        "one value each": compare(world, norm, batch[:2, :, :1, :1], 1),
        "one value": compare(world, BatchNorm(6), batch[:1, :, :1, :1], 1),
        "bfloat16": compare(world, norm, batch.bfloat16() - 100, 3),
    }
    local = True
    found["each by itself"] = compare(world, norm, batch, 3)
    if world.is_first:
        print(json.dumps(found), flush=True)
"""
# The gradient of two values per channel is all but zero: a difference of rounded numbers.
LIMITS = {"bfloat16": 0.02, "one value each": 1e-2}


@pytest.fixture(scope="module")
def differences(run_together):
    return run_together(COMPARE)


def test_outputs_gradients_and_statistics_are_those_of_the_whole_batch(differences):
    wrong = {
        name: value
        for name, value in differences.items()
        if name != "each by itself" and not value <= LIMITS.get(name, 3e-5)
    }
    assert len(differences) == 12
    assert wrong == {}


def test_the_comparison_sees_norms_that_share_nothing(differences):
    assert differences["each by itself"] > 0.1


@pytest.fixture
def network():
    torch.manual_seed(0)
    shared = nn.BatchNorm2d(4)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        shared,
        nn.Sequential(BatchNormAct2d(4), nn.Conv2d(4, 4, 1), shared),
        BatchNorm(4),
    )


def test_tensors_and_their_names_stay_the_same(network):
    before = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    sync_batch_norm(network, torch.device("cpu"))
    after = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    assert list(after.items()) == list(before.items())
    assert isinstance(network[1], SyncedBatchNorm)
    assert network[1] is network[2][2]


def test_a_frozen_norm_shares_nothing(network):
    """There is no other process here: sharing would be an error."""
    network.eval()
    image = torch.randn(2, 3, 8, 8)
    before = network(image)
    sync_batch_norm(network, torch.device("cpu"))
    norms = [module for module in network.modules() if isinstance(module, SyncedBatchNorm)]
    assert [norm.training for norm in norms] == [False] * 3
    assert torch.equal(network(image), before)


class OwnNorm(nn.BatchNorm2d):
    pass


@pytest.mark.parametrize(
    "norm", [OwnNorm(4), nn.BatchNorm2d(4, affine=False), nn.BatchNorm3d(4)], ids=str
)
def test_norms_that_cannot_be_shared_are_refused(norm):
    with pytest.raises(UsageError) as caught:
        sync_batch_norm(nn.Sequential(nn.BatchNorm2d(4), norm), torch.device("cpu"))
    assert f"1: {type(norm).__name__}" in caught.value.got
