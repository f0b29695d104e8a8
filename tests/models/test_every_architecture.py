"""What every architecture promises, on networks small enough to try it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pixelwise.export.onnx import to_onnx
from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.layers import resize

CLASSES = 5
SMALL = {
    "deeplabv3": {"encoder": "test_resnet", "decoder_channels": 32, "auxiliary": True},
    "deeplabv3plus": {"encoder": "test_resnet", "decoder_channels": 32, "auxiliary": True},
    "fcn": {"encoder": "test_resnet", "auxiliary": True},
    "fcn16s": {"encoder": "test_resnet", "hidden_channels": 32, "dropout": 0.1},
    "fcn32s": {"encoder": "test_resnet", "hidden_channels": 32, "dropout": 0.1},
    "fcn8s": {"encoder": "test_resnet", "hidden_channels": 32, "dropout": 0.1},
    "lraspp": {},
    "pspnet": {"encoder": "test_resnet", "decoder_channels": 32, "auxiliary": True},
    "segformer": {"decoder_channels": 32},
    "segnet": {"encoder": "vgg11_bn"},
    "unet": {"encoder": "test_resnet", "decoder_channels": (32, 32, 32, 16, 16)},
    "upernet": {"encoder": "test_convnext", "decoder_channels": 32, "auxiliary": True},
}
every_architecture = pytest.mark.parametrize("name", sorted(ARCHITECTURES))


def small(name, **options):
    """A small network whose normalisation layers have seen some pictures.

    timm starts the last one of a residual block at 0, where no gradient passes.
    """
    network = build(name, classes=CLASSES, **{**SMALL[name], **options})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        for _ in range(2):
            network.train()(torch.randn(2, network.config.in_channels, 64, 96))
    return network.eval()


def rounded_up(size, stride):
    return -(-size // stride)


def test_every_architecture_is_tried():
    assert sorted(SMALL) == sorted(ARCHITECTURES)


@every_architecture
@torch.inference_mode()
def test_pictures_of_any_size_get_scores(name):
    network = small(name)
    stride = network.output_stride
    for height, width in ((1, 1), (1, 70), (33, 65), (47, 61), (64, 96)):
        logits = network(torch.randn(1, 3, height, width))
        assert logits.shape == (1, CLASSES, rounded_up(height, stride), rounded_up(width, stride))
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


@every_architecture
@pytest.mark.parametrize("bands", [1, 4, 13])
def test_pictures_of_any_bands_get_scores(name, bands):
    network = small(name, in_channels=bands)
    with torch.inference_mode():
        assert network(torch.randn(1, bands, 64, 64)).shape[1] == CLASSES


@every_architecture
def test_one_picture_can_be_trained_on(name):
    network = small(name).train()
    for logits in network.all_logits(torch.randn(1, 3, 65, 97)):
        assert logits.shape[:2] == (1, CLASSES)
        assert logits.isfinite().all()


@every_architecture
@torch.inference_mode()
def test_pictures_of_a_batch_do_not_meet(name):
    network = small(name)
    batch = torch.randn(3, 3, 65, 97)
    alone = torch.cat([network(picture[None]) for picture in batch])
    torch.testing.assert_close(network(batch), alone, rtol=1e-3, atol=1e-4)


@every_architecture
def test_gradients_reach_every_parameter(name):
    network = small(name).train()
    sum(
        logits.square().mean() for logits in network.all_logits(torch.randn(2, 3, 65, 97))
    ).backward()
    unreached = [
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert unreached == []


@every_architecture
@torch.inference_mode()
def test_the_first_of_all_logits_is_the_answer(name):
    network = small(name)
    picture = torch.randn(1, 3, 64, 64)
    first, *auxiliary = network.all_logits(picture)
    assert torch.equal(first, network(picture))
    assert len(auxiliary) == int(SMALL[name].get("auxiliary", False))


def coloured_quarters():
    """Two pictures of four coloured quarters, and the class of each colour."""
    colours = torch.randn(CLASSES, 3)
    quarters = torch.tensor([[[0, 1], [2, 3]], [[4, 2], [1, 0]]])
    truth = quarters.repeat_interleave(32, dim=1).repeat_interleave(32, dim=2)  # [2, 64, 64]
    return colours[truth].permute(0, 3, 1, 2) + 0.05 * torch.randn(2, 3, 64, 64), truth


@every_architecture
def test_two_pictures_can_be_learnt_by_heart(name):
    network = build(name, classes=CLASSES, **SMALL[name]).train()
    pictures, truth = coloured_quarters()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(80):
        logits = resize(network(pictures), truth.shape[1:], alignment=network.alignment)
        loss = functional.cross_entropy(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right = (logits.argmax(1) == truth).float().mean()
        if right > 0.97:
            break
    assert right > 0.97, f"{right:.3f} of the pixels"


@every_architecture
@torch.inference_mode()
def test_memory_format_does_not_matter(name):
    network = small(name)
    pictures = torch.randn(2, 3, 64, 96)
    expected = network(pictures)
    network = network.to(memory_format=torch.channels_last)
    answer = network(pictures.to(memory_format=torch.channels_last))
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@every_architecture
def test_bfloat16_trains(name):
    network = small(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        answers = network.all_logits(torch.randn(2, 3, 64, 96))
    sum(logits.float().square().mean() for logits in answers).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_architecture
@torch.inference_mode()
def test_bfloat16_gives_nearly_the_same_scores(name):
    network = small(name)
    pictures = torch.randn(1, 3, 64, 96)
    expected = network(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(pictures).float()
    assert (answer - expected).abs().mean() < 0.05 * expected.abs().max()


@every_architecture
def test_the_compiler_sees_one_graph(name):
    torch.compiler.reset()
    network = small(name)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    pictures = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(compiled(pictures), network(pictures))
    network.train()
    assert compiled(pictures).shape[1] == CLASSES


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", ["deeplabv3plus", "segformer", "unet"])
def test_compiled_code_gives_the_same_scores(name):
    torch.compiler.reset()
    network = small(name)
    pictures = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = network(pictures)
        answer = torch.compile(network, fullgraph=True)(pictures)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@every_architecture
def test_an_exported_file_gives_the_same_labels_at_odd_sizes(name, make_runner):
    network = small(name)
    content = to_onnx(network)
    runners = [
        make_runner(content, engine, classes=CLASSES) for engine in ("onnxruntime", "openvino")
    ]
    for shape in ((1, 3, 33, 65), (2, 3, 97, 61), (3, 3, 127, 95)):
        pictures = torch.randn(shape)
        with torch.inference_mode():
            expected = network(pictures).numpy()
        for runner in runners:
            answer = runner.run(pictures.numpy())
            scale = np.abs(expected).max()
            np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-4 * scale)
            assert (answer.argmax(1) == expected.argmax(1)).mean() > 0.999
