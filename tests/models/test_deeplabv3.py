from __future__ import annotations

import pytest
import torch
from torch import nn

import pixelwise.models.deeplabv3
from pixelwise.errors import UsageError
from pixelwise.models.deeplabv3 import (
    DeepLabV3,
    DeepLabV3Config,
    atrous_rates,
    form_smp,
    form_torchvision,
)

CLASSES = 5
SMALL = {"encoder": "test_resnet", "decoder_channels": 16}


def make(**options):
    return DeepLabV3(DeepLabV3Config(classes=CLASSES, **{**SMALL, **options}))


def rates_of(network):
    return tuple(block[0].dilation[0] for block in network.pyramid.atrous)


def awaken(network):
    """Opens the residual branches, which timm's ResNets start without."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network.eval()


def test_public_names_are_sorted():
    names = pixelwise.models.deeplabv3.__all__
    assert names == [
        "DeepLabV3",
        "DeepLabV3Config",
        "atrous_rates",
        "convert_smp",
        "convert_torchvision",
        "form_smp",
        "form_torchvision",
        "pyramid_rules",
    ]


@pytest.mark.parametrize(("output_stride", "size"), [(8, (9, 13)), (16, (5, 7))])
@torch.inference_mode()
def test_scores_stand_at_the_output_stride(output_stride, size):
    network = make(output_stride=output_stride, auxiliary=True).eval()
    scores, auxiliary = network.all_logits(torch.randn(1, 3, 65, 97))
    assert scores.shape == auxiliary.shape == (1, CLASSES, *size)
    assert network.output_stride == output_stride


def test_rates_follow_the_output_stride():
    assert rates_of(make(output_stride=16)) == atrous_rates(16) == (6, 12, 18)
    assert rates_of(make(output_stride=8)) == atrous_rates(8) == (12, 24, 36)
    assert rates_of(make(output_stride=16, rates=(1, 2))) == (1, 2)


@torch.inference_mode()
def test_the_pyramid_sees_the_same_places_at_both_strides():
    # With the same weights, every second place of the fine maps is the coarse map.
    fine = awaken(make(encoder="resnet18", output_stride=8))
    coarse = make(encoder="resnet18", output_stride=16).eval()
    coarse.load_state_dict(fine.state_dict())
    picture = torch.randn(1, 3, 128, 128)
    answers = []
    for network in (fine, coarse):
        features = network.encoder(picture)[-1]
        answers.append([block(features) for block in network.pyramid.atrous])
    for by_fine, by_coarse in zip(*answers, strict=True):
        torch.testing.assert_close(by_fine[:, :, ::2, ::2], by_coarse)


@torch.inference_mode()
def test_every_score_sees_the_whole_picture():
    network = make(output_stride=16, rates=(1, 1, 1)).eval()
    picture = torch.zeros(1, 3, 512, 512)
    changed = picture.clone()
    changed[..., 500:, 500:] = 5
    difference = (network(changed) - network(picture)).abs()
    assert difference[..., 0, 0].max() > 0


def test_there_is_an_auxiliary_head_only_where_asked_for():
    assert not [key for key in make().state_dict() if "auxiliary" in key]
    assert len(make().all_logits(torch.randn(2, 3, 64, 64))) == 1


def test_the_auxiliary_head_sees_the_last_map_but_one():
    network = make(auxiliary=True).eval()
    picture = torch.randn(1, 3, 64, 64)
    expected = network.auxiliary_head(network.encoder(picture)[-2])
    assert torch.equal(network.all_logits(picture)[1], expected)


def test_dropout_acts_in_training_only():
    network = make(dropout=0.5)
    picture = torch.randn(1, 3, 64, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(picture), network(picture))
    network.eval()
    assert torch.equal(network(picture), network(picture))


@torch.inference_mode()
def test_dilating_the_first_block_is_another_network_of_the_same_weights():
    usual = awaken(make(encoder="resnet18"))
    dilated = make(encoder="resnet18", dilate_first_block=True).eval()
    dilated.load_state_dict(usual.state_dict())
    picture = torch.randn(1, 3, 64, 64)
    assert dilated(picture).shape == usual(picture).shape
    assert not torch.allclose(dilated.encoder(picture)[-1], usual.encoder(picture)[-1])


def test_every_fault_of_the_choices_is_listed():
    with pytest.raises(UsageError) as caught:
        DeepLabV3Config(classes=0, output_stride=32)
    assert "classes=0" in caught.value.got
    assert "output_stride=32" in caught.value.got


def test_forms_name_the_encoder_and_the_rates():
    resnet = DeepLabV3Config(classes=21, **form_torchvision("resnet50"))
    mobilenet = DeepLabV3Config(classes=21, **form_torchvision("mobilenet_v3_large"))
    assert (resnet.output_stride, mobilenet.output_stride) == (8, 16)
    assert resnet.rates == mobilenet.rates == (12, 24, 36)
    by_smp = DeepLabV3Config(classes=21, **form_smp("resnet34"))
    by_timm = DeepLabV3Config(classes=21, **form_smp("tu-efficientnet_b0"))
    assert (by_smp.encoder, by_smp.dilate_first_block) == ("resnet34", True)
    assert (by_timm.encoder, by_timm.dilate_first_block) == ("efficientnet_b0", False)
