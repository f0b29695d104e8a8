from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import pixelwise.models.fcn
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.fcn import FCN, FCNConfig, LearntInterpolation
from pixelwise.models.layers import resize

CLASSES = 5
ENCODER = "test_resnet"
HIDDEN_SHAPES = {
    "pre_logits.fc1.weight": (6, 512, 7, 7),
    "pre_logits.fc1.bias": (6,),
    "pre_logits.fc2.weight": (6, 6, 1, 1),
    "pre_logits.fc2.bias": (6,),
}


def make(**options):
    return FCN(FCNConfig(**{"classes": CLASSES, "encoder": ENCODER, **options}))


@pytest.fixture(scope="module")
def small_vgg():
    """A VGG with 6 channels in the place of the 4096 of its hidden layers."""
    return make(encoder="vgg11", hidden_channels=6).eval()


@pytest.fixture
def vgg(small_vgg, monkeypatch):
    """The same, where 6 is the number that classification weights have."""
    monkeypatch.setattr(pixelwise.models.fcn, "_VGG_HIDDEN_CHANNELS", 6)
    return small_vgg


def weights_of(network):
    """A file of classification weights for a VGG of 6 hidden channels, drawn anew."""
    encoder = {
        network.encoder.classification_key(key).replace("_", "."): torch.rand_like(value)
        for key, value in network.encoder.state_dict().items()
    }
    return encoder | {key: torch.rand(shape) for key, shape in HIDDEN_SHAPES.items()}


def awaken(network):
    """Opens the residual branches, which timm's ResNets start without."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network.eval()


def test_public_names_are_sorted():
    assert pixelwise.models.fcn.__all__ == ["FCN", "FCNConfig"]


@pytest.mark.parametrize(("stride", "size"), [(32, (3, 4)), (16, (5, 7)), (8, (9, 13))])
@torch.inference_mode()
def test_scores_stand_at_the_finest_stride(stride, size):
    network = make(finest_stride=stride).eval()
    assert network(torch.randn(1, 3, 65, 97)).shape == (1, CLASSES, *size)
    assert network.output_stride == stride


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@torch.inference_mode()
def test_scores_of_all_levels_are_added_as_in_the_figure(upsampling):
    network = awaken(make(upsampling=upsampling))
    for size in ((64, 96), (32, 160)):
        picture = torch.randn(1, 3, *size)
        *_, eighth, sixteenth, last = network.encoder(picture)
        expected = network.head(last)
        for head, skip in zip(network.skip_heads, (sixteenth, eighth), strict=True):
            expected = resize(expected, skip.shape[-2:]) + head(skip)
        torch.testing.assert_close(network(picture), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 5)])
@torch.inference_mode()
def test_a_learnt_step_starts_as_bilinear_interpolation(size):
    scores = torch.randn(2, CLASSES, *size)
    doubled = [2 * side for side in size]
    step = LearntInterpolation(CLASSES)
    expected = resize(scores, doubled)
    torch.testing.assert_close(step(scores, doubled), expected)
    cut = step(scores, [side - 1 for side in doubled])
    torch.testing.assert_close(cut, expected[:, :, :-1, :-1])


@pytest.mark.parametrize(
    ("upsampling", "parameters"),
    [
        ("transposed", 2 * 16 * CLASSES**2),
        ("bilinear", 0),
        ("pixel_shuffle", 2 * 4 * (CLASSES**2 + CLASSES)),
    ],
)
def test_every_way_of_upsampling_has_weights_of_its_own(upsampling, parameters):
    network = make(upsampling=upsampling)
    assert sum(parameter.numel() for parameter in network.steps.parameters()) == parameters
    scores = network(torch.randn(2, 3, 65, 97))
    assert scores.shape == (2, CLASSES, 9, 13)
    scores.square().mean().backward()
    assert all(parameter.grad.any() for parameter in network.steps.parameters())


def test_parameters_are_those_of_the_paper():
    with torch.device("meta"):
        network = FCN(FCNConfig(classes=21, finest_stride=32))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6) == 134
    assert network.hidden[0].weight.shape == (4096, 512, 7, 7)
    assert network.hidden[3].weight.shape == (4096, 4096, 1, 1)


def test_hidden_layers_come_with_vgg_or_on_demand():
    assert not list(make().hidden.parameters())
    assert make(hidden_channels=12).head.in_channels == 12


@torch.inference_mode()
def test_vgg_is_scored_behind_its_poolings(small_vgg):
    network, seen = copy.deepcopy(small_vgg), []
    for head in network.skip_heads:
        head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    for size in ((64, 96), (33, 65), (5, 9)):
        seen.clear()
        picture = torch.randn(1, 3, *size)
        maps = dict(zip(network.encoder.strides, network.encoder(picture), strict=True))
        network(picture)
        for features, stride in zip(seen, (8, 4), strict=True):
            expected = functional.max_pool2d(maps[stride], 2, ceil_mode=True)
            assert torch.equal(features, expected)


def test_dropout_acts_in_training_only():
    network = make(hidden_channels=16)
    picture = torch.randn(1, 3, 64, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(picture), network(picture))
    network.eval()
    assert torch.equal(network(picture), network(picture))


def test_an_encoder_without_the_coarsest_stride_is_refused():
    with pytest.raises(UsageError, match="stride 32"):
        make(encoder="plain")


def test_every_fault_of_the_choices_is_listed():
    with pytest.raises(UsageError) as caught:
        FCNConfig(classes=0, hidden_channels=0, dropout=1.0)
    for name in ("classes=0", "hidden_channels=0", "dropout=1.0"):
        assert name in caught.value.got
    with pytest.raises(UsageError) as caught:
        FCNConfig(classes=2, finest_stride=4, upsampling="nearest")
    for name in ("finest_stride=4", "upsampling='nearest'"):
        assert name in caught.value.got


def test_classification_weights_fill_the_hidden_layers(vgg):
    weights = weights_of(vgg)
    vgg.load_classification(weights, where="here")
    for own, name in (("0", "pre_logits.fc1"), ("3", "pre_logits.fc2")):
        for part in ("weight", "bias"):
            assert torch.equal(vgg.hidden.state_dict()[f"{own}.{part}"], weights[f"{name}.{part}"])
    assert torch.equal(
        vgg.encoder.body.state_dict()["features_0.weight"], weights["features.0.weight"]
    )


def test_hidden_layers_of_another_size_are_left_alone(small_vgg):
    before = small_vgg.hidden[0].weight.clone()
    small_vgg.load_classification(weights_of(small_vgg), where="here")
    assert torch.equal(small_vgg.hidden[0].weight, before)


def test_matrices_fill_the_hidden_layers_too(vgg):
    weights = weights_of(vgg)
    for name, own in (("pre_logits.fc1", "classifier.0"), ("pre_logits.fc2", "classifier.3")):
        weights[f"{own}.bias"] = weights.pop(f"{name}.bias")
        weights[f"{own}.weight"] = weights.pop(f"{name}.weight").flatten(1)
    vgg.load_classification(weights, where="here")
    assert torch.equal(vgg.hidden[0].weight.flatten(1), weights["classifier.0.weight"])
    assert torch.equal(vgg.hidden[3].weight.flatten(1), weights["classifier.3.weight"])


@pytest.mark.parametrize("key", ["pre_logits.fc1.weight", "pre_logits.fc2.bias", "features.0.bias"])
@pytest.mark.parametrize("fault", ["missing", "other shape"])
def test_weights_that_do_not_fit_are_refused_whole(vgg, key, fault):
    before = {name: value.clone() for name, value in vgg.state_dict().items()}
    weights = weights_of(vgg)
    shape = weights.pop(key).shape
    if fault == "other shape":
        weights[key] = torch.rand(shape[0] + 1, *shape[1:])
    with pytest.raises(WeightsError) as caught:
        vgg.load_classification(weights, where="here")
    assert fault in caught.value.got
    assert key.rpartition(".")[2] in caught.value.got
    assert all(torch.equal(value, before[name]) for name, value in vgg.state_dict().items())
