from __future__ import annotations

import pytest
import segmentation_models_pytorch
import torch
from torch import nn
from transformers import (
    SegformerConfig,
    SegformerForImageClassification,
    SegformerForSemanticSegmentation,
)

from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.encoders.make import OWN_ENCODERS, make_encoder
from pixelwise.models.encoders.mix_transformer import MIT_VARIANTS, MixTransformer, MixVariant
from pixelwise.models.layers import resize
from pixelwise.models.segformer import (
    SegFormer,
    SegFormerConfig,
    convert_smp,
    convert_transformers,
    form_smp,
    form_transformers,
)
from pixelwise.models.weights import read_tensors

CLASSES = 7
TINY = {
    "mit_narrow": MixVariant(
        channels=(8, 12, 15, 32), depths=(1, 2, 3, 1), heads=(1, 2, 3, 4), reductions=(4, 2, 1, 1)
    ),
    "mit_deep": MixVariant(channels=(4, 8, 10, 16), depths=(2, 1, 1, 2)),
}
NAMES = [*TINY, "mit_b0"]


@pytest.fixture(autouse=True)
def tiny_variants(monkeypatch):
    for name, variant in TINY.items():
        monkeypatch.setitem(MIT_VARIANTS, name, variant)
        monkeypatch.setitem(OWN_ENCODERS, name, MixTransformer)


@torch.no_grad()
def randomise(network):
    """No two values alike, and of a size that every layer matters to the answer."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.5)
    return network.eval()


def assert_same(ours, theirs):
    scale = float(theirs.abs().max())
    assert theirs.std(dim=(2, 3)).mean() > 0.02 * scale
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * scale)


def config_of(name):
    variant = MIT_VARIANTS[name]
    return SegformerConfig(
        num_labels=CLASSES,
        hidden_sizes=list(variant.channels),
        depths=list(variant.depths),
        num_attention_heads=list(variant.heads),
        sr_ratios=list(variant.reductions),
    )


def test_the_smallest_network_is_that_of_the_default_config():
    assert config_of("mit_b0").to_dict() == SegformerConfig(num_labels=CLASSES).to_dict()


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_scores_are_those_of_transformers(name):
    peer = randomise(SegformerForSemanticSegmentation(config_of(name)))
    network = SegFormer(SegFormerConfig(classes=CLASSES, **form_transformers(name))).eval()
    load_tensors(network, convert_transformers(peer.state_dict()), where=name)
    for size in ((64, 96), (67, 93)):
        pictures = torch.randn(2, 3, *size)
        assert_same(network(pictures), peer(pictures).logits)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_converted_as_networks_are(name, tmp_path):
    peer = randomise(SegformerForSemanticSegmentation(config_of(name)))
    peer.save_pretrained(tmp_path)
    stored = read_tensors(tmp_path / "model.safetensors")
    from_file, from_network = map(convert_transformers, (stored, peer.state_dict()))
    assert sorted(from_file) == sorted(from_network)
    for key, tensor in from_file.items():
        assert torch.equal(tensor, from_network[key])


def test_published_keys_are_understood():
    published = {
        "segformer.encoder.patch_embeddings.1.proj.weight": "stages.1.embedding.convolution.weight",
        "segformer.encoder.patch_embeddings.1.layer_norm.bias": "stages.1.embedding.norm.bias",
        "segformer.encoder.block.2.0.layer_norm_1.bias": "stages.2.blocks.0.attention_norm.bias",
        "segformer.encoder.block.2.0.attention.self.sr.bias": (
            "stages.2.blocks.0.attention.reduction.convolution.bias"
        ),
        "segformer.encoder.block.2.0.attention.output.dense.weight": (
            "stages.2.blocks.0.attention.output.weight"
        ),
        "segformer.encoder.block.2.0.mlp.dense1.bias": "stages.2.blocks.0.feed_forward.expand.bias",
        "segformer.encoder.layer_norm.3.bias": "stages.3.norm.bias",
    }
    weights = {key: torch.zeros(1) for key in published}
    assert list(convert_transformers(weights)) == [f"encoder.{key}" for key in published.values()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("from_file", [True, False])
@torch.inference_mode()
def test_classification_weights_give_the_same_maps(name, from_file, tmp_path):
    peer = randomise(SegformerForImageClassification(config_of(name)))
    encoder = make_encoder(name).eval()
    if from_file:
        peer.save_pretrained(tmp_path)
        encoder.load_pretrained(tmp_path / "model.safetensors")
    else:
        encoder.load_classification(peer.state_dict(), where=name)
    pictures = torch.randn(1, 3, 67, 93)
    expected = peer.segformer(pictures, output_hidden_states=True).hidden_states
    for features, theirs in zip(encoder(pictures), expected, strict=True):
        assert_same(features, theirs)


@pytest.mark.parametrize("bands", [3, 5])
@torch.inference_mode()
def test_scores_are_those_of_segmentation_models_pytorch(bands):
    peer = randomise(
        segmentation_models_pytorch.Segformer(
            "mit_b0", encoder_weights=None, classes=CLASSES, in_channels=bands
        )
    )
    form = form_smp("mit_b0")
    network = SegFormer(SegFormerConfig(classes=CLASSES, in_channels=bands, **form)).eval()
    load_tensors(network, convert_smp(peer.state_dict()), where="mit_b0")
    for size in ((64, 96), (96, 160)):
        pictures = torch.randn(2, bands, *size)
        ours = resize(network(pictures), size, alignment=network.alignment)
        assert_same(ours, peer(pictures))


@torch.inference_mode()
def test_the_authors_encoder_gives_the_same_maps():
    peer = randomise(segmentation_models_pytorch.encoders.get_encoder("mit_b0", weights=None))
    encoder = make_encoder("mit_b0").eval()
    encoder.load_classification(peer.state_dict(), where="mit_b0")
    pictures = torch.randn(1, 3, 67, 93)
    for features, theirs in zip(encoder(pictures), peer(pictures)[2:], strict=True):
        assert_same(features, theirs)
