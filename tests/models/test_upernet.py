from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import pixelwise.models.upernet
from pixelwise.errors import UsageError
from pixelwise.models.layers import resize
from pixelwise.models.upernet import (
    ChannelNorm,
    UPerNet,
    UPerNetConfig,
    convert_transformers,
    form_transformers,
)

CLASSES = 5
SMALL = {"encoder": "resnet18", "decoder_channels": 16, "auxiliary_channels": 8}


def make(**options):
    return UPerNet(UPerNetConfig(classes=CLASSES, **{**SMALL, **options})).eval()


def test_public_names_are_sorted():
    names = pixelwise.models.upernet.__all__
    assert names == [
        "ChannelNorm",
        "UPerNet",
        "UPerNetConfig",
        "convert_transformers",
        "form_transformers",
    ]


@pytest.mark.parametrize(
    ("encoder", "stride"),
    [
        ("resnet18", 4),
        ("test_convnext", 4),
        ("swin_tiny_patch4_window7_224", 4),
        ("mit_b0", 4),
        ("test_vit", 4),
        ("vit_small_patch8_224", 2),
    ],
)
def test_scores_stand_at_the_finest_of_four_maps(encoder, stride):
    with torch.device("meta"):
        network = make(encoder=encoder, auxiliary=True)
        scores, auxiliary = network.all_logits(torch.zeros(1, 3, 65, 97))
    assert network.output_stride == stride
    assert scores.shape == (1, CLASSES, -(-65 // stride), -(-97 // stride))
    assert auxiliary.shape == (1, CLASSES, -(-65 // stride // 4), -(-97 // stride // 4))


def test_an_encoder_with_fewer_maps_is_refused():
    with torch.device("meta"), pytest.raises(UsageError, match="needs 4 maps") as caught:
        make(encoder="efficientvit_m0")
    assert caught.value.got == "maps at strides (16, 32, 64)"


def test_every_fault_of_the_config_is_listed():
    with pytest.raises(UsageError) as caught:
        make(decoder_channels=0, auxiliary_channels=-1, bins=(1, 0))
    assert caught.value.got.split("; ") == [
        "decoder_channels=0: greater than or equal to 1",
        "bins[1]=0: greater than or equal to 1",
        "auxiliary_channels=-1: greater than or equal to 1",
    ]
    with pytest.raises(UsageError, match="cannot be built"):
        make(bins=())


@pytest.mark.parametrize(
    ("encoder", "asked", "eps"),
    [
        ("resnet18", None, None),
        ("resnet18", True, 1e-5),
        ("mit_b0", None, None),
        ("mit_b0", True, 1e-5),
        ("test_vit", None, None),
        ("test_convnext", None, 1e-6),
        ("test_convnext", True, 1e-6),
        ("test_convnext", False, None),
        ("swin_tiny_patch4_window7_224", None, 1e-5),
        ("swinv2_tiny_window8_256", None, 1e-5),
    ],
)
def test_maps_of_convnext_and_swin_are_normalised_unless_asked_otherwise(encoder, asked, eps):
    with torch.device("meta"):
        network = make(encoder=encoder, normalise_maps=asked)
    for norm, channels in zip(network.norms, network.encoder.channels[-4:], strict=True):
        if eps is None:
            assert isinstance(norm, nn.Identity)
        else:
            assert isinstance(norm, ChannelNorm)
            assert norm.eps == eps
            assert norm.normalized_shape == (channels,)


@torch.inference_mode()
def test_each_position_is_normalised_by_itself():
    features = 3 * torch.randn(2, 64, 5, 7) + 2
    normalised = ChannelNorm(64)(features)
    torch.testing.assert_close(normalised.mean(1), torch.zeros(2, 5, 7), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        normalised.var(1, unbiased=False), torch.ones(2, 5, 7), rtol=0, atol=1e-3
    )


def decoder_inputs(network, size=(64, 96)):
    return [
        torch.randn(1, channels, size[0] // stride, size[1] // stride)
        for channels, stride in zip(
            network.encoder.channels[-4:], network.encoder.strides[-4:], strict=True
        )
    ]


def scores_of(network, maps):
    network.encoder.forward = lambda _: maps
    return network.all_logits(torch.zeros(1, 3, 64, 96))


@torch.inference_mode()
def test_the_deeper_map_is_added_on_the_way_up():
    network = make()
    seen = {}
    network.deepest.register_forward_hook(lambda *call: seen.update(deepest=call[-1]))
    for level, lateral in enumerate(network.laterals):
        lateral.register_forward_hook(lambda *call, level=level: seen.update({level: call[-1]}))
    for level, smooth in enumerate(network.smooth):
        smooth.register_forward_pre_hook(
            lambda _, given, level=level: seen.update({f"sum {level}": given[0]})
        )
    scores_of(network, decoder_inputs(network))
    above = seen["deepest"]
    for level in (2, 1, 0):
        above = seen[level] + resize(above, seen[level].shape[-2:])
        torch.testing.assert_close(seen[f"sum {level}"], above)


@torch.inference_mode()
def test_levels_are_fused_from_fine_to_coarse():
    network = make()
    seen = {}
    network.deepest.register_forward_hook(lambda *call: seen.update({3: call[-1]}))
    for level, smooth in enumerate(network.smooth):
        smooth.register_forward_hook(lambda *call, level=level: seen.update({level: call[-1]}))
    network.fuse.register_forward_pre_hook(lambda _, given: seen.update(fused=given[0]))
    scores_of(network, decoder_inputs(network))
    for level, part in enumerate(seen["fused"].split(16, dim=1)):
        torch.testing.assert_close(part, resize(seen[level], (16, 24)))


@torch.inference_mode()
def test_grids_lie_on_the_deepest_map_alone():
    network = make()
    maps = decoder_inputs(network)
    seen = []
    network.pyramid.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    scores_of(network, maps)
    assert torch.equal(seen[0], maps[3])
    assert network.pyramid.bins == (1, 2, 3, 6)


@torch.inference_mode()
def test_the_auxiliary_head_reads_the_last_map_but_one():
    network = make(auxiliary=True)
    maps = decoder_inputs(network)
    _, before = scores_of(network, maps)
    for level in (0, 1, 3):
        maps[level] = torch.randn_like(maps[level])
    _, after = scores_of(network, maps)
    assert torch.equal(before, after)
    maps[2] = torch.randn_like(maps[2])
    assert not torch.equal(scores_of(network, maps)[1], before)


def test_dropout_acts_in_training_only():
    network = make(dropout=0.5)
    picture = torch.rand(1, 3, 64, 64)
    assert torch.equal(network(picture), network(picture))
    network.dropout.train()
    assert not torch.equal(network(picture), network(picture))


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large", "xlarge"])
def test_published_convnexts_are_timms(size):
    form = form_transformers(f"openmmlab/upernet-convnext-{size}")
    assert form == {"encoder": f"convnext_{size}", "auxiliary": True}
    assert timm.is_model(form["encoder"])


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_published_swins_are_timms(size):
    encoder = form_transformers(f"openmmlab/upernet-swin-{size}")["encoder"]
    assert timm.is_model(encoder)
    window = 12 if size in ("base", "large") else 7  # of the published weights
    assert f"swin_{size}_patch4_window{window}" in encoder


def test_encoders_may_go_by_their_own_names():
    assert form_transformers("convnext_tiny")["encoder"] == "convnext_tiny"


def test_queries_keys_and_values_are_packed_in_this_order():
    prefix = "backbone.encoder.layers.1.blocks.0.attention.self"
    parts = {name: torch.randn(2, 4) for name in ("value", "query", "key")}
    converted = convert_transformers({f"{prefix}.{name}.weight": parts[name] for name in parts})
    assert list(converted) == ["encoder.body.layers_1.blocks.0.attn.qkv.weight"]
    expected = torch.cat([parts["query"], parts["key"], parts["value"]])
    assert torch.equal(next(iter(converted.values())), expected)


def test_keys_that_are_not_known_stay():
    assert list(convert_transformers({"decode_head.other.weight": torch.zeros(1)})) == [
        "decode_head.other.weight"
    ]
