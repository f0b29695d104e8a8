from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import segmentation
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import pixelwise as pw
from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError, WeightsError
from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.layers import resize
from pixelwise.models.weights import shipped_encoder_file, shipped_encoders


def refused(**options):
    with pytest.raises(UsageError) as caught:
        build(**{"architecture": "pspnet", "classes": 3, "encoder": "test_resnet"} | options)
    return caught.value


def test_the_public_call_builds():
    network = pw.build("deeplabv3plus", encoder="test_resnet", classes=19)
    assert network.config.classes == 19
    assert network.config.encoder == "test_resnet"


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_usual_network_of_every_name_is_built(name):
    with torch.device("meta"):
        network = build(name, classes=4)
    assert isinstance(network, ARCHITECTURES[name].network)
    assert network.config.encoder == ARCHITECTURES[name].config.encoder


def test_classes_may_be_given_by_name():
    table = ClassTable.builtin("camvid")
    for classes in (table, table.names, list(table.names)):
        config = build("lraspp", classes=classes, encoder="test_resnet").config
        assert (config.classes, config.class_names) == (11, table.names)


def test_an_unknown_architecture_offers_the_nearest():
    error = refused(architecture="deeplabv3+")
    assert "'deeplabv3+'" in error.what
    assert error.fix.startswith("did you mean deeplabv3 or deeplabv3plus?")


def test_an_unknown_encoder_offers_the_nearest():
    error = refused(encoder="resnet5")
    assert "'resnet5'" in error.what
    assert "resnet50" in error.got


def test_an_unknown_option_offers_the_nearest():
    error = refused(upsampling="bilinear", drop_out=0.1)
    assert error.got == "drop_out=0.1, upsampling='bilinear'"
    assert error.fix.startswith("did you mean dropout?")


def test_what_a_name_decides_is_no_option():
    assert refused(architecture="fcn8s", finest_stride=32).got == "finest_stride=32"


def test_an_unknown_source_tells_those_there_are():
    error = refused(source="keras")
    assert error.got == "sources of pspnet: segmentation_models_pytorch"
    assert refused(architecture="segnet", source="keras").got == "sources of segnet: none"


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": None},
        {"architecture": ["unet"]},
        {"source": ["torchvision"]},
        {"weights": 5},
        {"encoder_weights": b"timm"},
        {"pytorch_file": "yes"},
    ],
)
def test_arguments_of_the_wrong_type_are_named(options):
    ((name, value),) = options.items()
    assert refused(**options).got.startswith(f"{name}={value!r}: ")


def test_whole_numbers_of_numpy_will_do():
    config = build(
        "lraspp", classes=np.int64(3), encoder="test_resnet", decoder_channels=np.uint8(8)
    ).config
    assert (type(config.classes), type(config.decoder_channels)) == (int, int)


def test_class_names_come_with_the_classes_only():
    assert refused(class_names=("a", "b", "c")).got == "class_names=('a', 'b', 'c')"


def test_names_of_transformers_are_found_in_a_table_by_alias(tmp_path):
    table = ClassTable.builtin("ade20k")
    stored = [f"{info.aliases[0]} " if info.aliases else info.name for info in table]
    config = SegformerConfig(id2label=dict(enumerate(stored)))
    SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    network = build(
        "segformer", classes=table, source="transformers", weights=tmp_path / "model.safetensors"
    )
    assert network.config.class_names == table.names


@pytest.mark.parametrize("classes", [0, 65_536, "19", 2.5])
def test_impossible_class_counts_are_refused(classes):
    assert f"classes={classes!r}" in refused(classes=classes).got


def test_a_list_of_numbers_will_do():
    network = build("unet", classes=2, encoder="test_resnet", decoder_channels=[8, 8, 8, 8])
    assert network.config.decoder_channels == (8, 8, 8, 8)


def test_an_encoder_that_cannot_be_dilated_is_told_with_those_that_can():
    error = refused(encoder="test_mambaout")
    assert "test_mambaout" in error.what
    assert "resnet" in error.fix


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_an_encoder_starts_from_classification_weights(tmp_path, bands):
    path = tmp_path / "encoder.safetensors"
    stored = make_encoder("test_resnet").body.state_dict()
    save_file(stored, path)
    network = build(
        "lraspp", classes=2, encoder="test_resnet", in_channels=bands, encoder_weights=path
    )
    stem = network.encoder.body.conv1[0].weight
    torch.testing.assert_close(stem.sum(1), stored["conv1.0.weight"].sum(1))
    assert torch.equal(network.encoder.body.layer1[0].conv1.weight, stored["layer1.0.conv1.weight"])


def test_a_download_that_fails_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        build("lraspp", classes=2, encoder="test_resnet", encoder_weights="timm")


def test_own_encoders_have_nothing_to_download():
    with pytest.raises(WeightsError, match="nothing to download"):
        build("unet", classes=2, encoder_weights="timm")


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(make_encoder("test_resnet").body.state_dict(), tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="nothing was loaded") as caught:
        build("pspnet", classes=2, encoder="test_resnet", weights=tmp_path / "encoder.safetensors")
    assert "missing" in caught.value.got
    assert "unexpected" in caught.value.got


def test_a_torchvision_file_loads_in_one_call(tmp_path):
    theirs = segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    ).eval()
    torch.save(theirs.state_dict(), tmp_path / "lraspp.pth")
    ours = build(
        "lraspp",
        classes=4,
        source="torchvision",
        weights=tmp_path / "lraspp.pth",
        pytorch_file=True,
    ).eval()
    picture = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = theirs(picture)["out"]
        answer = resize(ours(picture), (64, 96))
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory):
    """A SegFormer as transformers saves it, with the names of its classes."""
    folder = tmp_path_factory.mktemp("segformer")
    config = SegformerConfig(id2label={0: "road", 1: "grass", 2: "sky"})
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    return folder


def test_a_transformers_folder_loads_in_one_call(transformers_folder):
    ours = build(
        "segformer",
        classes=("road", "grass", "sky"),
        source="transformers",
        weights=transformers_folder / "model.safetensors",
    ).eval()
    theirs = SegformerForSemanticSegmentation.from_pretrained(transformers_folder).eval()
    picture = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture), theirs(picture).logits, rtol=0, atol=1e-5)


def test_weights_whose_shapes_contradict_each_other_are_refused(tmp_path):
    tensors = {
        "decoder.conv.0.weight": torch.tensor(1.0),
        "decoder.psp.blocks.0.pool.1.0.weight": torch.zeros(8, 32, 1, 1),
    }
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="contradict each other"):
        build(
            "pspnet",
            classes=2,
            encoder="resnet18",
            source="segmentation_models_pytorch",
            weights=tmp_path / "weights.safetensors",
        )


def test_a_transformers_folder_of_other_classes_is_refused(transformers_folder):
    with pytest.raises(WeightsError) as caught:
        build(
            "segformer",
            classes=("road", "sky", "grass"),
            source="transformers",
            weights=transformers_folder / "model.safetensors",
        )
    assert "1: 'grass', expected 'sky'" in caught.value.got
    assert "missing" not in caught.value.got


def test_shipped_weights_are_those_of_the_encoder():
    network = build("unet", classes=2, encoder="mobilenetv2_100", encoder_weights="shipped")
    encoder = make_encoder("mobilenetv2_100")
    encoder.load_pretrained(shipped_encoder_file("mobilenetv2_100"))
    for one, other in zip(
        network.encoder.state_dict().values(), encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert network.encoder.state_dict()["body.conv_stem.weight"].dtype == torch.float32


def test_an_encoder_without_shipped_weights_offers_those_that_have():
    error = refused(encoder_weights="shipped")
    assert error.what == "no weights ship for the encoder test_resnet"
    assert "mobilenetv2_100" in error.fix


def test_what_ships_is_small_and_has_its_licence_beside_it():
    for name, path in shipped_encoders().items():
        assert path.stat().st_size < 12e6
        assert "Apache License" in path.with_name(f"{name}.LICENSE").read_text("utf-8")
        assert hashlib.sha256(path.read_bytes()).hexdigest() in path.with_name(
            "README.md"
        ).read_text("utf-8")
