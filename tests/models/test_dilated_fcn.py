from __future__ import annotations

import pytest
import torch
from torch import nn

import pixelwise.models.dilated_fcn
from pixelwise.errors import UsageError
from pixelwise.models.dilated_fcn import DilatedFCN, DilatedFCNConfig, form_torchvision

CLASSES = 5
ENCODER = "test_resnet"


def make(**options):
    return DilatedFCN(DilatedFCNConfig(**{"classes": CLASSES, "encoder": ENCODER, **options}))


def awaken(network):
    """Opens the residual branches, which timm's ResNets start without."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network.eval()


def test_public_names_are_sorted():
    assert pixelwise.models.dilated_fcn.__all__ == [
        "DilatedFCN",
        "DilatedFCNConfig",
        "convert_torchvision",
        "form_torchvision",
    ]


@pytest.mark.parametrize(("output_stride", "size"), [(8, (9, 13)), (16, (5, 7))])
@torch.inference_mode()
def test_scores_stand_at_the_output_stride(output_stride, size):
    network = make(output_stride=output_stride, auxiliary=True).eval()
    scores, auxiliary = network.all_logits(torch.randn(1, 3, 65, 97))
    assert scores.shape == auxiliary.shape == (1, CLASSES, *size)
    assert network.output_stride == output_stride


@torch.inference_mode()
def test_strides_become_dilations():
    picture = torch.randn(1, 3, 64, 96)
    fine = awaken(make(encoder="resnet18", output_stride=8))
    coarse = make(encoder="resnet18", output_stride=16).eval()
    coarse.load_state_dict(fine.state_dict())
    dilations = [
        {m.dilation for m in network.modules() if isinstance(m, nn.Conv2d)}
        for network in (fine, coarse)
    ]
    assert dilations == [{(1, 1), (2, 2), (4, 4)}, {(1, 1), (2, 2)}]
    # Every second place of the fine map sees what the coarse map's places see.
    torch.testing.assert_close(
        fine.encoder(picture)[-1][:, :, ::2, ::2], coarse.encoder(picture)[-1]
    )


def test_there_is_an_auxiliary_head_only_where_asked_for():
    assert not [key for key in make().state_dict() if "auxiliary" in key]
    assert len(make().all_logits(torch.randn(2, 3, 64, 64))) == 1


def test_the_auxiliary_head_sees_the_last_map_but_one():
    network = make(auxiliary=True).eval()
    picture = torch.randn(1, 3, 64, 64)
    expected = network.auxiliary_head(network.encoder(picture)[-2])
    assert torch.equal(network.all_logits(picture)[1], expected)


def test_heads_have_a_quarter_of_the_channels():
    network = make(auxiliary=True)
    *_, last_but_one, last = network.encoder.channels
    assert network.head[0][0].weight.shape == (last // 4, last, 3, 3)
    assert network.auxiliary_head[0][0].weight.shape == (last_but_one // 4, last_but_one, 3, 3)


def test_dropout_acts_in_training_only():
    network = make(dropout=0.5)
    picture = torch.randn(1, 3, 64, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(picture), network(picture))
    network.eval()
    assert torch.equal(network(picture), network(picture))


def test_every_fault_of_the_choices_is_listed():
    with pytest.raises(UsageError) as caught:
        DilatedFCNConfig(classes=0, output_stride=32, dropout=1.0)
    for name in ("classes=0", "output_stride=32", "dropout=1.0"):
        assert name in caught.value.got


def test_an_encoder_that_cannot_be_dilated_is_refused():
    with pytest.raises(UsageError, match="mit_b0 cannot keep its maps at output stride 8"):
        DilatedFCN(DilatedFCNConfig(classes=CLASSES, encoder="mit_b0"))


def test_the_form_of_torchvision_has_both_heads():
    config = DilatedFCNConfig(classes=21, **form_torchvision("resnet101"))
    assert (config.encoder, config.output_stride, config.auxiliary) == ("resnet101", 8, True)
