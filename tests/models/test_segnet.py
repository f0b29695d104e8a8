from __future__ import annotations

import pytest
import torch
from torch import nn

import pixelwise.models.segnet
from pixelwise.errors import UsageError, WeightsError
from pixelwise.export.onnx import to_onnx
from pixelwise.models.segnet import SegNet, SegNetConfig, SegNetEncoder, max_pool, max_unpool

CLASSES = 5


class PoolAndBack(nn.Module):
    """Other values than the maxima return, so that it shows where they go."""

    def forward(self, image):
        pooled, taken = max_pool(image.relu())
        return max_unpool(pooled + 1, taken, image.shape[-2:])


def widths(modules):
    return [
        (module.in_channels, module.out_channels)
        for module in modules.modules()
        if isinstance(module, nn.Conv2d)
    ]


def test_public_names_are_sorted():
    assert pixelwise.models.segnet.__all__ == [
        "SegNet",
        "SegNetConfig",
        "SegNetEncoder",
        "max_pool",
        "max_unpool",
    ]


def test_parameters_are_those_of_the_paper():
    with torch.device("meta"):
        network = SegNet(SegNetConfig(classes=11))
    parameters = [
        sum(parameter.numel() for parameter in part.parameters())
        for part in (network, network.encoder)
    ]
    assert [round(number / 1e6, 1) for number in parameters] == [29.4, 14.7]


@pytest.mark.parametrize(
    ("encoder", "layers"), [("vgg11_bn", 8), ("vgg13_bn", 10), ("vgg16_bn", 13), ("vgg19_bn", 16)]
)
def test_the_decoder_mirrors_the_encoder(encoder, layers):
    with torch.device("meta"):
        network = SegNet(SegNetConfig(classes=CLASSES, encoder=encoder))
    down = widths(network.encoder)
    up = widths(network.decoder) + widths(network.head)
    assert len(down) == layers
    assert up == [(wide, narrow) for narrow, wide in down[:0:-1]] + [(64, CLASSES)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47)])
@torch.inference_mode()
def test_encoder_maps_have_the_channels_and_strides_that_are_told(height, width):
    encoder = SegNetEncoder("vgg11_bn").eval()
    maps = encoder(torch.randn(1, 3, height, width))
    for features, channels, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        assert features.shape == (1, channels, -(-height // stride), -(-width // stride))


@torch.inference_mode()
def test_a_window_gives_its_maximum_and_the_place():
    features = torch.tensor([[[[1.0, 2.0, 0.0], [4.0, 3.0, 5.0], [-7.0, -6.0, -5.0]]]])
    pooled, taken = max_pool(features)
    assert pooled.tolist() == [[[[4, 5], [-6, -5]]]]
    back = max_unpool(torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]]), taken, (3, 3))
    assert back.tolist() == [[[[0, 0, 0], [10, 0, 20], [0, 30, 40]]]]


@torch.inference_mode()
def test_of_equal_values_the_first_counts():
    for window, place in (
        ([[0.0, 0.0], [0.0, 0.0]], 0),
        ([[0.0, 1.0], [1.0, 1.0]], 1),
        ([[0.0, 0.0], [1.0, 1.0]], 2),
        ([[1.0, 0.0], [1.0, 0.0]], 0),
    ):
        _, taken = max_pool(torch.tensor([[window]]))
        assert taken.flatten().nonzero().flatten().tolist() == [place]


def test_the_gradient_goes_to_the_value_taken():
    features = torch.ones(1, 1, 3, 3, requires_grad=True)
    pooled, _ = max_pool(features)
    pooled.sum().backward()
    assert features.grad.tolist() == [[[[1, 0, 1], [0, 0, 0], [1, 0, 1]]]]


@torch.inference_mode()
def test_the_decoder_fills_the_places_that_the_encoder_took():
    network = SegNet(SegNetConfig(classes=CLASSES, encoder="vgg11_bn")).eval()
    given = []
    for stage in network.decoder:
        stage.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    picture = torch.randn(1, 3, 45, 61)
    network(picture)
    for features, pooled in zip(given, reversed(network.encoder.pooled(picture)), strict=True):
        height, width = pooled.size
        assert features.shape[-2:] == (height, width)
        assert not features[~pooled.taken[:, :, :height, :width]].any()
        assert features.any()


def weights_of(encoder):
    return {
        encoder.classification_key(key): torch.rand_like(value)
        if value.is_floating_point()
        else value.clone()
        for key, value in encoder.state_dict().items()
    }


def test_classification_weights_are_read_and_fitted_to_the_bands():
    weights = weights_of(SegNetEncoder("vgg11_bn")) | {"head.fc.weight": torch.rand(10, 4)}
    network = SegNet(SegNetConfig(classes=CLASSES, encoder="vgg11_bn", in_channels=1))
    network.load_classification(weights, where="here")
    stages = network.encoder.stages
    torch.testing.assert_close(
        stages[0][0][0].weight, weights["features.0.weight"].sum(1, keepdim=True)
    )
    # Two layers of three parts and a pooling, then the third stage's second layer.
    assert torch.equal(stages[2][1][0].weight, weights["features.11.weight"])
    assert torch.equal(stages[2][1][1].running_var, weights["features.12.running_var"])


def test_weights_of_another_vgg_are_refused_whole():
    encoder = SegNetEncoder("vgg13_bn")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(WeightsError, match="vgg13_bn") as caught:
        encoder.load_classification(weights_of(SegNetEncoder("vgg11_bn")), where="here")
    assert "features.3.weight" in caught.value.got
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_every_fault_of_the_choices_is_listed():
    with pytest.raises(UsageError) as caught:
        SegNetConfig(classes=0, encoder="vgg16")
    assert "classes=0" in caught.value.got
    assert "encoder='vgg16'" in caught.value.got
    assert "'vgg16_bn'" in caught.value.got


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_take_the_first_of_equal_values_too(engine, make_runner):
    network = PoolAndBack()
    runner = make_runner(to_onnx(network, (8, 10)), engine, classes=3)
    for size in ((1, 1), (33, 47), (40, 25)):
        picture = torch.randint(-2, 3, (2, 3, *size)).float()
        answer = torch.from_numpy(runner.run(picture.numpy()))
        assert torch.equal(answer, network(picture))
