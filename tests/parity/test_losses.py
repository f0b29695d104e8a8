from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch import losses as peers
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from pixelwise.losses import parse_loss, parse_multi_label_loss

CLASSES, IGNORED = 5, 255


def make_batch(batch=2, size=(24, 28), *, ignored=True):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(batch, CLASSES, *size, generator=generator)
    target = torch.randint(0, CLASSES, (batch, *size), generator=generator)
    if ignored:
        target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORED
    return logits, target


def make_layers(batch=2, size=(24, 28)):
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(batch, CLASSES, *size, generator=generator)
    target = torch.rand(batch, CLASSES, *size, generator=generator) < 0.3
    return logits, target.to(torch.uint8)


def assert_same_value_and_gradient(ours, theirs, logits, target, *, tolerance=1e-5):
    found = []
    for loss in (ours, theirs):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, target)
        value.backward()
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    scale = float(found[1][1].abs().max())
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=tolerance * scale)


def make(text, **options):
    return parse_loss(text, classes=CLASSES, ignore_index=IGNORED, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 3.0, 0.0, 1.5])])
def test_cross_entropy_is_that_of_pytorch(weights, smoothing):
    ours = make("cross-entropy", class_weights=weights, label_smoothing=smoothing)

    def theirs(logits, target):
        return functional.cross_entropy(
            logits, target, weight=weights, ignore_index=IGNORED, label_smoothing=smoothing
        )

    assert_same_value_and_gradient(ours, theirs, *make_batch())


@pytest.mark.parametrize("alignment", ["half_pixel", "corners"])
def test_cross_entropy_of_small_logits_is_that_of_pytorch(alignment):
    logits, _ = make_batch(size=(6, 7))
    _, target = make_batch()

    def ours(logits, target):
        return make("cross-entropy")(logits, target, alignment=alignment)

    def theirs(logits, target):
        full = functional.interpolate(
            logits, target.shape[1:], mode="bilinear", align_corners=alignment == "corners"
        )
        return functional.cross_entropy(full, target, ignore_index=IGNORED)

    assert_same_value_and_gradient(ours, theirs, logits, target)


# The peer sums over the whole batch, and every class must be there: one picture, all classes.
@pytest.mark.parametrize("ignored", [False, True])
def test_dice_is_that_of_segmentation_models_pytorch(ignored):
    theirs = peers.DiceLoss("multiclass", ignore_index=IGNORED)
    assert_same_value_and_gradient(make("dice"), theirs, *make_batch(1, ignored=ignored))


@pytest.mark.parametrize(("alpha", "beta", "exponent"), [(0.3, 0.7, 1), (0.6, 0.2, 0.75)])
def test_tversky_is_that_of_segmentation_models_pytorch(alpha, beta, exponent):
    # The peer raises the mean over classes, not each class, to the power: one class has a loss.
    theirs = peers.TverskyLoss("multiclass", alpha=alpha, beta=beta, gamma=exponent)
    ours = make(f"tversky(alpha={alpha}, beta={beta}, exponent={exponent})")
    logits, target = make_batch(1, ignored=False)
    if exponent == 1:
        assert_same_value_and_gradient(ours, theirs, logits, target)
    else:
        binary = peers.TverskyLoss(
            "multilabel", classes=[1], alpha=alpha, beta=beta, gamma=exponent
        )
        logits, layers = make_layers(1)
        layers[:, [0, 2, 3, 4]] = 0
        ours = parse_multi_label_loss(str(ours), classes=CLASSES)
        assert_same_value_and_gradient(ours, binary, logits, layers)


@pytest.mark.parametrize("ignored", [False, True])
def test_lovasz_is_that_of_segmentation_models_pytorch(ignored):
    theirs = peers.LovaszLoss("multiclass", per_image=True, ignore_index=IGNORED)
    # The peer's gradient is made of differences of float32 that are nearly the same.
    batch = make_batch(ignored=ignored)
    assert_same_value_and_gradient(make("lovasz"), theirs, *batch, tolerance=1e-4)


def test_focal_without_gamma_is_cross_entropy_of_pytorch():
    def theirs(logits, target):
        return functional.cross_entropy(logits, target, ignore_index=IGNORED)

    assert_same_value_and_gradient(make("focal(gamma=0)"), theirs, *make_batch())


def test_binary_cross_entropy_is_that_of_pytorch():
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.0])
    ours = parse_multi_label_loss("binary-cross-entropy", classes=CLASSES, positive_weights=weights)

    def theirs(logits, target):
        return functional.binary_cross_entropy_with_logits(
            logits, target.float(), pos_weight=weights.view(-1, 1, 1)
        )

    assert_same_value_and_gradient(ours, theirs, *make_layers())


def test_focal_is_that_of_torchvision():
    def theirs(logits, target):
        return sigmoid_focal_loss(logits, target.float(), alpha=-1, gamma=2.5, reduction="mean")

    ours = parse_multi_label_loss("focal(gamma=2.5)", classes=CLASSES)
    assert_same_value_and_gradient(ours, theirs, *make_layers())


def test_focal_is_that_of_segmentation_models_pytorch():
    ours = parse_multi_label_loss("focal(gamma=2)", classes=CLASSES)
    theirs = peers.FocalLoss("multilabel", gamma=2.0)
    assert_same_value_and_gradient(ours, theirs, *make_layers())


def test_dice_of_layers_is_that_of_segmentation_models_pytorch():
    ours = parse_multi_label_loss("dice", classes=CLASSES)
    theirs = peers.DiceLoss("multilabel")
    assert_same_value_and_gradient(ours, theirs, *make_layers(1))
