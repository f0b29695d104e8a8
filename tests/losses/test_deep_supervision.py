from __future__ import annotations

import pytest
import torch

import pixelwise.losses.deep_supervision
from pixelwise.errors import ArrayError
from pixelwise.losses import parse_loss, parse_multi_label_loss, supervise_all

LOSS = parse_loss("cross-entropy + dice", classes=3, ignore_index=255)


def make_outputs():
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(0, 3, (2, 8, 10), generator=generator)
    sizes = [(8, 10), (4, 5), (2, 3)]
    return [torch.randn(2, 3, *size, generator=generator) for size in sizes], target


def test_public_names_are_sorted():
    assert pixelwise.losses.deep_supervision.__all__ == ["Loss", "supervise_all"]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_is_the_sum_of_the_losses_by_weight(heads):
    outputs, target = make_outputs()
    weights = (1.0, 0.4, 0.1)
    total = supervise_all(LOSS, outputs[:heads], target, weights=weights, alignment="corners")
    parts = [LOSS(logits, target, alignment="corners") for logits in outputs[:heads]]
    expected = sum(weight * part for weight, part in zip(weights, parts, strict=False))
    torch.testing.assert_close(total, expected)


def test_counts_of_the_whole_batch_hold_for_every_head():
    outputs, target = make_outputs()
    counts = LOSS.counts(target)
    parts = [
        supervise_all(LOSS, [logits[part] for logits in outputs[:2]], target[part], counts=counts)
        for part in (slice(0, 1), slice(1, 2))
    ]
    torch.testing.assert_close(sum(parts), supervise_all(LOSS, outputs[:2], target))


def test_every_head_gets_a_gradient():
    outputs, _ = make_outputs()
    target = torch.ones(2, 3, 8, 10, dtype=torch.uint8)
    leaves = [logits.requires_grad_() for logits in outputs[:2]]
    supervise_all(parse_multi_label_loss("dice", classes=3), leaves, target).backward()
    assert all(leaf.grad.abs().sum() > 0 for leaf in leaves)


@pytest.mark.parametrize("heads", [0, 3])
def test_outputs_without_weights_are_refused(heads):
    outputs, target = make_outputs()
    with pytest.raises(ArrayError):
        supervise_all(LOSS, outputs[:heads], target)
