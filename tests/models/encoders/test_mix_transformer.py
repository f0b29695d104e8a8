from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import pixelwise.models.encoders.mix_transformer
from pixelwise.errors import WeightsError
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.encoders.mix_transformer import (
    MIT_VARIANTS,
    Attention,
    MixFeedForward,
    MixTransformer,
    MixVariant,
    Reduction,
    StochasticDepth,
)

TINY = MixVariant(channels=(8, 16, 24, 32), depths=(1, 2, 1, 1), heads=(1, 2, 3, 4))


@pytest.fixture
def encoder(monkeypatch):
    monkeypatch.setitem(MIT_VARIANTS, "mit_tiny", TINY)
    return MixTransformer("mit_tiny").eval()


def test_public_names_are_sorted():
    names = pixelwise.models.encoders.mix_transformer.__all__
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("mit_b0", (32, 64, 160, 256), 3.32),
        ("mit_b1", (64, 128, 320, 512), 13.15),
        ("mit_b2", (64, 128, 320, 512), 24.20),
        ("mit_b3", (64, 128, 320, 512), 44.07),
        ("mit_b4", (64, 128, 320, 512), 60.84),
        ("mit_b5", (64, 128, 320, 512), 81.44),
    ],
)
def test_every_variant_has_the_published_size(name, channels, millions):
    with torch.device("meta"):
        encoder = make_encoder(name)
    assert isinstance(encoder, MixTransformer)
    assert (encoder.name, encoder.channels, encoder.strides) == (name, channels, (4, 8, 16, 32))
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 65), (64, 96), (67, 93), (100, 31)])
@torch.inference_mode()
def test_maps_round_up_at_every_stride(encoder, size):
    maps = encoder(torch.randn(2, 3, *size))
    for features, depth, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        assert features.shape == (2, depth, *(-(-side // stride) for side in size))


@torch.inference_mode()
def test_maps_lie_in_memory_channels_last(encoder):
    for features in encoder(torch.randn(1, 3, 64, 96)):
        assert features.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_every_map_comes_out_of_a_norm(encoder):
    for features in encoder(5 * torch.randn(1, 3, 64, 96)):
        torch.testing.assert_close(features.mean(1), torch.zeros_like(features[:, 0]))
        torch.testing.assert_close(
            features.var(1, correction=0), torch.ones_like(features[:, 0]), rtol=1e-2, atol=1e-2
        )


@torch.inference_mode()
def test_every_token_sees_the_whole_picture(encoder):
    # Weights as narrow as they start would leave next to nothing of what is far away.
    for parameter in encoder.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.5)
    picture = torch.randn(1, 3, 96, 96)
    changed = picture.clone()
    changed[..., :8, :8] += 5
    finest, other = encoder(picture)[0], encoder(changed)[0]
    assert ((finest - other).abs().amax(1) > 1e-6).all()


@torch.inference_mode()
def test_attention_is_that_of_its_equation():
    attention = Attention(12, heads=3, reduction=2)
    tokens = torch.randn(2, 4, 6, 12)
    coarse = attention.reduction(tokens)
    assert coarse.shape == (2, 2, 3, 12)
    heads = []
    for part in range(3):
        rows = slice(4 * part, 4 * part + 4)
        query = attention.query(tokens).flatten(1, 2)[..., rows]
        key = attention.key(coarse).flatten(1, 2)[..., rows]
        value = attention.value(coarse).flatten(1, 2)[..., rows]
        heads.append((query @ key.transpose(1, 2) / math.sqrt(4)).softmax(2) @ value)
    expected = attention.output(torch.cat(heads, dim=2)).view(2, 4, 6, 12)
    torch.testing.assert_close(attention(tokens), expected)


@torch.inference_mode()
def test_a_reduced_token_is_a_linear_layer_of_its_square():
    reduction = Reduction(6, factor=4)
    tokens = torch.randn(2, 8, 12, 6)
    square = tokens[:, 4:8, 8:12].permute(0, 3, 1, 2).flatten(1)  # [2, 6 · 4 · 4]
    convolution = reduction.convolution
    expected = reduction.norm(square @ convolution.weight.flatten(1).T + convolution.bias)
    torch.testing.assert_close(reduction(tokens)[:, 1, 2], expected)


@torch.inference_mode()
def test_squares_that_are_not_whole_are_left_out():
    reduction = Reduction(6, factor=4)
    tokens = torch.randn(2, 11, 15, 6)
    assert torch.equal(reduction(tokens), reduction(tokens[:, :8, :12]))


@torch.inference_mode()
def test_a_map_smaller_than_a_square_is_filled_with_zeros():
    reduction = Reduction(6, factor=4)
    tokens = torch.randn(2, 3, 5, 6)
    filled = torch.zeros(2, 4, 5, 6)
    filled[:, :3] = tokens
    assert torch.equal(reduction(tokens), reduction(filled))


@torch.inference_mode()
def test_the_feed_forward_layer_mixes_neighbours_only():
    layer = MixFeedForward(8)
    tokens = torch.randn(1, 5, 5, 8)
    changed = tokens.clone()
    changed[:, 2, 2] += 1
    moved = (layer(tokens) - layer(changed)).abs().amax(3)[0] > 0
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(moved, expected)


def test_stochastic_depth_leaves_out_whole_pictures_and_keeps_the_mean():
    depth = StochasticDepth(0.25).train()
    answer = depth(torch.ones(4000, 2, 3, 5)).flatten(1)
    assert torch.equal(answer, answer[:, :1].expand(-1, 30))
    assert sorted(answer.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert float(answer.mean()) == pytest.approx(1, abs=0.05)


def test_stochastic_depth_rests_in_evaluation():
    branch = torch.randn(3, 4)
    assert torch.equal(StochasticDepth(0.9).eval()(branch), branch)
    assert torch.equal(StochasticDepth(0.0).train()(branch), branch)


def test_deeper_blocks_are_left_out_more_often(encoder):
    rates = [block.depth.rate for stage in encoder.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


@torch.no_grad()
def test_weights_start_as_the_authors_start_them():
    encoder = MixTransformer("mit_b0")
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            assert float(module.weight.std()) == pytest.approx(0.02, rel=0.1)
            assert not module.bias.any()
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] ** 2 * module.out_channels / module.groups
            assert float(module.weight.std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
            assert not module.bias.any()


def renewed(encoder):
    return {key: torch.rand_like(tensor) for key, tensor in encoder.state_dict().items()}


def test_own_weights_can_be_read_back(encoder, tmp_path):
    stored = renewed(encoder)
    save_file(stored, tmp_path / "weights.safetensors")
    encoder.load_pretrained(tmp_path / "weights.safetensors")
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, stored[key])


def test_weights_for_colour_pictures_fit_other_bands(encoder):
    stored = renewed(encoder)
    five = MixTransformer("mit_tiny", 5)
    five.load_classification(stored, where="here")
    name = "stages.0.embedding.convolution.weight"
    torch.testing.assert_close(five.state_dict()[name].sum(1), stored[name].sum(1))


def test_a_missing_tensor_is_named(encoder):
    stored = renewed(encoder)
    del stored["stages.1.blocks.0.attention.query.weight"]
    with pytest.raises(WeightsError) as caught:
        encoder.load_classification(stored, where="here")
    assert caught.value.where == "here"
    assert "stages.1.blocks.0.attention.query.weight" in caught.value.got
