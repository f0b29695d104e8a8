from __future__ import annotations

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

import pixelwise.models.encoders.swin
from pixelwise.export.onnx import to_onnx
from pixelwise.models.encoders.swin import PatchMerging, WindowBlock, free_the_size

VERSIONS = {"1": SwinTransformer, "2": SwinTransformerV2}
TRAINED = 112  # maps of 28 and 14: whole windows of 7, and more than one of them
every_version = pytest.mark.parametrize("version", VERSIONS)


class Stages(nn.Module):
    """Two stages, of two blocks and of one, unless other depths are asked for."""

    def __init__(self, version, depths=(2, 1)):
        super().__init__()
        whole = VERSIONS[version](
            img_size=TRAINED,
            embed_dim=8,
            depths=depths,
            num_heads=(2, 4)[: len(depths)],
            window_size=7,
            strict_img_size=False,
        )
        self.patches = whole.patch_embed
        self.stages = whole.layers
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, image):
        features = self.patches(image)
        for stage in self.stages:
            features = stage(features)
        return features.permute(0, 3, 1, 2)


@pytest.fixture
def make_freed():
    def make(version, **options):
        stages = Stages(version, **options)
        free_the_size(stages.stages)
        return stages.eval()

    return make


def test_public_names_are_sorted():
    names = pixelwise.models.encoders.swin.__all__
    assert names == ["PatchMerging", "WindowBlock", "free_the_size"]


@every_version
@torch.inference_mode()
def test_the_answer_at_the_training_size_is_timms(version):
    stages = Stages(version).eval()
    picture = torch.randn(2, 3, TRAINED, TRAINED)
    expected = stages(picture)
    keys = sorted(stages.state_dict())
    free_the_size(stages.stages)
    assert sorted(stages.state_dict()) == keys
    torch.testing.assert_close(stages(picture), expected)


@every_version
@torch.inference_mode()
def test_maps_of_any_size_are_rounded_up(version, make_freed):
    stages = make_freed(version)
    for height, width in ((4, 4), (4, 72), (36, 68), (60, 100)):
        answer = stages(torch.randn(1, 3, height, width))
        assert answer.shape == (1, 16, -(-height // 8), -(-width // 8))
        assert answer.isfinite().all()


def block_of(make_freed, index):
    block = make_freed("1").stages[0].blocks[index]
    assert isinstance(block, WindowBlock)
    return block


def reached(block, height, width, row, column):
    """The places that a change of one place reaches."""
    features = torch.randn(1, height, width, 8)
    changed = features.clone()
    changed[0, row, column] = torch.randn(8)
    return {
        tuple(place) for place in (block(changed) != block(features))[0].any(-1).nonzero().tolist()
    }


def places(rows, columns):
    return {(row, column) for row in rows for column in columns}


@torch.inference_mode()
def test_windows_start_at_the_corner(make_freed):
    block = block_of(make_freed, 0)
    assert reached(block, 12, 17, 3, 8) == places(range(7), range(7, 14))
    assert reached(block, 12, 17, 9, 15) == places(range(7, 12), range(14, 17))


@torch.inference_mode()
def test_every_second_block_is_shifted_by_half_a_window(make_freed):
    block = block_of(make_freed, 1)
    assert reached(block, 17, 17, 5, 8) == places(range(3, 10), range(3, 10))


@torch.inference_mode()
def test_opposite_edges_of_a_map_do_not_meet(make_freed):
    block = block_of(make_freed, 1)
    # A map of whole windows: the corner's neighbours after the shift come from all four corners.
    assert reached(block, 14, 14, 0, 0) == places(range(3), range(3))
    assert reached(block, 14, 14, 13, 13) == places(range(10, 14), range(10, 14))
    assert reached(block, 14, 14, 0, 13) == places(range(3), range(10, 14))
    # One that was filled up before it was shifted.
    assert reached(block, 12, 14, 11, 0) == places(range(10, 12), range(3))


@torch.inference_mode()
def test_a_single_window_is_shifted_too(make_freed):
    assert reached(block_of(make_freed, 1), 7, 7, 6, 6) == places(range(3, 7), range(3, 7))


@torch.inference_mode()
def test_merging_fills_odd_maps_with_zeros(make_freed):
    merging = make_freed("1").stages[1].downsample
    assert isinstance(merging, PatchMerging)
    odd = torch.randn(2, 5, 7, 8)
    even = torch.zeros(2, 6, 8, 8)
    even[:, :5, :7] = odd
    assert torch.equal(merging(odd), merging(even))


@every_version
def test_gradients_reach_every_parameter(version, make_freed):
    stages = make_freed(version).train()
    stages(torch.randn(2, 3, 60, 68)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in stages.parameters())


@every_version
def test_the_compiler_sees_one_graph_for_all_sizes(version, make_freed):
    torch.compiler.reset()
    stages = make_freed(version)
    compiled = torch.compile(stages, fullgraph=True, dynamic=True, backend="eager")
    with torch.no_grad():
        for size in ((60, 68), (100, 36)):
            picture = torch.randn(1, 3, *size)
            torch.testing.assert_close(compiled(picture), stages(picture))


@pytest.mark.parametrize(("version", "depths"), [("1", (2, 1)), ("2", (2,))])
def test_engines_give_the_same_answer_at_any_size(version, depths, make_freed, make_runner):
    stages = make_freed(version, depths=depths)
    # Sizes in this example that happen to be one window, or whole windows, would be taken for
    # such at all sizes.
    content = to_onnx(stages, (124, 188))
    for engine in ("onnxruntime", "openvino"):
        runner = make_runner(content, engine, classes=8 * len(depths))
        for shape in ((1, 3, 36, 68), (2, 3, 100, 60), (1, 3, 4, 4), (1, 3, 224, 224)):
            picture = torch.randn(shape)
            with torch.no_grad():
                expected = stages(picture)
            answer = torch.from_numpy(runner.run(picture.numpy()))
            scale = float(expected.abs().max())
            torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5 * scale)
