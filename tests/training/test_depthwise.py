"""Quick depthwise gradients: the same scores, and gradients nearer to the truth."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pixelwise.training.depthwise import quicken_depthwise

SLOW = [
    {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
    {"kernel_size": 5, "stride": 1, "padding": 2},
    {"kernel_size": 3, "padding": 4, "dilation": 4},
]


def made(**options: object) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(8, 8, groups=8, **options)  # type: ignore[arg-type]


def passed(
    layer: nn.Module, features: torch.Tensor, slope: torch.Tensor, *, bfloat16: bool = True
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Scores, and the gradients of features and parameters."""
    features = features.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        scores = layer(features)
    wanted = [features, *layer.parameters()]
    return scores, list(torch.autograd.grad(scores, wanted, slope.to(scores.dtype)))


@pytest.mark.parametrize("options", SLOW)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_scores_same_gradients_nearer(
    options: dict[str, object], layout: torch.memory_format, kind: torch.dtype
) -> None:
    plain = made(**options)
    with torch.no_grad():  # so that rounding the weights is no part of the difference
        for parameter in plain.parameters():
            parameter.copy_(parameter.bfloat16())
    quick = copy.deepcopy(plain)
    quicken_depthwise(quick)
    features = torch.randn(2, 8, 17, 12).bfloat16().to(kind).contiguous(memory_format=layout)
    slope = torch.randn_like(plain(features.float())).bfloat16()
    expected, rounded = passed(plain, features, slope)
    scores, gradients = passed(quick, features, slope)
    assert torch.equal(scores, expected)
    _, exact = passed(plain, features.float(), slope, bfloat16=False)
    assert gradients[0].dtype == kind
    for found, other, truth in zip(gradients, rounded, exact, strict=True):
        error = (found.float() - truth).abs().max()
        assert error <= (other.float() - truth).abs().max()
        assert error <= truth.abs().max() * (2**-8 if found.dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_without_gradient_or_autocast_as_before(bfloat16: bool) -> None:
    plain = made(**SLOW[0])
    quick = copy.deepcopy(plain)
    quicken_depthwise(quick)
    features = torch.randn(1, 8, 9, 9)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        assert torch.equal(quick(features), plain(features))
    assert torch.equal(quick(features), plain(features))


def test_names_stay_and_other_layers_too() -> None:
    network = nn.Sequential(
        made(**SLOW[0]),
        made(kernel_size=3, padding=1),
        nn.Conv2d(8, 8, 5, groups=4),
        nn.Conv2d(8, 8, 5),
        made(kernel_size=5, padding="same"),
        made(kernel_size=5, padding=2, padding_mode="reflect"),
        nn.Conv2d(1, 1, 5),
    )
    before = copy.deepcopy(network)
    quicken_depthwise(network)
    assert list(network.state_dict()) == list(before.state_dict())
    assert [type(layer) is nn.Conv2d for layer in network] == [False] + 6 * [True]


def test_frozen_weights_get_no_gradient() -> None:
    layer = made(**SLOW[1])
    layer.weight.requires_grad_(False)
    quicken_depthwise(layer)
    features = torch.randn(1, 8, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        layer(features).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias is not None
    assert layer.bias.grad is not None
