from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import pixelwise.losses.segmentation_loss
from pixelwise.errors import ArrayError, UsageError
from pixelwise.losses import parse_loss

CLASSES, IGNORED = 4, 255
PIXELS = ["cross-entropy", "focal(gamma=1.5)"]
HARD = ["ohem(threshold=0.4, share=0.3)"]
REGIONS = ["dice", "tversky", "tversky(alpha=0.6, beta=0.2, exponent=0.75)", "lovasz", "boundary"]
TERMS = PIXELS + HARD + REGIONS
SUM = "cross-entropy + 0.3 focal + 2 ohem + dice + lovasz + 0.5 boundary"


def make(text, candidates=None, **others):
    return parse_loss(text, classes=CLASSES, ignore_index=IGNORED, candidates=candidates, **others)


def value_and_gradient(loss, logits, target, **others):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **others)
    value.backward()
    return value.detach(), leaf.grad


def test_public_names_are_sorted():
    names = pixelwise.losses.segmentation_loss.__all__
    assert names == sorted(names) == ["SegmentationLoss", "parse_loss"]


@pytest.mark.parametrize("text", TERMS)
def test_a_union_pixel_is_pushed_away_from_what_it_cannot_be(candidates, text):
    # The first pixels are surely of classes 2 and 3; the last may be 0 or 1, and looks like a 2.
    target = torch.tensor([[[2, 3, 3, 4]]])
    logits = torch.tensor([[[0.0, 1, 0, 0.3], [0, 0, 1, 0.1], [3, -1, -1, 3], [0, 3, 3, 0]]])
    _, gradient = value_and_gradient(make(text, candidates), logits.unsqueeze(2), target)
    assert gradient[0, 2, 0, 3] > 0
    assert (gradient[0, :2, 0, 3] < 0).all()


@pytest.mark.parametrize("text", REGIONS)
def test_a_perfect_answer_loses_nothing(text):
    target = torch.randint(0, CLASSES, (3, 6, 7), generator=torch.Generator().manual_seed(1))
    logits = 200 * functional.one_hot(target, CLASSES).permute(0, 3, 1, 2).float()
    assert float(make(text)(logits, target)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("text", [*TERMS, SUM])
@pytest.mark.parametrize("number", [IGNORED, 7, 8])
def test_a_batch_that_counts_for_nothing_is_0_with_gradient_0(candidates, text, number):
    loss = make(text, candidates)
    target = torch.full((2, 3, 5), number)
    assert not loss.counts(target).any()
    value, gradient = value_and_gradient(loss, torch.randn(2, CLASSES, 3, 5), target)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("text", TERMS)
@pytest.mark.parametrize("alignment", ["half_pixel", "corners"])
def test_small_logits_are_enlarged(make_batch, candidates, text, alignment):
    logits, _ = make_batch(1, batch=2, size=(4, 5), dtype=torch.float32)
    _, target = make_batch(2, rows=9, batch=2, size=(15, 18))
    leaf = logits.clone().requires_grad_()
    full = functional.interpolate(
        leaf, (15, 18), mode="bilinear", align_corners=alignment == "corners"
    )
    expected = make(text, candidates)(full, target)
    expected.backward()
    value, gradient = value_and_gradient(
        make(text, candidates), logits, target, alignment=alignment
    )
    torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", TERMS)
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_worked_out_in_float32(make_batch, candidates, text, precision):
    logits, target = make_batch(3, rows=9, batch=2, size=(6, 7), dtype=torch.float32)
    half = logits.to(precision)
    loss = make(text, candidates)
    expected, expected_gradient = value_and_gradient(loss, half.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(loss, half, target)
    assert value.dtype == torch.float32
    assert gradient.dtype == precision
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient.to(precision))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.uint16, torch.int32])
def test_any_whole_numbers_make_a_target(make_batch, candidates, kind):
    logits, target = make_batch(4, rows=9, dtype=torch.float32)
    loss = make(SUM, candidates)
    torch.testing.assert_close(loss(logits, target.to(kind)), loss(logits, target))


def test_the_sum_is_the_sum_of_its_terms_by_weight(make_batch, candidates):
    logits, target = make_batch(5, rows=9, batch=2, size=(6, 7), dtype=torch.float32)
    sum_, gradient = value_and_gradient(make(SUM, candidates), logits, target)
    weights = {"cross-entropy": 1, "focal": 0.3, "ohem": 2, "dice": 1, "lovasz": 1, "boundary": 0.5}
    parts = [value_and_gradient(make(name, candidates), logits, target) for name in weights]
    scaled = list(zip(weights.values(), parts, strict=True))
    torch.testing.assert_close(sum_, sum(weight * part[0] for weight, part in scaled))
    torch.testing.assert_close(
        gradient, sum(weight * part[1] for weight, part in scaled), rtol=1e-5, atol=1e-7
    )


def test_counts_are_pixel_weights_or_pictures(candidates):
    target = torch.tensor([[[0, 1, 4, 255]], [[4, 4, 7, 8]], [[255, 255, 255, 255]]])
    weights = torch.tensor([2.0, 4.0, 1.0, 1.0])
    loss = make("cross-entropy + focal + ohem + dice", candidates, class_weights=weights)
    counts = loss.counts(target)
    assert counts.dtype == torch.float64
    assert counts.tolist() == [2 + 4 + 3 + 2 * 3, 2 + 4 + 3 + 2 * 3, 2, 1]


def test_ohem_takes_the_pixels_that_are_hardest():
    logits = torch.tensor([4.0, 3, 2, -1, -2]).reshape(1, 1, 1, 5)
    logits = torch.cat([logits, torch.zeros_like(logits)], 1)
    target = torch.zeros(1, 1, 5, dtype=torch.int64)
    entropy = functional.softplus(-logits[0, 0, 0])
    for text, kept in [("threshold=0.5, share=0.1", 2), ("threshold=0.5, share=0.6", 3)]:
        loss = parse_loss(f"ohem({text})", classes=2, ignore_index=IGNORED)
        value, gradient = value_and_gradient(loss, logits, target)
        assert float(value) == pytest.approx(float(entropy[-kept:].mean()))
        assert (gradient[0, 0, 0] != 0).tolist() == [False] * (5 - kept) + [True] * kept


def test_hard_pixels_count_by_their_class_weight():
    logits = torch.tensor([[[[-1.0, 2.0]], [[0, 0]]]])
    target = torch.tensor([[[0, 1]]])
    loss = parse_loss(
        "ohem(share=1)", classes=2, ignore_index=IGNORED, class_weights=torch.tensor([1.0, 3.0])
    )
    entropy = functional.softplus(torch.tensor([1.0, 2.0]))
    assert float(loss(logits, target)) == pytest.approx(float(entropy @ torch.tensor([0.25, 0.75])))


def test_lovasz_of_a_hard_answer_is_one_minus_jaccard():
    generator = torch.Generator().manual_seed(7)
    target = torch.randint(0, CLASSES, (1, 8, 9), generator=generator)
    answer = torch.randint(0, CLASSES, (1, 8, 9), generator=generator)
    logits = 300 * functional.one_hot(answer, CLASSES).permute(0, 3, 1, 2).float()
    ious = [
        float(((target == c) & (answer == c)).sum()) / float(((target == c) | (answer == c)).sum())
        for c in range(CLASSES)
    ]
    assert float(make("lovasz")(logits, target)) == pytest.approx(1 - sum(ious) / CLASSES)


def test_a_class_is_scored_in_each_picture_that_has_it():
    target = torch.tensor([[[0, 0, 0, 0]], [[0, 1, 0, 0]]])
    logits = torch.full((2, CLASSES, 1, 4), -100.0)
    logits[:, 0] = 100
    # First picture: nothing lost. Second: class 0 has 3 of 4 right, class 1 nothing.
    expected = (0 + ((1 - 6 / 7) + 1) / 2) / 2
    assert float(make("dice")(logits, target)) == pytest.approx(expected)


def test_no_gradient_is_worked_out_where_none_is_wanted(make_batch, candidates):
    logits, target = make_batch(6, rows=9, dtype=torch.float32)
    loss = make(SUM, candidates)
    with_gradient, _ = value_and_gradient(loss, logits, target)
    assert not loss(logits, target).requires_grad
    torch.testing.assert_close(loss(logits, target), with_gradient)


def test_ignored_may_be_the_number_of_a_class_or_negative(make_batch):
    logits, target = make_batch(8, batch=2, size=(5, 5), dtype=torch.float32)
    moved = target.where(target != 2, IGNORED)
    for number in (2, -100):
        loss = parse_loss(SUM, classes=CLASSES, ignore_index=number)
        renamed = moved.where(moved != IGNORED, number)
        torch.testing.assert_close(loss(logits, renamed), make(SUM)(logits, moved))


def test_the_text_is_written_in_full():
    text = "Cross-Entropy + .5*tversky( beta=0.8 ) + 2 boundary"
    written = (
        "cross-entropy + 0.5 tversky(alpha=0.3, beta=0.8, exponent=1) + 2 boundary(tolerance=2)"
    )
    assert str(make(text)) == written
    assert str(make(written)) == written


@pytest.mark.parametrize(
    ("shape", "target", "said"),
    [
        ((2, 4, 3, 3), torch.zeros(2, 3, 3), "float32"),
        ((2, 4, 3, 3), torch.zeros(2, 1, 3, 3, dtype=torch.int64), "[2, 1, 3, 3]"),
        ((2, 5, 3, 3), torch.zeros(2, 3, 3, dtype=torch.int64), "[2, 5, 3, 3]"),
        ((3, 4, 3, 3), torch.zeros(2, 3, 3, dtype=torch.int64), "[3, 4, 3, 3]"),
        ((4, 3, 3), torch.zeros(2, 3, 3, dtype=torch.int64), "[4, 3, 3]"),
        ((0, 4, 3, 3), torch.zeros(0, 3, 3, dtype=torch.int64), "[0, 3, 3]"),
        ((2, 4, 3, 3), torch.full((2, 3, 3), 9), "9; expected 0…8, or 255"),
        ((2, 4, 3, 3), torch.full((2, 3, 3), -1), "-1; expected"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(candidates, shape, target, said):
    with pytest.raises(ArrayError) as caught:
        make(SUM, candidates)(torch.zeros(shape), target)
    assert said in caught.value.got


def test_strange_numbers_are_named_with_their_picture(candidates):
    target = torch.zeros(3, 4, 4, dtype=torch.int64)
    target[1, 2] = torch.tensor([9, 77, 300, 9])
    with pytest.raises(ArrayError) as caught:
        make("dice", candidates).counts(target)
    assert caught.value.got.startswith("9, 77, 300; ")
    assert "pictures 1 of" in caught.value.where


@pytest.mark.parametrize("counts", [torch.ones(2), torch.tensor([-1.0]), torch.tensor([torch.nan])])
def test_counts_of_another_loss_are_refused(counts):
    with pytest.raises(ArrayError):
        make("dice")(
            torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64), counts=counts
        )


def test_every_fault_of_the_text_is_named():
    with pytest.raises(UsageError) as caught:
        make(
            "0 dice + dise + tversky(alpha=11, gamma=1) + boundary(tolerance=1.5) + lovasz+lovasz +"
        )
    for said in (
        "'0 dice': the weight is not a number above 0",
        "did you mean dice?",
        "tversky(alpha=11): not a number from 0 to 10",
        "tversky(gamma=1): no such option",
        "boundary(tolerance=1.5): not a whole number from 1 to 64",
        "lovasz: more than once",
        "'': not of the form",
    ):
        assert said in caught.value.got


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 1}, "classes: 1"),
        ({"candidates": torch.ones(4, 3, dtype=torch.bool)}, "candidates: [4, 3]"),
        ({"candidates": torch.ones(4, 4, dtype=torch.bool)}, "not the classes themselves"),
        ({"class_weights": torch.ones(3)}, "class_weights: [3]"),
        ({"class_weights": torch.tensor([1, 1, 1, -1.0])}, "none may be below 0"),
        ({"class_weights": torch.tensor([1, 1, 1, torch.inf])}, "not finite"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
    ],
)
def test_what_no_loss_can_be_made_of_is_refused(options, said):
    with pytest.raises(UsageError) as caught:
        parse_loss("cross-entropy", **{"classes": CLASSES, "ignore_index": IGNORED} | options)
    assert said in caught.value.got


def test_label_smoothing_without_cross_entropy_is_refused():
    with pytest.raises(UsageError):
        make("dice", label_smoothing=0.1)


@pytest.mark.parametrize("text", [*PIXELS, *HARD, *REGIONS[:-1], "cross-entropy + boundary"])
def test_descent_finds_the_truth(text):
    target = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 255, 3, 3]]])
    logits = torch.randn(1, CLASSES, 4, 4, generator=torch.Generator().manual_seed(1))
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        make(text)(logits, target).backward()
        optimizer.step()
    counted = target != IGNORED
    assert torch.equal(logits.argmax(1)[counted], target[counted])
