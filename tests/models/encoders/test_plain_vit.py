from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

import pixelwise.models.encoders.plain_vit
from pixelwise.errors import UsageError, WeightsError
from pixelwise.export.onnx import to_onnx
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.encoders.plain_vit import FeaturePyramid, PlainViT, resample_grid
from pixelwise.models.encoders.timm_encoder import PLAIN_VIT_FAMILIES, family_of

SMALL = "test_vit"
# Learnt positions, a norm in front of the blocks, a token without a position, two with one,
# rotations on patches of 14, rotations alone, rotations of each block's own.
KINDS = (
    SMALL,
    "vit_xsmall_patch16_clip_224",
    "vit_wee_patch16_reg1_gap_256",
    "deit_tiny_distilled_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_tiny_patch16_dinov3_qkvb",
    "vit_small_patch16_rope_mixed_ape_224",
)


@pytest.fixture
def encoder():
    return awake(PlainViT(SMALL, 3))


def awake(encoder):
    """Gives weight to what starts at nothing: tokens, scales of layers."""
    for parameter in encoder.parameters():
        if parameter.abs().max() < 1e-3:
            nn.init.normal_(parameter, std=0.1)
    return encoder.eval()


def test_public_names_are_sorted():
    names = pixelwise.models.encoders.plain_vit.__all__
    assert names == ["FeaturePyramid", "PlainViT", "resample_grid"]


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("vit_small_patch8_224", (2, 4, 8, 16)),
        ("vit_small_patch14_dinov2", (4, 8, 16, 32)),
        ("vit_base_patch16_224", (4, 8, 16, 32)),
        ("vit_small_patch32_224", (8, 16, 32, 64)),
    ],
)
def test_strides_are_whole_for_every_patch(name, strides):
    with torch.device("meta"):
        encoder = make_encoder(name, in_channels=4).eval()
        maps = encoder(torch.zeros(1, 4, 133, 70))
    assert isinstance(encoder, PlainViT)
    assert encoder.strides == strides
    for features, stride, channels in zip(maps, strides, encoder.channels, strict=True):
        assert features.shape == (1, channels, -(-133 // stride), -(-70 // stride))


@torch.inference_mode()
def test_pictures_of_any_size_get_maps(encoder):
    for height, width in ((1, 1), (1, 70), (33, 65), (160, 160)):
        for features, stride in zip(
            encoder(torch.randn(2, 3, height, width)), encoder.strides, strict=True
        ):
            assert features.shape == (2, 64, -(-height // stride), -(-width // stride))
            assert features.isfinite().all()


@pytest.mark.parametrize("name", KINDS)
@torch.inference_mode()
def test_the_transformer_gives_timms_answer(name):
    encoder = awake(PlainViT(name, 3))
    depth = len(encoder.body.blocks)
    patch = encoder.body.patch_embed.patch_size[0]
    assert family_of(name) in PLAIN_VIT_FAMILIES
    for rows, columns in ((2, 5), (16, 11)):
        picture = torch.randn(1, 3, 16 * rows, 16 * columns)
        shrunk = functional.interpolate(
            picture.double(), size=(patch * rows, patch * columns), mode="bilinear"
        )
        expected = encoder.body.forward_intermediates(
            shrunk.float(), indices=[3 * depth // 4 - 1], intermediates_only=True
        )[0]
        answer = encoder(picture)[2]  # the map that the pyramid leaves as it is
        scale = float(expected.abs().max())
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 * scale)


@torch.inference_mode()
def test_maps_are_taken_behind_equally_spaced_blocks():
    encoder = PlainViT("vit_tiny_patch16_224", 3).eval()
    taken, given = [], []
    for block in encoder.body.blocks:
        block.register_forward_hook(lambda *call: given.append(call[-1]))
    encoder.pyramid.register_forward_pre_hook(lambda _, inputs: taken.extend(inputs[0]))
    encoder(torch.randn(1, 3, 32, 48))
    for features, block in zip(taken, (2, 5, 8, 11), strict=True):
        tokens = given[block][:, 1:].unflatten(1, (2, 3)).permute(0, 3, 1, 2)
        assert torch.equal(features, tokens)


@torch.inference_mode()
def test_the_pyramid_steps_by_two():
    pyramid = FeaturePyramid(4).eval()
    maps = [torch.randn(2, 4, 3, 5) for _ in range(4)]
    finest, fine, same, coarse = pyramid(maps)
    assert finest.shape == (2, 4, 12, 20)
    torch.testing.assert_close(finest, pyramid.finest(maps[0]))
    assert fine.shape == (2, 4, 6, 10)
    torch.testing.assert_close(fine, pyramid.fine(maps[1]))
    assert torch.equal(same, maps[2])
    assert torch.equal(coarse, functional.max_pool2d(maps[3], 2, ceil_mode=True))


@pytest.mark.parametrize("size", [(14, 16), (7, 40), (3, 2), (1, 1), (37, 64)])
def test_positions_are_resampled_as_torch_does(size):
    grid = torch.randn(1, 14, 16, 5)
    expected = functional.interpolate(
        grid.permute(0, 3, 1, 2), size=size, mode="bicubic", antialias=True
    ).permute(0, 2, 3, 1)
    torch.testing.assert_close(resample_grid(grid, *size), expected, rtol=0, atol=1e-5)


def test_positions_are_left_alone_on_their_own_grid():
    grid = torch.randn(1, 14, 16, 5)
    assert torch.equal(resample_grid(grid, 14, 16), grid)


def test_gradients_reach_every_parameter(encoder):
    encoder.train()
    sum(features.square().sum() for features in encoder(torch.randn(1, 3, 65, 97))).backward()
    assert all(parameter.grad.any() for parameter in encoder.parameters())


def test_classification_weights_are_read_and_the_pyramid_left_alone(encoder):
    stored = timm.create_model(SMALL).state_dict()
    pyramid = {key: tensor.clone() for key, tensor in encoder.pyramid.state_dict().items()}
    encoder.load_classification(stored, where="memory")
    for key, tensor in encoder.body.state_dict().items():
        assert torch.equal(tensor, stored[key])
    for key, tensor in encoder.pyramid.state_dict().items():
        assert torch.equal(tensor, pyramid[key])


def test_classification_weights_fit_other_bands():
    encoder = PlainViT(SMALL, 5)
    stored = timm.create_model(SMALL).state_dict()
    encoder.load_classification(stored, where="memory")
    torch.testing.assert_close(
        encoder.body.patch_embed.proj.weight.sum(1), stored["patch_embed.proj.weight"].sum(1)
    )


def test_weights_of_another_network_are_refused(encoder):
    with pytest.raises(WeightsError, match="do not fit") as caught:
        encoder.load_classification({"conv1.weight": torch.zeros(1)}, where="memory")
    assert "pyramid" not in caught.value.got


def test_weights_that_timm_does_not_offer_cannot_be_fetched(encoder, monkeypatch):
    def refuse(name, *, pretrained):
        raise RuntimeError(f"nothing for {name}, {pretrained}")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(WeightsError, match=f"{SMALL} cannot be fetched") as caught:
        encoder.download_classification()
    assert caught.value.got == f"nothing for {SMALL}, True"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 16}, "cannot keep its maps at output stride 16"),
        ({"depth": 2}, "can be neither cut nor dilated"),
        ({"dilate_first_block": True}, "can be neither cut nor dilated"),
    ],
)
def test_what_a_transformer_cannot_do_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make_encoder(SMALL, **options)


def test_the_compiler_sees_one_graph(encoder):
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, dynamic=True, backend="eager")
    with torch.no_grad():
        for size in ((65, 97), (33, 129)):
            picture = torch.randn(1, 3, *size)
            for ours, theirs in zip(compiled(picture), encoder(picture), strict=True):
                torch.testing.assert_close(ours, theirs)


class Together(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, image):
        size = image.shape[-2:]
        maps = self.encoder(image)
        return torch.cat([functional.interpolate(features, size) for features in maps], dim=1)


def test_engines_give_the_same_maps_on_smaller_and_larger_grids(encoder, make_runner):
    # OpenVINO leaves antialiasing out of a resizing that asks for it: seen where the grid shrinks.
    network = Together(encoder).eval()
    content = to_onnx(network, (96, 128))
    for engine in ("onnxruntime", "openvino"):
        runner = make_runner(content, engine, classes=4 * 64)
        for shape in ((1, 3, 33, 65), (2, 3, 97, 61), (1, 3, 1, 70), (1, 3, 301, 203)):
            picture = torch.randn(shape)
            with torch.no_grad():
                expected = network(picture)
            answer = torch.from_numpy(runner.run(picture.numpy()))
            scale = float(expected.abs().max())
            torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 * scale)
