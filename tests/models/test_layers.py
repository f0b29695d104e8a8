from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pixelwise.models.layers
from pixelwise.errors import UsageError
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import (
    AtrousPyramid,
    BatchNorm,
    PyramidPooling,
    SeparableConv,
    Upsample,
    adaptive_average_pool,
    level_at,
    resize,
)

sides = st.integers(1, 23)


def test_public_names_are_sorted():
    names = pixelwise.models.layers.__all__
    assert names == sorted(names)


@given(sides, sides, st.integers(1, 8))
def test_pooling_is_torchs(height, width, bins):
    features = torch.randn(2, 3, height, width)
    expected = functional.adaptive_avg_pool2d(features, bins)
    torch.testing.assert_close(adaptive_average_pool(features, bins), expected)


@torch.inference_mode()
def test_resizing_by_corners_keeps_the_corners():
    features = torch.randn(1, 2, 3, 4)
    enlarged = resize(features, (9, 13), alignment="corners")
    torch.testing.assert_close(enlarged[..., ::4, ::4], features)


def test_a_single_value_per_channel_can_be_trained_on():
    norm = BatchNorm(3).train()
    norm.running_mean.fill_(2)
    norm.running_var.fill_(4)
    before = norm.running_mean.clone()
    torch.testing.assert_close(norm(torch.full((1, 3, 1, 1), 6.0)), torch.full((1, 3, 1, 1), 2.0))
    assert torch.equal(norm.running_mean, before)


def test_more_values_per_channel_are_normalised_as_ever():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 1, 1)
    ours, theirs = BatchNorm(3).train(), nn.BatchNorm2d(3).train()
    assert torch.equal(ours(features), theirs(features))
    assert torch.equal(ours.running_mean, theirs.running_mean)


def test_a_separable_convolution_has_the_weights_of_its_two_parts():
    parameters = sum(p.numel() for p in SeparableConv(8, 16, kernel_size=3).parameters())
    assert parameters == 8 * 9 + 8 * 16


@torch.inference_mode()
def test_the_mean_of_the_picture_reaches_every_place():
    pyramid = AtrousPyramid(4, 3, rates=(1, 2, 3)).eval()
    for parameter in pyramid.parameters():
        parameter.abs_()
    far = torch.zeros(1, 4, 40, 40)
    far[..., -1, -1] = 1000
    moved = (pyramid(far) - pyramid(torch.zeros_like(far)))[..., 0, 0]
    assert moved.abs().max() > 0


@torch.inference_mode()
def test_grids_stand_behind_the_features():
    features = torch.randn(1, 4, 6, 6)
    pooled = PyramidPooling(4, 2, bins=(1, 3)).eval()(features)
    assert pooled.shape == (1, 8, 6, 6)
    assert torch.equal(pooled[:, :4], features)
    assert (pooled[:, 4:6].amax((2, 3)) - pooled[:, 4:6].amin((2, 3))).abs().max() < 1e-6


def test_the_mean_can_go_without_normalisation():
    with_norm, without = (PyramidPooling(4, 2, normalise_mean=choice) for choice in (True, False))
    assert any(isinstance(module, BatchNorm) for module in with_norm.blocks[0])
    assert not any(isinstance(module, BatchNorm) for module in without.blocks[0])
    assert any(isinstance(module, BatchNorm) for module in without.blocks[1])


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "transposed", "pixel_shuffle"])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (5, 8)])
@torch.inference_mode()
def test_a_step_up_meets_the_size(mode, size):
    step = Upsample(4, 2, mode=mode)
    assert step(torch.randn(1, 4, 3, 4), size).shape == (1, step.out_channels, *size)
    assert step.out_channels == (4 if mode in {"nearest", "bilinear"} else 2)


@torch.inference_mode()
def test_pixel_shuffle_starts_without_a_checkerboard():
    enlarged = Upsample(4, 2, mode="pixel_shuffle")(torch.randn(1, 4, 3, 4), (6, 8))
    for row, column in ((0, 1), (1, 0), (1, 1)):
        assert torch.equal(enlarged[..., row::2, column::2], enlarged[..., ::2, ::2])


@torch.inference_mode()
def test_a_transposed_step_writes_each_square_from_one_place():
    step = Upsample(1, 1, mode="transposed")
    coarse = torch.zeros(1, 1, 3, 3)
    changed = coarse.clone()
    changed[..., 1, 2] = 1
    moved = (step(changed, (6, 6)) - step(coarse, (6, 6)))[0, 0].nonzero()
    assert moved.tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_the_deepest_map_of_a_stride_is_found():
    encoder = make_encoder("test_resnet", output_stride=8)
    assert (level_at(encoder, 4), level_at(encoder, 8)) == (1, 4)


def test_a_stride_that_no_map_has_is_told():
    with pytest.raises(UsageError, match="needs a map at stride 1") as caught:
        level_at(make_encoder("test_resnet"), 1)
    assert "(2, 4, 8, 16, 32)" in caught.value.got
