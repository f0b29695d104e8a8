from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from pixelwise.errors import UsageError
from pixelwise.models.encoders.statistics import input_statistics

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def write(tmp_path):
    def make(metadata):
        path = tmp_path / "weights.safetensors"
        save_file({"a": torch.zeros(1)}, path, metadata)
        return path

    return make


def test_shipped_weights_say_their_own():
    assert input_statistics("mobilenetv2_100", "shipped") == HALVES


def test_what_does_not_ship_is_told():
    with pytest.raises(UsageError, match="no weights ship"):
        input_statistics("resnet50", "shipped")


@pytest.mark.parametrize("weights", ["timm", None])
@pytest.mark.parametrize("name", ["mobilenetv2_100", "vit_base_patch16_224", "inception_v3"])
def test_timms_weights_have_timms(name, weights):
    known = timm.get_pretrained_cfg(name)
    assert input_statistics(name, weights) == (known.mean, known.std)


@pytest.mark.parametrize("name", ["plain", "mit_b0", "mobilenet_v3_large", "test_resnet"])
def test_all_others_have_those_of_imagenet(name):
    known = IMAGENET if not timm.is_model(name) else None
    mean, std = input_statistics(name, None)
    assert len(mean) == len(std) == 3
    assert known is None or (mean, std) == known


def test_a_file_may_say_its_own(write):
    path = write({"mean": "0.1 0.2 0.3", "std": "1 2 3"})
    assert input_statistics("resnet50", path) == ((0.1, 0.2, 0.3), (1, 2, 3))
    assert input_statistics("resnet50", str(path)) == ((0.1, 0.2, 0.3), (1, 2, 3))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"mean": "0.1 0.2 0.3"},
        {"mean": "0.1", "std": "1 1 1"},
        {"mean": "a b c", "std": "1 1 1"},
        {"mean": "0 0 0", "std": "1 0 1"},
        {"mean": "nan 0 0", "std": "1 1 1"},
        {"mean": "0 0 0", "std": "1 inf 1"},
    ],
)
def test_a_file_that_says_nothing_of_use_has_those_of_the_encoder(write, metadata):
    assert input_statistics("resnet50", write(metadata)) == IMAGENET


def test_a_file_that_cannot_be_read_fails_when_it_is_loaded(tmp_path):
    (tmp_path / "broken").write_bytes(b"no")
    assert input_statistics("resnet50", tmp_path / "broken") == IMAGENET
    assert input_statistics("resnet50", tmp_path / "none") == IMAGENET
