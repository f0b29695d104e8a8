from __future__ import annotations

import math

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


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (0, "greater than or equal to 1"),
        (-1, "greater than or equal to 1"),
        (65_536, "less than or equal to 65535"),
    ],
)
def test_class_counts_that_no_label_map_can_hold(classes, reason):
    assert faults_of(NetworkConfig, classes=classes) == [f"classes={classes}: {reason}"]


@pytest.mark.parametrize("classes", [2.0, "2", None, True])
def test_a_class_count_is_a_whole_number(classes):
    (fault,) = faults_of(NetworkConfig, classes=classes)
    assert fault.startswith(f"classes={classes!r}: ")


def test_all_faults_are_told_at_once():
    assert faults_of(
        DeepLabV3PlusConfig, classes=0, encoder_stride=4, fusion_blocks=0, alignment="edges"
    ) == [
        "classes=0: greater than or equal to 1",
        "encoder_stride=4: 8 or 16",
        "fusion_blocks=0: greater than or equal to 1",
        "alignment='edges': 'corners' or 'half_pixel'",
    ]


def test_a_fault_inside_a_sequence_names_its_place():
    names = (*"abcd", 5, *map(str, range(3000)))
    assert faults_of(NetworkConfig, classes=3005, class_names=names) == [
        "class_names[4]=5: a valid string"
    ]
    assert faults_of(UNetConfig, classes=2, decoder_channels=(8, 0)) == [
        "decoder_channels[1]=0: greater than or equal to 1"
    ]


def test_class_names_are_as_many_as_classes_and_differ():
    assert faults_of(NetworkConfig, classes=3, class_names=("a", "a")) == [
        "class_names: 2 names for 3 classes",
        "class_names: ['a'] more than once",
    ]
    (fault,) = faults_of(NetworkConfig, classes=2, class_names=("a", ""))
    assert fault.startswith("class_names[1]='': ")


@pytest.mark.parametrize(
    "options",
    [
        {"upsampling": "bicubic"},
        {"head_kernel_size": 2},
        {"head_kernel_size": -1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dropout": math.nan},
        {"decoder_channels": ()},
        {"decoder_channels": ("a",)},
    ],
)
def test_senseless_choices_are_refused(options):
    (fault,) = faults_of(UNetConfig, classes=2, **options)
    assert fault.startswith(next(iter(options)))


def test_a_config_is_fixed():
    with pytest.raises(AttributeError):
        NetworkConfig(classes=2).classes = 3
