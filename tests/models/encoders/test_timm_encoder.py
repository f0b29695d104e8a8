from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

import pixelwise.models.encoders.timm_encoder
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.encoders.base import adapt_bands
from pixelwise.models.encoders.timm_encoder import ATROUS_FAMILIES, TimmEncoder, family_of

NAME = "mobilenetv2_100"


@pytest.fixture
def encoder():
    return TimmEncoder(NAME)


def weights_of(encoder):
    """What a file holds: weights of the encoder, drawn anew, and a classifier of no use to it."""
    tensors = {
        key: torch.rand_like(value) if value.is_floating_point() else value.clone()
        for key, value in encoder.body.state_dict().items()
    }
    return tensors | {"classifier.weight": torch.rand(10, 4)}


def faults_of(encoder, tensors, path):
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        encoder.load_pretrained(path)
    assert caught.value.where == str(path)
    assert NAME in caught.value.what
    return caught.value.got


def test_public_names_are_sorted():
    names = pixelwise.models.encoders.timm_encoder.__all__
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("name", "channels"),
    [(NAME, (16, 24, 32, 96, 320)), ("resnet18", (64, 64, 128, 256, 512))],
)
@torch.inference_mode()
def test_maps_have_the_channels_and_strides_that_are_told(name, channels):
    encoder = TimmEncoder(name).eval()
    assert encoder.channels == channels
    assert encoder.strides == (2, 4, 8, 16, 32)
    maps = encoder(torch.rand(1, 3, 65, 97))
    for features, depth, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        assert features.shape == (1, depth, 64 // stride + 1, 96 // stride + 1)


@torch.inference_mode()
def test_pictures_may_have_other_bands():
    maps = TimmEncoder(NAME, in_channels=5).eval()(torch.rand(1, 5, 33, 33))
    assert maps[0].shape == (1, 16, 17, 17)


def test_weights_are_read_and_the_classifier_passed_over(encoder, tmp_path):
    tensors = weights_of(encoder)
    save_file(tensors, tmp_path / "weights.safetensors")
    encoder.load_pretrained(tmp_path / "weights.safetensors")
    for key, value in encoder.body.state_dict().items():
        assert torch.equal(value, tensors[key])


def test_half_precision_weights_are_read_as_float32(encoder, tmp_path):
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in weights_of(encoder).items()
    }
    save_file(tensors, tmp_path / "half.safetensors")
    encoder.load_pretrained(tmp_path / "half.safetensors")
    stem = encoder.body.state_dict()["conv_stem.weight"]
    assert stem.dtype == torch.float32
    assert torch.equal(stem, tensors["conv_stem.weight"].float())


def test_every_fault_is_listed_and_nothing_is_read(encoder, tmp_path):
    before = {key: value.clone() for key, value in encoder.body.state_dict().items()}
    tensors = weights_of(encoder)
    del tensors["conv_stem.weight"], tensors["bn1.bias"]
    tensors["bn1.weight"] = torch.rand(7)
    got = faults_of(encoder, tensors, tmp_path / "weights.safetensors")
    assert [line.split(None, 1)[1] for line in got.splitlines()] == [
        "conv_stem.weight",
        "bn1.bias",
        "shape  bn1.weight: (7,), expected (32,)",
    ]
    for key, value in encoder.body.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_long_list_of_faults_is_cut(encoder, tmp_path):
    got = faults_of(encoder, {"head": torch.rand(1)}, tmp_path / "other.safetensors")
    assert got.count("missing") == 9
    assert got.endswith(" more")


def test_weights_that_cannot_be_read_are_refused(encoder, tmp_path):
    broken = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder.load_pretrained(broken)
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder.load_pretrained(broken)


# Members of every family that are small enough to try, and of some that have no atrous form.
ATROUS = {
    "byobnet": "test_byobnet",
    "convnext": "test_convnext",
    "cspnet": "darknet17",
    "cspnext": "cspnext_tiny",
    "efficientnet": "test_efficientnet",
    "hardcorenas": "hardcorenas_a",
    "inception_next": "inception_next_atto",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilevit": "mobilevitv2_050",
    "nfnet": "test_nfnet",
    "regnet": "regnetx_002",
    "res2net": "res2net50_48w_2s",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "sknet": "skresnet18",
    "xception_aligned": "xception41",
}


def test_every_atrous_family_is_tried():
    assert tuple(sorted(ATROUS)) == ATROUS_FAMILIES
    assert {family_of(name) for name in ATROUS.values()} == set(ATROUS_FAMILIES)


@pytest.mark.parametrize("name", ATROUS.values())
@pytest.mark.parametrize("stride", [8, 16])
@torch.inference_mode()
def test_families_named_as_atrous_are(name, stride):
    with torch.device("meta"):
        encoder = TimmEncoder(name, output_stride=stride).eval()
        maps = encoder(torch.zeros(1, 3, 67, 97))
    assert max(encoder.strides) == stride
    for features, own_stride in zip(maps, encoder.strides, strict=True):
        assert features.shape[-2:] == (-(-67 // own_stride), -(-97 // own_stride))


@pytest.mark.parametrize("name", ["test_mambaout", "densenet121", "vgg11", "hrnet_w18_small"])
def test_other_families_are_told_so(name):
    with pytest.raises(UsageError, match="cannot keep its maps at output stride 8") as caught:
        TimmEncoder(name, output_stride=8)
    assert all(family in caught.value.fix for family in ATROUS_FAMILIES)


@pytest.mark.parametrize("name", ["test_convnext", "pvt_v2_b0", "test_mambaout", "vgg11"])
@torch.inference_mode()
def test_models_that_round_down_or_need_room_take_any_size_too(name):
    encoder = TimmEncoder(name).eval()
    for size in ((1, 1), (1, 70), (33, 65), (67, 97)):
        maps = encoder(torch.randn(1, 3, *size))
        for features, channels, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
            assert features.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


@torch.inference_mode()
def test_maps_with_channels_last_are_turned():
    encoder = TimmEncoder("test_mambaout").eval()
    picture = torch.randn(1, 3, 64, 96)
    for ours, theirs in zip(encoder(picture), encoder.body(picture), strict=True):
        assert torch.equal(ours, theirs.permute(0, 3, 1, 2))


def test_a_model_for_one_size_only_is_refused():
    with pytest.raises(UsageError, match="does not take pictures of any size"):
        TimmEncoder("test_maxvit")


def test_more_maps_than_there_are_is_refused():
    with pytest.raises(UsageError, match="gives no such feature maps"):
        TimmEncoder("test_resnet", depth=9)


def test_the_finest_maps_can_be_taken_alone():
    encoder = TimmEncoder("test_resnet", depth=3)
    assert encoder.strides == (2, 4, 8)
    assert not any(key.startswith("body.layer3") for key in encoder.state_dict())


@torch.inference_mode()
def test_the_first_block_is_dilated_when_asked():
    common, whole = (
        TimmEncoder("resnet18", output_stride=8, dilate_first_block=choice)
        for choice in (False, True)
    )
    assert common.strides == whole.strides == (2, 4, 8, 8, 8)
    first, first_whole = common.body.layer3[0].conv1, whole.body.layer3[0].conv1
    assert (first.dilation, first_whole.dilation) == ((1, 1), (2, 2))
    assert whole.body.layer4[0].conv1.dilation == (4, 4)
    assert whole.body.layer2[0].conv1.dilation == (1, 1)


def test_stages_that_step_by_pooling_are_not_dilated_whole():
    with pytest.raises(UsageError, match="cannot keep its maps"):
        TimmEncoder("test_resnet", output_stride=8, dilate_first_block=True)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
def test_filters_keep_their_sum_for_any_bands(bands):
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    adapted = adapt_bands(weight, bands)
    assert adapted.shape == (5, bands, 3, 3)
    torch.testing.assert_close(adapted.sum(1), weight.sum(1))
    if bands == 3:
        assert torch.equal(adapted, weight)


def test_weights_for_rgb_fit_other_bands(encoder, tmp_path):
    tensors = weights_of(encoder)
    save_file(tensors, tmp_path / "weights.safetensors")
    thermal = TimmEncoder(NAME, in_channels=4)
    thermal.load_pretrained(tmp_path / "weights.safetensors")
    stem = tensors["conv_stem.weight"]
    torch.testing.assert_close(
        thermal.body.conv_stem.weight,
        torch.cat([stem / torch.tensor([2, 1, 1]).view(1, 3, 1, 1), stem[:, :1] / 2], 1),
    )


def test_names_of_nested_parts_may_be_joined_by_dots_or_underscores(tmp_path):
    encoder = TimmEncoder("test_convnext")
    stored = {
        key.replace("stages_0.", "stages.0."): value
        for key, value in encoder.body.state_dict().items()
    }
    assert stored.keys() != encoder.body.state_dict().keys()
    save_file(stored, tmp_path / "weights.safetensors")
    encoder.load_pretrained(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("name", ["resnest14d", "skresnet18"])
def test_models_that_normalise_pooled_maps_can_be_trained_on_one_picture(name):
    maps = TimmEncoder(name).train()(torch.randn(1, 3, 64, 64))
    assert all(features.isfinite().all() for features in maps)


@pytest.mark.parametrize("depth", [None, 4])
@torch.inference_mode()
def test_the_deepest_maps_can_be_taken_alone(depth):
    whole = TimmEncoder("test_resnet", depth=depth).eval()
    deep = TimmEncoder("test_resnet", depth=depth, deepest=2).eval()
    deep.load_state_dict(whole.state_dict())
    assert deep.strides == whole.strides[-2:]
    assert deep.channels == whole.channels[-2:]
    picture = torch.randn(1, 3, 33, 65)
    for ours, theirs in zip(deep(picture), whole(picture)[-2:], strict=True):
        assert torch.equal(ours, theirs)
