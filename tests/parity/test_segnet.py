"""SegNet has no implementation among the peers: its parts are compared, and put together anew."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from pixelwise.models.segnet import SegNet, SegNetConfig, SegNetEncoder, max_pool, max_unpool

CLASSES = 7
NAMES = ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 9), (24, 33)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("ties", [True, False])
@torch.inference_mode()
def test_pooling_and_back_is_that_of_torch(size, memory_format, ties):
    features = torch.randn(2, 4, *size)
    features = features.round().relu() if ties else features
    features = features.contiguous(memory_format=memory_format)
    expected, indices = functional.max_pool2d(features, 2, ceil_mode=True, return_indices=True)
    pooled, taken = max_pool(features)
    assert torch.equal(pooled, expected)
    values = torch.randn(expected.shape)
    expected = functional.max_unpool2d(values, indices, 2, output_size=size)
    assert torch.equal(max_unpool(values, taken, size), expected)


@pytest.mark.parametrize("name", NAMES)
def test_encoders_know_the_keys_and_shapes_of_timm(name):
    with torch.device("meta"):
        encoder, peer = SegNetEncoder(name), timm.create_model(name)
    ours = {encoder.classification_key(k): v.shape for k, v in encoder.state_dict().items()}
    theirs = {k: v.shape for k, v in peer.state_dict().items() if k.startswith("features.")}
    assert ours == theirs


@pytest.mark.parametrize("size", [(64, 96), (45, 61)])
@torch.inference_mode()
def test_encoder_maps_are_those_of_timm(size, randomised, assert_same):
    with torch.device("meta"):
        peer = timm.create_model("vgg16_bn")
    # The classifier of half a gigabyte stays without memory.
    layers = peer.features.to_empty(device="cpu")
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)
    weights = {f"features.{key}": value for key, value in randomised(layers).state_dict().items()}
    encoder = SegNetEncoder("vgg16_bn").eval()
    encoder.load_classification(weights, where="timm")
    features = picture = torch.randn(2, 3, *size)
    expected = []
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
        features = layer(features)
        if isinstance(layer, nn.MaxPool2d):
            expected.append(features)
    for ours, theirs in zip(encoder(picture), expected, strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("size", [(64, 96), (45, 61)])
@torch.inference_mode()
def test_scores_are_those_of_torch_with_indices(size, randomised):
    network = randomised(SegNet(SegNetConfig(classes=CLASSES, encoder="vgg13_bn")))
    picture = torch.randn(2, 3, *size)
    features, poolings = picture, []
    for stage in network.encoder.stages:
        whole = stage(features)
        features, indices = functional.max_pool2d(whole, 2, ceil_mode=True, return_indices=True)
        poolings.append((indices, whole.shape[-2:]))
    for stage, (indices, whole_size) in zip(network.decoder, reversed(poolings), strict=True):
        features = stage(functional.max_unpool2d(features, indices, 2, output_size=whole_size))
    assert torch.equal(network(picture), network.head(features))
