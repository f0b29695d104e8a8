from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

import pixelwise.models.encoders
from pixelwise.errors import WeightsError
from pixelwise.models.encoders import Encoder

NAME = "mobilenetv2_100"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def encoder():
    return Encoder(NAME)


def weights_of(encoder):
    """What a file holds: weights of the encoder, drawn anew, and a classifier of no use to it."""
    tensors = {
        key: torch.rand_like(value) if value.is_floating_point() else value.clone()
        for key, value in encoder.body.state_dict().items()
    }
    return tensors | {"classifier.weight": torch.rand(10, 4)}


def faults_of(encoder, tensors, path):
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        encoder.load_pretrained(path)
    assert caught.value.where == str(path)
    assert NAME in caught.value.what
    return caught.value.got


def test_public_names_are_sorted():
    assert pixelwise.models.encoders.__all__ == ["Encoder"]


@pytest.mark.parametrize(
    ("name", "channels"),
    [(NAME, (16, 24, 32, 96, 320)), ("resnet18", (64, 64, 128, 256, 512))],
)
@torch.inference_mode()
def test_maps_have_the_channels_and_strides_that_are_told(name, channels):
    encoder = Encoder(name).eval()
    assert encoder.channels == channels
    assert encoder.strides == (2, 4, 8, 16, 32)
    maps = encoder(torch.rand(1, 3, 65, 97))
    for features, depth, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        assert features.shape == (1, depth, 64 // stride + 1, 96 // stride + 1)


@torch.inference_mode()
def test_pictures_may_have_other_bands():
    maps = Encoder(NAME, in_channels=5).eval()(torch.rand(1, 5, 33, 33))
    assert maps[0].shape == (1, 16, 17, 17)


def test_weights_are_read_and_the_classifier_passed_over(encoder, tmp_path):
    tensors = weights_of(encoder)
    save_file(tensors, tmp_path / "weights.safetensors")
    encoder.load_pretrained(tmp_path / "weights.safetensors")
    for key, value in encoder.body.state_dict().items():
        assert torch.equal(value, tensors[key])


def test_half_precision_weights_are_read_as_float32(encoder, tmp_path):
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in weights_of(encoder).items()
    }
    save_file(tensors, tmp_path / "half.safetensors")
    encoder.load_pretrained(tmp_path / "half.safetensors")
    stem = encoder.body.state_dict()["conv_stem.weight"]
    assert stem.dtype == torch.float32
    assert torch.equal(stem, tensors["conv_stem.weight"].float())


def test_every_fault_is_listed_and_nothing_is_read(encoder, tmp_path):
    before = {key: value.clone() for key, value in encoder.body.state_dict().items()}
    tensors = weights_of(encoder)
    del tensors["conv_stem.weight"], tensors["bn1.bias"]
    tensors["bn1.weight"] = torch.rand(7)
    got = faults_of(encoder, tensors, tmp_path / "weights.safetensors")
    assert got.split("; ") == [
        "conv_stem.weight: missing",
        "bn1.bias: missing",
        "bn1.weight: shape (7,), expected (32,)",
    ]
    for key, value in encoder.body.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_long_list_of_faults_is_cut(encoder, tmp_path):
    got = faults_of(encoder, {"head": torch.rand(1)}, tmp_path / "other.safetensors")
    assert got.count("missing") == 10
    assert got.endswith(" …")


def test_weights_that_cannot_be_read_are_refused(encoder, tmp_path):
    broken = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder.load_pretrained(broken)
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder.load_pretrained(broken)
