from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.losses import parse_loss

CLASSES, IGNORED = 4, 255
PIXELS = ["cross-entropy", "focal(gamma=1.5)"]
HARD = ["ohem(threshold=0.4, share=0.3)"]
REGIONS = ["dice", "tversky", "tversky(alpha=0.6, beta=0.2, exponent=0.75)", "lovasz", "boundary"]
TERMS = PIXELS + HARD + REGIONS
SUM = "cross-entropy + 0.3 focal + 2 ohem + dice + lovasz + 0.5 boundary"
SEEDS = st.integers(0, 2**32)


def make(text, candidates=None, **others):
    return parse_loss(text, classes=CLASSES, ignore_index=IGNORED, candidates=candidates, **others)


def value_and_gradient(loss, logits, target, **others):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **others)
    value.backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ohem", {"threshold": 0.4, "share": 0.3}),
        ("dice", {}),
        ("tversky", {"alpha": 0.2, "beta": 0.7, "exponent": 0.75}),
        ("lovasz", {}),
        ("boundary", {"tolerance": 1}),
    ],
)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_loss_and_gradient_are_those_of_the_definition(
    make_batch, candidates, by_definition, name, options, seed
):
    logits, target = make_batch(seed, rows=9)
    written = ", ".join(f"{key}={value}" for key, value in options.items())
    value, gradient = value_and_gradient(make(f"{name}({written})", candidates), logits, target)
    leaf = logits.clone().requires_grad_()
    expected = by_definition(name, options, leaf, target)
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, leaf.grad)


@pytest.mark.parametrize("text", [*HARD, *REGIONS])
@pytest.mark.parametrize("seed", [1])
def test_gradients_agree_with_finite_differences(make_batch, candidates, text, seed):
    logits, target = make_batch(seed, rows=9, batch=2, size=(3, 4))
    loss = make(text, candidates)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_(), eps=1e-7)


@pytest.mark.parametrize("text", [*TERMS, SUM])
@settings(max_examples=10)
@given(seed=SEEDS, cut=st.integers(1, 4))
def test_a_batch_cut_anywhere_adds_up_to_the_same(make_batch, candidates, text, seed, cut):
    logits, target = make_batch(seed, rows=9, batch=5, dtype=torch.float32)
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0])
    loss = make(text, candidates, class_weights=weights)
    counts = loss.counts(target[:cut]) + loss.counts(target[cut:])
    torch.testing.assert_close(counts, loss.counts(target))
    whole, gradient = value_and_gradient(loss, logits, target)
    parts = [
        value_and_gradient(loss, logits[part], target[part], counts=counts)
        for part in (slice(0, cut), slice(cut, None))
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        torch.cat([parts[0][1], parts[1][1]]), gradient, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("text", TERMS)
@settings(max_examples=10)
@given(seed=SEEDS, order=st.permutations(range(CLASSES)))
def test_classes_in_another_order_give_gradients_in_that_order(
    make_batch, candidates, text, seed, order
):
    logits, target = make_batch(seed, rows=9, dtype=torch.float32)
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0])
    # Class order[k] becomes class k.
    table = candidates.clone()
    table[CLASSES:] = candidates[CLASSES:, order]
    renamed = target.clone()
    for new, old in enumerate(order):
        renamed[target == old] = new
    loss = make(text, candidates, class_weights=weights)
    moved = make(text, table, class_weights=weights[order])
    value, gradient = value_and_gradient(loss, logits, target)
    again, gradient_again = value_and_gradient(moved, logits[:, order], renamed)
    torch.testing.assert_close(again, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient_again, gradient[:, order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", TERMS)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_ignored_pixels_have_no_part_in_loss_or_gradient(make_batch, candidates, text, seed):
    logits, target = make_batch(seed, rows=9, dtype=torch.float32)
    ignored = ((target == IGNORED) | (target >= 7)).unsqueeze(1)
    noise = 50 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    loss = make(text, candidates)
    value, gradient = value_and_gradient(loss, logits, target)
    again, gradient_again = value_and_gradient(loss, torch.where(ignored, noise, logits), target)
    assert torch.equal(value, again)
    assert torch.equal(gradient, gradient_again)
    assert not gradient[ignored.expand_as(gradient)].any()


@pytest.mark.parametrize("text", [*TERMS, SUM])
@settings(max_examples=10)
@given(seed=SEEDS)
def test_rows_of_one_class_are_that_class_and_rows_of_all_or_none_are_ignored(
    make_batch, candidates, text, seed
):
    logits, target = make_batch(seed, rows=9, dtype=torch.float32)
    plain = target.where(target != 6, 2).where((target != 7) & (target != 8), IGNORED)
    loss = make(text, candidates)
    assert torch.equal(loss.counts(target), loss.counts(plain))
    value, gradient = value_and_gradient(loss, logits, target)
    expected, expected_gradient = value_and_gradient(loss, logits, plain)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("text", TERMS)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_which_of_its_classes_a_union_pixel_gets_does_not_matter(
    make_batch, candidates, text, seed
):
    logits, target = make_batch(seed, rows=5, dtype=torch.float32)
    swapped = torch.where((target == 4).unsqueeze(1), logits[:, [1, 0, 2, 3]], logits)
    loss = make(text, candidates)
    torch.testing.assert_close(loss(logits, target), loss(swapped, target))


@pytest.mark.parametrize("text", REGIONS)
@settings(max_examples=20)
@given(seed=SEEDS)
def test_region_losses_lie_between_0_and_1(make_batch, candidates, text, seed):
    logits, target = make_batch(seed, rows=9, dtype=torch.float32)
    assert 0 <= float(make(text, candidates)(logits, target)) <= 1 + 1e-6


@pytest.mark.parametrize("text", [*TERMS, SUM])
@settings(max_examples=5)
@given(seed=SEEDS)
def test_extreme_logits_stay_finite(make_batch, candidates, text, seed):
    logits, target = make_batch(seed, rows=9, dtype=torch.float32)
    value, gradient = value_and_gradient(make(text, candidates), 1e4 * logits.sign(), target)
    assert value.isfinite()
    assert gradient.isfinite().all()
