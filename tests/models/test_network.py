from __future__ import annotations

import pytest

from pixelwise.errors import UsageError
from pixelwise.models.deeplabv3plus import DeepLabV3PlusConfig
from pixelwise.models.network import NetworkConfig
from pixelwise.models.unet import UNetConfig


def faults_of(kind, **options):
    with pytest.raises(UsageError) as caught:
        kind(**options)
    assert caught.value.where == kind.__name__
    return caught.value.got.split("; ")


@pytest.mark.parametrize("classes", [1, 2, 65_535])
def test_class_counts_that_a_label_map_can_hold(classes):
    assert NetworkConfig(classes=classes).classes == classes


@pytest.mark.parametrize("classes", [0, -1, 65_536])
def test_class_counts_that_no_label_map_can_hold(classes):
    assert faults_of(NetworkConfig, classes=classes) == [
        f"classes={classes}: a whole number from 1 to 65,535"
    ]


@pytest.mark.parametrize("classes", [2.0, "2", None, True])
def test_a_class_count_is_a_whole_number(classes):
    (fault,) = faults_of(NetworkConfig, classes=classes)
    assert fault.startswith(f"classes={classes!r}: ")


def test_all_faults_are_told_at_once():
    assert len(faults_of(NetworkConfig, classes=0, in_channels=0, class_names=("a",))) == 3
    assert faults_of(DeepLabV3PlusConfig, classes=0, encoder_stride=4, fusion_blocks=0) == [
        "classes=0: a whole number from 1 to 65,535",
        "encoder_stride=4: 8 or 16",
        "fusion_blocks=0: 1 or more",
    ]


def test_choices_of_an_architecture_are_checked():
    first, second = faults_of(UNetConfig, classes=2, upsampling="bicubic", decoder_channels=("a",))
    assert first.startswith("decoder_channels=('a',): ")
    assert second == (
        "upsampling='bicubic': 'nearest', 'bilinear', 'transposed' or 'pixel_shuffle'"
    )


def test_a_config_is_fixed():
    with pytest.raises(AttributeError):
        NetworkConfig(classes=2).classes = 3
