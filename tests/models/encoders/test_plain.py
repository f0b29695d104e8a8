from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import pixelwise.models.encoders.plain
from pixelwise.export.onnx import to_onnx
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.encoders.plain import PlainEncoder
from pixelwise.models.unet import UNet, UNetConfig


class Narrow(PlainEncoder):
    channels = (4, 6, 8, 10, 12)


class Deepest(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Narrow()

    def forward(self, image):
        return self.encoder(image)[-1]


def test_public_names_are_sorted():
    assert pixelwise.models.encoders.plain.__all__ == ["PlainEncoder"]


def test_it_is_asked_for_by_name():
    encoder = make_encoder("plain", in_channels=5)
    assert isinstance(encoder, PlainEncoder)
    assert encoder.name == "plain"
    assert encoder.levels[0][0][0].weight.shape == (64, 5, 3, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (33, 65), (47, 61), (64, 96)])
@torch.inference_mode()
def test_maps_have_the_channels_and_strides_that_are_told(height, width):
    encoder = Narrow().eval()
    maps = encoder(torch.randn(2, 3, height, width))
    assert encoder.strides == (1, 2, 4, 8, 16)
    for features, channels, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        assert features.shape == (2, channels, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize(("height", "width"), [(1, 5), (33, 47), (32, 48)])
@torch.inference_mode()
def test_each_level_pools_the_one_before_and_half_windows_count(height, width):
    encoder = Narrow().eval()
    picture = torch.randn(1, 3, height, width)
    maps = encoder(picture)
    assert torch.equal(maps[0], encoder.levels[0](picture))
    for before, features, level in zip(maps, maps[1:], encoder.levels[1:], strict=False):
        pooled = functional.max_pool2d(before, 2, ceil_mode=True)
        torch.testing.assert_close(features, level(pooled))


def test_u_net_on_it_is_that_of_the_figure():
    with torch.device("meta"):
        network = UNet(UNetConfig(classes=2))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert round(parameters / 1e6, 1) == 31.0
    assert network.output_stride == 1


@pytest.fixture(scope="module")
def exported():
    torch.manual_seed(1)
    network = Deepest().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.running_var, 0.1)
    return network, to_onnx(network, (64, 96))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_halve_even_a_single_line(engine, exported, make_runner):
    network, content = exported
    runner = make_runner(content, engine, classes=12)
    for size in ((1, 1), (3, 70), (47, 61)):
        picture = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected = network(picture)
        answer = torch.from_numpy(runner.run(picture.numpy()))
        scale = float(expected.abs().max())
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 * scale)
