from __future__ import annotations

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import pixelwise.models.encoders.mobilenet_v3
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.encoders.base import adapt_bands
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.encoders.mobilenet_v3 import InvertedResidual, MobileNetV3Large
from pixelwise.models.unet import UNet, UNetConfig

NAME = "mobilenet_v3_large"


def classifier_of_torchvision(*, dilated=False):
    """torchvision's network in evaluation mode, with values that differ from place to place."""
    network = torchvision.models.mobilenet_v3_large(weights=None, dilated=dilated, num_classes=7)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def test_public_names_are_sorted():
    assert pixelwise.models.encoders.mobilenet_v3.__all__ == ["MobileNetV3Large"]


@pytest.mark.parametrize(
    ("atrous", "strides", "channels"),
    [
        (False, (2, 4, 8, 16, 32), (16, 24, 40, 112, 960)),
        (True, (2, 4, 8, 16), (16, 24, 40, 960)),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(65, 97), (64, 33), (1, 1)])
@torch.inference_mode()
def test_maps_have_the_channels_and_strides_that_are_told(atrous, strides, channels, height, width):
    encoder = MobileNetV3Large(atrous=atrous).eval()
    assert (encoder.strides, encoder.channels) == (strides, channels)
    maps = encoder(torch.randn(1, 3, height, width))
    assert [features.shape for features in maps] == [
        (1, depth, -(-height // stride), -(-width // stride))
        for depth, stride in zip(channels, strides, strict=True)
    ]


@pytest.mark.parametrize("atrous", [False, True])
@pytest.mark.parametrize("size", [(65, 97), (64, 128)])
@torch.inference_mode()
def test_maps_are_those_of_torchvision(atrous, size):
    peer = classifier_of_torchvision(dilated=atrous)
    encoder = MobileNetV3Large(atrous=atrous).eval()
    encoder.load_classification(peer.state_dict(), where="torchvision")
    picture = torch.randn(2, 3, *size)
    expected, features = [], picture
    for layer in peer.features:
        features = layer(features)
        expected.append(features)
    taken = (1, 3, 4, 16) if atrous else (1, 3, 4, 12, 16)
    for ours, index in zip(encoder(picture), taken, strict=True):
        scale = float(expected[index].abs().max())
        torch.testing.assert_close(ours, expected[index], rtol=0, atol=1e-5 * scale)


def test_the_last_three_blocks_are_dilated():
    *others, third, second, first = (
        convolution
        for block in MobileNetV3Large(atrous=True).modules()
        if isinstance(block, InvertedResidual)
        for convolution in block.modules()
        if isinstance(convolution, nn.Conv2d) and convolution.groups > 1
    )
    for convolution in (third, second, first):
        assert convolution.kernel_size == (5, 5)
        assert (convolution.stride, convolution.dilation) == ((1, 1), (2, 2))
    assert {convolution.dilation for convolution in others} == {(1, 1)}


def test_normalisation_is_that_of_the_published_weights():
    norms = [m for m in MobileNetV3Large().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.001, 0.01)}


@torch.inference_mode()
def test_a_new_encoder_tells_places_apart():
    # Weights drawn too small would leave nothing of the picture after twenty blocks.
    deepest = MobileNetV3Large().eval()(torch.randn(1, 3, 128, 128))[-1]
    assert deepest.std(dim=(2, 3)).mean() > 1e-3


@pytest.mark.parametrize("atrous", [False, True])
def test_both_forms_have_the_same_weights(atrous):
    shapes = {
        key: value.shape for key, value in MobileNetV3Large(atrous=atrous).state_dict().items()
    }
    features = classifier_of_torchvision().features.state_dict()
    assert shapes == {f"features.{key}": value.shape for key, value in features.items()}


def test_a_file_of_torchvision_is_read_and_fitted_to_the_bands(tmp_path):
    stored = classifier_of_torchvision().state_dict()
    save_file(stored, tmp_path / "weights.safetensors")
    encoder = MobileNetV3Large(in_channels=5)
    encoder.load_pretrained(tmp_path / "weights.safetensors")
    for key, value in encoder.state_dict().items():
        expected = stored[key]
        if key == "features.0.0.weight":
            expected = adapt_bands(expected, 5)
        assert torch.equal(value, expected)


def test_other_weights_are_refused_whole_and_torchvision_is_named():
    encoder = MobileNetV3Large()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    stored = classifier_of_torchvision().state_dict()
    del stored["features.4.block.2.fc1.weight"]
    with pytest.raises(WeightsError) as caught:
        encoder.load_classification(stored, where="some.file")
    assert caught.value.where == "some.file"
    assert "features.4.block.2.fc1.weight" in caught.value.got
    assert "torchvision" in caught.value.fix
    assert "timm" not in caught.value.fix
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("output_stride", [16, 32])
def test_it_is_made_by_name(output_stride):
    encoder = make_encoder(NAME, in_channels=4, output_stride=output_stride)
    assert isinstance(encoder, MobileNetV3Large)
    assert encoder.name == NAME
    assert encoder.strides[-1] == output_stride
    assert encoder.features[0][0].in_channels == 4


def test_a_stride_it_cannot_do_is_refused():
    with pytest.raises(UsageError, match="output stride 8") as caught:
        make_encoder(NAME, output_stride=8)
    assert "16 and 32" in caught.value.got


@torch.inference_mode()
def test_an_ordinary_decoder_works_on_it():
    network = UNet(UNetConfig(classes=2, encoder=NAME, decoder_channels=(32, 16, 16, 8, 8)))
    assert network.eval()(torch.randn(1, 3, 47, 61)).shape == (1, 2, 47, 61)
