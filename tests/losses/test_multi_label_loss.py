from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import pixelwise.losses.multi_label_loss
from pixelwise.errors import ArrayError, UsageError
from pixelwise.losses import parse_multi_label_loss

CLASSES, IGNORED = 3, 255
SEEDS = st.integers(0, 2**32)
PIXELS = ["binary-cross-entropy", "focal(gamma=1.5)"]
REGIONS = ["dice", "tversky(alpha=0.6, beta=0.2, exponent=0.75)"]
TERMS = PIXELS + REGIONS
SUM = "binary-cross-entropy + 0.3 focal + dice + 2 tversky"
POSITIVE_WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


def make(text, positive_weights=None):
    return parse_multi_label_loss(text, classes=CLASSES, positive_weights=positive_weights)


def make_batch(seed, *, batch=None, size=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randint(1, 6, (3,), generator=generator).tolist()
    batch, size = batch or min(shape[0], 3), size or (shape[1], shape[2])
    values = torch.tensor([0, 0, 1, IGNORED], dtype=torch.uint8)
    places = torch.randint(0, 4, (batch, CLASSES, *size), generator=generator)
    target = values[places]
    if seed % 2:
        target[:, seed % CLASSES] = 0
    logits = 3 * torch.randn(batch, CLASSES, *size, generator=generator, dtype=dtype)
    return logits, target


def value_and_gradient(loss, logits, target, **others):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **others)
    value.backward()
    return value.detach(), leaf.grad


def by_definition(name, logits, target, positive_weights):
    counted = target != IGNORED
    truth = (target == 1).to(logits.dtype)
    if name in PIXELS:
        p = torch.where(target == 1, logits, -logits).sigmoid()
        gamma = 1.5 if "focal" in name else 0
        weight = 1 + truth * (positive_weights.to(logits).view(-1, 1, 1) - 1)
        losses = (weight * -p.log() * (1 - p) ** gamma)[counted]
        return losses.sum() / max(1, len(losses))
    alpha, beta, exponent = (0.5, 0.5, 1) if name == "dice" else (0.6, 0.2, 0.75)
    pictures = []
    for p, y, known in zip(logits.sigmoid(), truth, counted, strict=True):
        present = (y * known).sum((1, 2)) > 0
        hit = (p * y * known).sum((1, 2))[present]
        wrong = (p * (1 - y) * known).sum((1, 2))[present]
        missed = ((1 - p) * y * known).sum((1, 2))[present]
        index = hit / (hit + alpha * wrong + beta * missed)
        if present.any():
            pictures.append(((1 - index) ** exponent).mean())
    return sum(pictures) / len(pictures) if pictures else logits.sum() * 0


def test_public_names_are_sorted():
    names = pixelwise.losses.multi_label_loss.__all__
    assert names == sorted(names) == ["MultiLabelLoss", "parse_multi_label_loss"]


@pytest.mark.parametrize("name", TERMS)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_loss_and_gradient_are_those_of_the_definition(name, seed):
    logits, target = make_batch(seed)
    value, gradient = value_and_gradient(make(name, POSITIVE_WEIGHTS), logits, target)
    leaf = logits.clone().requires_grad_()
    expected = by_definition(name, leaf, target, POSITIVE_WEIGHTS)
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, leaf.grad)


@pytest.mark.parametrize("name", TERMS)
def test_gradients_agree_with_finite_differences(name):
    logits, target = make_batch(1, batch=2, size=(3, 4))
    loss = make(name, POSITIVE_WEIGHTS)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_(), eps=1e-7)


@pytest.mark.parametrize("text", [*TERMS, SUM])
@settings(max_examples=10)
@given(seed=SEEDS, cut=st.integers(1, 4))
def test_a_batch_cut_anywhere_adds_up_to_the_same(text, seed, cut):
    logits, target = make_batch(seed, batch=5, dtype=torch.float32)
    loss = make(text, POSITIVE_WEIGHTS)
    counts = loss.counts(target[:cut]) + loss.counts(target[cut:])
    assert torch.equal(counts, loss.counts(target))
    whole, gradient = value_and_gradient(loss, logits, target)
    parts = [
        value_and_gradient(loss, logits[part], target[part], counts=counts)
        for part in (slice(0, cut), slice(cut, None))
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        torch.cat([parts[0][1], parts[1][1]]), gradient, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("text", [*TERMS, SUM])
@settings(max_examples=10)
@given(seed=SEEDS)
def test_ignored_pixels_have_no_part_in_loss_or_gradient(text, seed):
    logits, target = make_batch(seed, dtype=torch.float32)
    ignored = target == IGNORED
    noise = 50 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    value, gradient = value_and_gradient(make(text), logits, target)
    again, gradient_again = value_and_gradient(
        make(text), torch.where(ignored, noise, logits), target
    )
    assert torch.equal(value, again)
    assert torch.equal(gradient, gradient_again)
    assert not gradient[ignored].any()


@pytest.mark.parametrize("text", TERMS)
def test_a_perfect_answer_loses_nothing_and_extreme_ones_stay_finite(text):
    _, target = make_batch(4, batch=2, size=(5, 6))
    logits = 1e4 * (2.0 * (target == 1) - 1)
    value, gradient = value_and_gradient(make(text), logits, target)
    assert float(value) == pytest.approx(0, abs=1e-6)
    worst, worst_gradient = value_and_gradient(make(text), -logits, target)
    assert worst.isfinite()
    assert gradient.isfinite().all()
    assert worst_gradient.isfinite().all()


@pytest.mark.parametrize("text", [*TERMS, SUM])
def test_a_batch_that_counts_for_nothing_is_0_with_gradient_0(text):
    target = torch.full((2, CLASSES, 3, 4), IGNORED, dtype=torch.uint8)
    value, gradient = value_and_gradient(make(text), torch.randn(2, CLASSES, 3, 4), target)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("alignment", ["half_pixel", "corners"])
def test_small_logits_are_enlarged(alignment):
    logits, _ = make_batch(1, batch=2, size=(4, 5), dtype=torch.float32)
    _, target = make_batch(2, batch=2, size=(15, 18))
    leaf = logits.clone().requires_grad_()
    full = functional.interpolate(
        leaf, (15, 18), mode="bilinear", align_corners=alignment == "corners"
    )
    expected = make(SUM)(full, target)
    expected.backward()
    value, gradient = value_and_gradient(make(SUM), logits, target, alignment=alignment)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_worked_out_in_float32():
    logits, target = make_batch(2, batch=2, size=(5, 6), dtype=torch.bfloat16)
    expected, _ = value_and_gradient(make(SUM), logits.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(make(SUM), logits, target)
    assert value.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(value, expected)


def test_counts_are_pixels_or_pictures():
    target = torch.tensor([[[[0, 1]], [[255, 0]]], [[[0, 0]], [[0, 0]]]], dtype=torch.uint8)
    loss = parse_multi_label_loss(SUM, classes=2)
    assert loss.counts(target).tolist() == [7, 7, 1, 1]


@pytest.mark.parametrize(
    ("shape", "target", "said"),
    [
        ((1, 3, 2, 2), torch.zeros(1, 3, 2, 2, dtype=torch.int64), "int64"),
        ((1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8), "[1, 2, 2]"),
        ((1, 3, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.uint8), "[1, 2, 2, 2]"),
        ((0, 3, 2, 2), torch.zeros(0, 3, 2, 2, dtype=torch.uint8), "[0, 3, 2, 2]"),
        ((1, 2, 2, 2), torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "[1, 2, 2, 2]"),
        ((1, 3, 2, 2), torch.full((1, 3, 2, 2), 7, dtype=torch.uint8), "7; expected 0, 1, or 255"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(shape, target, said):
    with pytest.raises(ArrayError) as caught:
        make(SUM)(torch.zeros(shape), target)
    assert said in caught.value.got


@pytest.mark.parametrize("weights", [torch.ones(2), torch.tensor([1, 1, -1.0])])
def test_weights_of_other_classes_or_below_0_are_refused(weights):
    with pytest.raises(UsageError):
        make("dice", weights)


def test_names_of_the_other_kind_of_loss_are_refused():
    with pytest.raises(UsageError) as caught:
        make("cross-entropy")
    assert "did you mean binary-cross-entropy?" in caught.value.got


def test_the_text_is_written_in_full():
    assert str(make(SUM)) == (
        "binary-cross-entropy + 0.3 focal(gamma=2) + dice"
        " + 2 tversky(alpha=0.3, beta=0.7, exponent=1)"
    )
