from __future__ import annotations

import pytest
import torch
from torch import nn

import pixelwise.models.unet
from pixelwise.errors import UsageError
from pixelwise.models.unet import UNet, UNetConfig, UpBlock

CLASSES = 5
# The form of the street model: no step to the full size, corners on corners.
STREET = {
    "classes": CLASSES,
    "encoder": "mobilenetv2_100",
    "decoder_channels": (128, 96, 64, 48),
    "upsampling": "bilinear",
    "alignment": "corners",
}


@pytest.fixture
def network():
    return UNet(UNetConfig(**STREET)).eval()


def mirrored(picture):
    return picture.flip(-1)


def test_public_names_are_sorted():
    names = pixelwise.models.unet.__all__
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 70), (33, 65), (47, 61), (64, 96), (65, 97), (100, 31)]
)
@torch.inference_mode()
def test_scores_stand_on_every_second_pixel(network, height, width):
    scores = network(torch.rand(1, 3, height, width))
    assert scores.shape == (1, CLASSES, -(-height // 2), -(-width // 2))
    assert scores.dtype == torch.float32
    assert network.output_stride == 2


@torch.inference_mode()
def test_pictures_of_a_batch_do_not_meet(network):
    batch = torch.rand(3, 3, 65, 97)
    alone = torch.cat([network(picture[None]) for picture in batch])
    torch.testing.assert_close(network(batch), alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_prediction_has_no_chance_in_it(network):
    picture = torch.rand(1, 3, 33, 65)
    assert torch.equal(network(picture), network(picture))


@torch.inference_mode()
def test_scores_are_not_normalised(network):
    scores = network(torch.rand(1, 3, 65, 97))
    assert not torch.allclose(scores.softmax(1), scores)
    assert scores.min() < 0


def test_dropout_acts_in_training_only():
    network = UNet(UNetConfig(**STREET, dropout=0.5))
    picture = torch.rand(1, 3, 33, 65)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(picture), network(picture))
    network.eval()
    assert torch.equal(network(picture), network(picture))


def make_symmetric(network):
    """Gives every kernel its own mirror image, so that the network cannot tell left from right."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_((module.weight + mirrored(module.weight)) / 2)


@pytest.mark.parametrize("width", [33, 97, 129])
@torch.inference_mode()
def test_corners_of_all_levels_align_at_32k_plus_1(network, width):
    make_symmetric(network)
    picture = torch.rand(1, 3, 65, width)
    torch.testing.assert_close(
        network(mirrored(picture)), mirrored(network(picture)), rtol=1e-4, atol=1e-5
    )


@torch.inference_mode()
def test_corners_do_not_align_at_other_widths(network):
    # Shows that the test above can fail.
    make_symmetric(network)
    picture = torch.rand(1, 3, 65, 96)
    assert not torch.allclose(network(mirrored(picture)), mirrored(network(picture)), atol=1e-3)


@torch.inference_mode()
def test_a_step_up_puts_corners_on_corners():
    seen = []
    block = UpBlock(1, 1, 4, UNetConfig(**STREET)).eval()
    block.first.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    block(torch.tensor([[[[0.0, 2.0, 4.0]]]]), torch.zeros(1, 1, 1, 5), (1, 5))
    assert seen[0][0, 0, 0].tolist() == [0, 1, 2, 3, 4]


@torch.inference_mode()
def test_a_skip_carries_what_the_bottom_cannot(network):
    # A change of one pixel in a far corner is seen in the scores beside it.
    picture = torch.zeros(1, 3, 97, 97)
    changed = picture.clone()
    changed[..., 40, 60] = 1
    difference = (network(changed) - network(picture)).abs().amax(1)[0]
    row, column = divmod(int(difference.argmax()), difference.shape[1])
    assert abs(2 * row - 40) <= 8
    assert abs(2 * column - 60) <= 8


def test_the_papers_network_has_its_31_million_parameters():
    network = UNet(UNetConfig(classes=1))
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_037_633
    assert network.output_stride == 1


@pytest.mark.parametrize(
    ("encoder", "channels", "stride", "skips"),
    [
        ("test_resnet", (32, 24, 16, 8), 2, 4),
        ("test_resnet", None, 1, 4),
        ("test_convnext", (32, 24, 16), 4, 3),
        ("test_convnext", None, 1, 3),
    ],
)
@torch.inference_mode()
def test_the_decoder_goes_as_far_as_its_steps_lead(encoder, channels, stride, skips):
    network = UNet(UNetConfig(classes=2, encoder=encoder, decoder_channels=channels)).eval()
    logits = network(torch.rand(1, 3, 47, 61))
    assert network.output_stride == stride
    assert logits.shape == (1, 2, -(-47 // stride), -(-61 // stride))
    taken = [block.first[0].in_channels > block.enlarge.out_channels for block in network.decoder]
    assert sum(taken) == skips


def test_the_usual_channels_mirror_a_full_size_encoder():
    network = UNet(UNetConfig(classes=2))
    assert [block.second[0].out_channels for block in network.decoder] == [512, 256, 128, 64]


@pytest.mark.parametrize("channels", [(8, 8, 8), (8, 8, 8, 8, 8, 8)])
def test_a_decoder_of_the_wrong_depth_is_refused(channels):
    with pytest.raises(UsageError, match="a step for each level") as caught:
        UNet(UNetConfig(classes=2, encoder="test_resnet", decoder_channels=channels))
    assert caught.value.fix == "give 4 to 5 numbers of channels"


def test_strides_that_no_doubling_leads_to_are_refused():
    with pytest.raises(UsageError, match="do not lead to the encoder's strides"):
        UNet(UNetConfig(classes=2, encoder="convmixer_768_32"))
