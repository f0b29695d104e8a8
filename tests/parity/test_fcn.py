"""No peer has FCN-8s, but a VGG made convolutional gives what the classifier gives."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from pixelwise.models.fcn import FCN, FCNConfig


@pytest.fixture(scope="module")
def network():
    return FCN(FCNConfig(classes=2, encoder="vgg11")).eval()


@pytest.mark.parametrize("project", ["timm", "torchvision"])
@torch.inference_mode()
def test_hidden_values_are_those_of_the_classifier(network, project, assert_same):
    if project == "timm":
        peer = timm.create_model("vgg11").eval()
        classify = peer.pre_logits
    else:
        peer = torchvision.models.vgg11(init_weights=False).eval()
        classify = torch.nn.Sequential(torch.nn.Flatten(), *peer.classifier[:5])
    network.load_classification(peer.state_dict(), where=project)
    picture = torch.randn(1, 3, 224, 224)
    expected = classify(peer.features(picture)).flatten(1)
    # The middle of the 7x7 map sees the whole of it, as the fully connected layer does.
    ours = network.hidden(network.encoder(picture)[-1])[:, :, 3, 3]
    assert_same(ours / expected.abs().max(), expected / expected.abs().max())
