from __future__ import annotations

import pytest
import torch
from torch import nn

import pixelwise.models.lraspp
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.layers import resize
from pixelwise.models.lraspp import LRASPP, LRASPPConfig, convert_torchvision, form_torchvision

CLASSES = 5


def test_public_names_are_sorted():
    assert pixelwise.models.lraspp.__all__ == [
        "LRASPP",
        "LRASPPConfig",
        "convert_torchvision",
        "form_torchvision",
    ]


@pytest.mark.parametrize(
    ("encoder", "encoder_stride"),
    [("mobilenet_v3_large", 16), ("mobilenet_v3_large", 32), ("test_resnet", 32), ("mit_b0", 32)],
)
@torch.inference_mode()
def test_scores_stand_on_every_eighth_pixel(encoder, encoder_stride):
    config = LRASPPConfig(classes=CLASSES, encoder=encoder, encoder_stride=encoder_stride)
    network = LRASPP(config).eval()
    assert network.encoder.strides[-1] == encoder_stride
    assert network(torch.randn(1, 3, 65, 97)).shape == (1, CLASSES, 9, 13)
    assert network.output_stride == 8


@torch.inference_mode()
def test_the_answer_is_that_of_the_figure():
    # Figure 10 enlarges the gated map first and scores it then.
    network = LRASPP(LRASPPConfig(classes=CLASSES)).eval()
    picture = torch.randn(2, 3, 65, 97)
    fine, deep = network.encoder(picture)[2:]
    gate = torch.sigmoid(network.gate(nn.functional.adaptive_avg_pool2d(deep, 1)))
    gated = resize(network.reduce(deep) * gate, fine.shape[-2:])
    expected = network.fine_head(fine) + network.deep_head(gated)
    scale = float(expected.abs().max())
    torch.testing.assert_close(network(picture), expected, rtol=0, atol=1e-5 * scale)


def test_it_has_as_many_parameters_as_published():
    # torchvision tells this number of its weights, which have 21 classes.
    network = LRASPP(LRASPPConfig(classes=21))
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_221_538


def test_an_encoder_without_a_map_at_stride_8_is_refused(monkeypatch):
    class Coarse(nn.Module):
        name, channels, strides = "coarse", (8, 8), (4, 16)

    monkeypatch.setattr(pixelwise.models.lraspp, "make_encoder", lambda *_, **__: Coarse())
    with pytest.raises(UsageError, match="stride 8"):
        LRASPP(LRASPPConfig(classes=CLASSES))


def test_every_fault_of_the_choices_is_listed():
    with pytest.raises(UsageError) as caught:
        LRASPPConfig(classes=0, encoder_stride=8, decoder_channels=0)
    for name in ("classes=0", "encoder_stride=8", "decoder_channels=0"):
        assert name in caught.value.got


def test_the_form_of_torchvision_is_the_usual_one():
    config = LRASPPConfig(classes=21, **form_torchvision("mobilenet_v3_large"))
    assert config == LRASPPConfig(classes=21)


def test_keys_of_other_networks_are_shown():
    network = LRASPP(LRASPPConfig(classes=CLASSES))
    with pytest.raises(WeightsError) as caught:
        load_tensors(network, convert_torchvision({"aux.0": torch.zeros(1)}), where="other")
    assert "unexpected   aux.0" in caught.value.got
    assert "encoder.features.0.0.weight" in caught.value.got
