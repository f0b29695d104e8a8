from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import LossRule
from pixelwise.losses.chunked import chunked_loss
from pixelwise.losses.upsampled import SummedLoss, upsampled_cross_entropy

FEW = settings(max_examples=40, deadline=None)


def plain(logits, target, *, alignment="half_pixel", ignore_index, **options):
    """What the plain way gives: PyTorch's own enlargement, then its own cross-entropy."""
    wide = functional.interpolate(
        logits, target.shape[1:], mode="bilinear", align_corners=alignment == "corners"
    )
    weight = options.get("class_weights")
    return functional.cross_entropy(
        wide,
        target.long(),
        weight=None if weight is None else weight.to(logits),
        ignore_index=ignore_index,
        label_smoothing=options.get("label_smoothing", 0.0),
        reduction="sum",
    )


def both(loss, logits, target, **options):
    """A loss and its gradient."""
    logits = logits.detach().requires_grad_()
    total = loss(logits, target, **options)
    (gradient,) = torch.autograd.grad(total, logits)
    return total.detach(), gradient


def assert_close(actual, expected, tolerance=1e-5):
    (total, gradient), (expected_total, expected_gradient) = actual, expected
    assert float(total) == pytest.approx(float(expected_total), rel=tolerance, abs=1e-6)
    error = (gradient.double() - expected_gradient.double()).abs().max()
    assert error <= tolerance * expected_gradient.abs().max() + 1e-7


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([2, 3, 11, 19, 60]))
    sides = st.integers(1, 33)
    source, size = (draw(sides), draw(sides)), (draw(sides), draw(sides))
    logits = torch.tensor(3 * rng.normal(size=(2, classes, *source)), dtype=torch.float32)
    if draw(st.booleans()):
        logits = logits.contiguous(memory_format=torch.channels_last)
    types = [torch.uint8, torch.uint16, torch.int32, torch.int64]
    target = rng.integers(0, classes, (2, *size))
    target[rng.random(target.shape) < 0.2] = 255
    options = {
        "ignore_index": draw(st.sampled_from([255, 255, 0])),
        "alignment": draw(st.sampled_from(["half_pixel", "corners"])),
    }
    if options["ignore_index"] == 0:
        target[target == 255] = 0
    if draw(st.booleans()):
        options["class_weights"] = torch.tensor(rng.random(classes), dtype=torch.float32)
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1]))
    return logits, torch.tensor(target).to(draw(st.sampled_from(types))), options


@FEW
@given(cases())
def test_it_is_interpolation_and_cross_entropy(case):
    logits, target, options = case
    expected = both(plain, logits.double(), target, **options)
    assert_close(both(upsampled_cross_entropy, logits, target, **options), expected)
    exact = both(upsampled_cross_entropy, logits.double(), target, **options)
    assert_close(exact, expected, tolerance=1e-6)


def case_of(classes=5, source=(7, 9), size=(26, 35), seed=3, ids=None):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(2 * rng.normal(size=(2, classes, *source)), dtype=torch.float32)
    target = torch.tensor(rng.integers(0, ids or classes, (2, *size)), dtype=torch.uint8)
    target[:, 4:9, 3:20] = 255
    return logits, target


UNIONS = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]) > 0
CANDIDATES = torch.cat([torch.eye(5, dtype=torch.bool), UNIONS])
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_is_its_formula(gamma):
    def focal(logits, target):
        wide = functional.interpolate(logits, target.shape[1:], mode="bilinear")
        surprise = functional.cross_entropy(wide, target.long(), ignore_index=255, reduction="none")
        return ((1 - (-surprise).exp()) ** gamma * surprise)[target != 255].sum()

    logits, target = case_of()
    expected = both(focal, logits.double(), target)
    options = {"ignore_index": 255, "focal_gamma": gamma}
    for exact in (logits, logits.double()):
        assert_close(both(upsampled_cross_entropy, exact, target, **options), expected)


def test_a_union_costs_the_logarithm_of_its_probability():
    def union(logits, target):
        wide = functional.interpolate(logits, target.shape[1:], mode="bilinear", align_corners=True)
        share = wide.softmax(1)
        total = 0
        for row, members in enumerate(CANDIDATES[:-2]):
            pixels = target == row
            probability = share[:, members].sum(1)[pixels]
            total = total - (WEIGHTS[members].double().mean() * probability.log()).sum()
        return total

    logits, target = case_of(ids=len(CANDIDATES))
    expected = both(union, logits.double(), target)
    options = {"ignore_index": 255, "alignment": "corners", "candidates": CANDIDATES}
    options["class_weights"] = WEIGHTS
    for exact in (logits, logits.double()):
        assert_close(both(upsampled_cross_entropy, exact, target, **options), expected)


EVERY_OPTION = [
    {},
    {"class_weights": WEIGHTS, "alignment": "corners"},
    {"label_smoothing": 0.2, "candidates": CANDIDATES, "class_weights": WEIGHTS},
    {"focal_gamma": 2.0, "candidates": CANDIDATES, "class_weights": WEIGHTS},
    {"focal_gamma": 0.5},
]


@pytest.mark.parametrize("options", EVERY_OPTION)
def test_the_gradient_is_the_slope_of_the_loss(options):
    logits, target = case_of(
        source=(3, 4), size=(9, 7), ids=len(options.get("candidates", "12345"))
    )
    assert torch.autograd.gradcheck(
        lambda exact: upsampled_cross_entropy(exact, target, ignore_index=255, **options),
        logits.double().requires_grad_(),
    )


def in_chunks(logits, target, *, alignment="half_pixel", **options):
    """What runs on other devices, on this one."""
    rule = LossRule(logits.shape[1], **options)
    return SummedLoss.apply(logits, target, alignment == "corners", rule, chunked_loss)


@pytest.mark.parametrize("options", EVERY_OPTION)
@pytest.mark.parametrize("size", [(26, 35), (7, 9), (3, 4), (100, 1)])
def test_chunks_in_plain_torch_give_the_same_as_the_kernel(options, size):
    logits, target = case_of(size=size, ids=len(options.get("candidates", "12345")))
    options = {"ignore_index": 255} | options
    fused = both(upsampled_cross_entropy, logits, target, **options)
    for exact in (logits, logits.double()):
        assert_close(fused, both(in_chunks, exact, target, **options))


@pytest.mark.parametrize("options", EVERY_OPTION)
def test_scores_under_ignored_pixels_change_nothing(options):
    logits, target = case_of(source=(7, 20), size=(7, 40))
    target[:, :, 20:] = 255
    for exact in (logits, logits.double()):
        before = both(upsampled_cross_entropy, exact, target, ignore_index=255, **options)
        changed = exact.clone()
        changed[..., 12:] = torch.nan
        after = both(upsampled_cross_entropy, changed, target, ignore_index=255, **options)
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_gives_nan_and_all_ignored_gives_nothing(dtype):
    logits, target = case_of()
    logits = logits.to(dtype)
    broken = logits.clone()
    broken[1, 2, 3, 4] = torch.nan
    total, gradient = both(upsampled_cross_entropy, broken, target, ignore_index=255)
    assert total.isnan()
    assert gradient.isnan().any()
    nothing = torch.full_like(target, 255)
    total, gradient = both(upsampled_cross_entropy, broken, nothing, ignore_index=255)
    assert total == 0
    assert not gradient.any()


def test_the_number_of_threads_changes_no_bit():
    logits, target = case_of(40, (20, 30), (160, 240), ids=5)
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            answers.append(both(upsampled_cross_entropy, logits, target, ignore_index=255))
    finally:
        torch.set_num_threads(before)
    for total, gradient in answers[1:]:
        assert torch.equal(total, answers[0][0])
        assert torch.equal(gradient, answers[0][1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_raised_before_they_are_enlarged(dtype):
    logits, target = case_of()
    short = logits.to(dtype)
    total, gradient = both(upsampled_cross_entropy, short, target, ignore_index=255)
    expected_total, expected = both(
        upsampled_cross_entropy, short.float(), target, ignore_index=255
    )
    assert total.dtype == torch.float32
    assert torch.equal(total, expected_total)
    assert gradient.dtype == dtype
    assert torch.equal(gradient, expected.to(dtype))


@pytest.mark.parametrize("loss", [upsampled_cross_entropy, in_chunks])
def test_autocast_does_not_reach_into_it(loss):
    logits, target = case_of()
    expected = both(loss, logits, target, ignore_index=255)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = both(loss, logits, target, ignore_index=255)
    assert torch.equal(actual[1], expected[1])


def test_the_gradient_lies_as_the_logits_do():
    logits, target = case_of()
    last = logits.contiguous(memory_format=torch.channels_last)
    _, gradient = both(upsampled_cross_entropy, last, target, ignore_index=255)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gradient, both(upsampled_cross_entropy, logits, target, ignore_index=255)[1])


def test_a_second_pass_over_a_kept_graph_gives_the_same_gradient():
    logits, target = case_of()
    logits.requires_grad_()
    total = upsampled_cross_entropy(logits, target, ignore_index=255)
    (first,) = torch.autograd.grad(0.25 * total, logits, retain_graph=True)
    expected = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(0.25 * total, logits)
    assert torch.equal(second, expected)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(total, logits)


def test_the_gradient_cannot_be_differentiated():
    logits, target = case_of()
    logits.requires_grad_()
    total = upsampled_cross_entropy(logits, target, ignore_index=255)
    with pytest.raises(UsageError, match="cannot itself be differentiated"):
        torch.autograd.grad(total, logits, create_graph=True)


def test_without_a_gradient_the_loss_is_the_same():
    logits, target = case_of()
    total, _ = both(upsampled_cross_entropy, logits, target, ignore_index=255)
    alone = upsampled_cross_entropy(logits, target, ignore_index=255)
    assert torch.equal(alone, total)
    assert not alone.requires_grad
    with torch.no_grad():
        again = upsampled_cross_entropy(logits.requires_grad_(), target, ignore_index=255)
    assert torch.equal(again, total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("id_type", [torch.uint8, torch.uint16, torch.int32, torch.int64])
def test_ids_that_stand_for_no_class_are_named(dtype, id_type):
    logits, target = case_of()
    target = target.to(id_type)
    target[0, 0, 0], target[1, 2, 3] = 5, 200
    with pytest.raises(ArrayError, match="ids 5, 200, expected 0 to 4, or 255"):
        upsampled_cross_entropy(logits.to(dtype), target, ignore_index=255)


def test_arguments_that_do_not_fit_are_refused():
    logits, target = case_of()
    for bad in (
        (logits[0], target),
        (logits.int(), target),
        (logits, target.float()),
        (logits, target[:1]),
        (logits, target[0]),
        (logits[:, :, :0], target),
    ):
        with pytest.raises(ArrayError):
            upsampled_cross_entropy(*bad, ignore_index=255)
    for options in (
        {"alignment": "centre"},
        {"class_weights": torch.ones(4)},
        {"candidates": torch.ones(5, 5)},
        {"label_smoothing": 2.0},
        {"focal_gamma": -1.0},
    ):
        with pytest.raises(UsageError):
            upsampled_cross_entropy(logits, target, ignore_index=255, **options)
