from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import pixelwise.models.segformer
from pixelwise.errors import UsageError
from pixelwise.models.encoders.base import Encoder
from pixelwise.models.encoders.make import OWN_ENCODERS
from pixelwise.models.segformer import (
    MLPDecoder,
    SegFormer,
    SegFormerConfig,
    form_smp,
    form_transformers,
)

CLASSES = 5


def test_public_names_are_sorted():
    names = pixelwise.models.segformer.__all__
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("encoder", "channels", "millions"),
    [
        ("mit_b0", 256, 3.8),
        ("mit_b1", 256, 13.7),
        ("mit_b2", 768, 27.5),
        ("mit_b3", 768, 47.3),
        ("mit_b4", 768, 64.1),
        ("mit_b5", 768, 84.7),
    ],
)
def test_the_network_has_the_published_size(encoder, channels, millions):
    with torch.device("meta"):
        network = SegFormer(SegFormerConfig(classes=150, encoder=encoder))
    assert network.head.in_channels == channels
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05)


def test_multiply_adds_are_half_of_the_published_ones():
    with torch.device("meta"):
        network = SegFormer(SegFormerConfig(classes=150)).eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.zeros(1, 3, 512, 512))
    assert counter.get_total_flops() / 2e9 == pytest.approx(4.13, abs=0.01)


def as_published(decoder, maps):
    """Equation 4 in its own order: linear, enlarge, put side by side, fuse."""
    enlarged = []
    for features, project in zip(maps, decoder.project, strict=True):
        tokens = project.linear(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        enlarged.append(
            functional.interpolate(
                tokens, size=maps[0].shape[2:], mode="bilinear", align_corners=False
            )
        )
    fused = decoder.fuse(torch.cat(enlarged[::-1], dim=1))
    return decoder.norm(fused).relu()


@pytest.fixture
def decoder():
    """In evaluation: with statistics of the batch, no bias ahead of the norm would matter."""
    decoder = MLPDecoder((6, 10, 12, 40), 8, dropout=0.5).double().eval()
    nn.init.uniform_(decoder.norm.weight, 0.5, 1.5)
    nn.init.normal_(decoder.norm.bias)
    return decoder


@pytest.fixture
def maps():
    sizes = ((17, 24), (9, 12), (5, 6), (3, 3))
    return [
        torch.randn(2, channels, *size, dtype=torch.float64)
        for channels, size in zip((6, 10, 12, 40), sizes, strict=True)
    ]


def test_the_order_of_the_decoder_does_not_change_its_answer(decoder, maps):
    torch.testing.assert_close(decoder(maps), as_published(decoder, maps))


def test_the_order_of_the_decoder_does_not_change_its_gradients(decoder, maps):
    weighting = torch.randn(2, 8, 17, 24, dtype=torch.float64)
    ours, published = (
        torch.autograd.grad((answer * weighting).sum(), decoder.parameters())
        for answer in (decoder(maps), as_published(decoder, maps))
    )
    torch.testing.assert_close(ours, published)


class Pyramid(Encoder):
    """Maps at the strides that are wanted, each of one value."""

    def __init__(self, strides):
        super().__init__()
        self.name = "pyramid"
        self.strides = strides
        self.channels = tuple(range(3, 3 + len(strides)))

    def forward(self, image):
        return [
            torch.full(
                (image.shape[0], depth, *(-(-side // stride) for side in image.shape[2:])),
                float(depth),
            )
            for depth, stride in zip(self.channels, self.strides, strict=True)
        ]


def network_on(monkeypatch, strides):
    monkeypatch.setitem(OWN_ENCODERS, "pyramid", lambda _name, _bands: Pyramid(strides))
    return SegFormer(SegFormerConfig(classes=CLASSES, encoder="pyramid")).eval()


@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (1, 2, 4, 8, 16, 32), (2, 4, 8, 16, 32)])
def test_the_decoder_takes_the_last_four_maps(monkeypatch, strides):
    network = network_on(monkeypatch, strides)
    assert network.output_stride == 4
    assert network(torch.zeros(1, 3, 67, 93)).shape == (1, CLASSES, 17, 24)


def test_the_scores_have_the_stride_of_the_finest_map_used(monkeypatch):
    network = network_on(monkeypatch, (1, 2, 4, 8, 16))
    assert network.output_stride == 2
    assert network(torch.zeros(1, 3, 67, 93)).shape == (1, CLASSES, 34, 47)


def test_fewer_than_four_maps_are_refused(monkeypatch):
    with pytest.raises(UsageError) as caught:
        network_on(monkeypatch, (8, 16, 32))
    assert caught.value.where == "encoder pyramid"
    assert "(8, 16, 32)" in caught.value.got


def test_encoders_of_other_families_have_256_channels():
    network = SegFormer(SegFormerConfig(classes=CLASSES, encoder="test_convnext"))
    assert network.decoder.fuse.weight.shape == (256, 1024, 1, 1)


def test_channels_can_be_chosen():
    network = SegFormer(SegFormerConfig(classes=CLASSES, encoder="mit_b0", decoder_channels=48))
    assert network.head.weight.shape == (CLASSES, 48, 1, 1)


def test_the_alignment_is_that_of_the_config():
    assert SegFormer(SegFormerConfig(classes=CLASSES)).alignment == "half_pixel"
    assert SegFormer(SegFormerConfig(classes=CLASSES, alignment="corners")).alignment == "corners"


def test_bad_choices_are_told_all_at_once():
    with pytest.raises(UsageError) as caught:
        SegFormerConfig(classes=0, decoder_channels=0, dropout=1.5)
    for name in ("classes=0", "decoder_channels=0", "dropout=1.5"):
        assert name in caught.value.got


def test_dropout_acts_in_training_only(decoder, maps):
    rested = decoder(maps)
    assert torch.equal(rested, decoder(maps))
    left_out = (decoder.train()(maps) == 0).float().mean() - (rested == 0).float().mean()
    assert left_out > 0.1


def test_the_config_says_how_much_is_dropped():
    assert SegFormer(SegFormerConfig(classes=CLASSES)).decoder.dropout.p == 0.1
    assert SegFormer(SegFormerConfig(classes=CLASSES, dropout=0.3)).decoder.dropout.p == 0.3


def test_names_of_transformers_are_understood():
    for name in ("nvidia/mit-b3", "mit-b3", "mit_b3"):
        assert SegFormerConfig(classes=CLASSES, **form_transformers(name)) == SegFormerConfig(
            classes=CLASSES, encoder="mit_b3"
        )


def test_the_other_form_is_narrow_and_aligned_to_corners():
    config = SegFormerConfig(classes=CLASSES, **form_smp("mit_b3"))
    assert (config.encoder, config.decoder_channels) == ("mit_b3", 256)
    assert config.alignment == "corners"
