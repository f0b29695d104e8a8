from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.losses.dice
from pixelwise.losses.dice import dice_loss

CLASSES, IGNORED = 4, 255


@st.composite
def batches(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    batch, height, width = (draw(st.integers(1, 4)) for _ in range(3))
    logits = 4 * torch.randn(batch, CLASSES, height, width, generator=generator)
    ids = torch.tensor(draw(st.lists(st.sampled_from([0, 1, 2, 3, IGNORED]), min_size=1)))
    target = ids[torch.randint(len(ids), (batch, height, width), generator=generator)]
    return logits, target


def brute_force(logits, target):
    """One minus twice the overlap over the sum of the sizes, by picture, class and pixel."""
    logits, target = logits.double().numpy(), target.numpy()
    pictures = [_of_a_picture(*pair) for pair in zip(logits, target, strict=True)]
    counted = [loss for loss in pictures if loss is not None]
    return np.mean(counted) if counted else 0.0


def _of_a_picture(logits, target):
    pixels = [place for place in np.ndindex(target.shape) if target[place] != IGNORED]
    losses = []
    for class_ in {int(target[place]) for place in pixels}:
        overlap = size = 0.0
        for row, column in pixels:
            powers = np.exp(logits[:, row, column] - logits[:, row, column].max())
            probability = powers[class_] / powers.sum()
            truth = target[row, column] == class_
            overlap += probability * truth
            size += probability + truth
        losses.append(1 - 2 * overlap / size)
    return np.mean(losses) if losses else None


def test_public_names_are_sorted():
    assert pixelwise.losses.dice.__all__ == ["dice_loss"]


@settings(max_examples=50, deadline=None)
@given(batches())
def test_equals_its_definition(batch):
    loss = dice_loss(*batch, ignore_index=IGNORED)
    assert loss.ndim == 0
    assert -1e-6 <= float(loss) <= 1
    assert float(loss) == pytest.approx(brute_force(*batch), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(batches(), st.integers(0, 2**32))
def test_ignored_pixels_have_no_part_in_loss_or_gradient(batch, seed):
    logits, target = batch
    ignored = (target == IGNORED).unsqueeze(1)
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    gradients = []
    for values in (logits, torch.where(ignored, 50 * noise, logits)):
        scores = values.clone().requires_grad_()
        loss = dice_loss(scores, target, ignore_index=IGNORED)
        loss.backward()
        gradients.append(scores.grad)
        assert not scores.grad[ignored.expand_as(scores.grad)].any()
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_perfect_answer_loses_nothing():
    target = torch.randint(0, CLASSES, (2, 5, 7), generator=torch.Generator().manual_seed(1))
    logits = 60 * torch.nn.functional.one_hot(target, CLASSES).permute(0, 3, 1, 2).float()
    assert float(dice_loss(logits, target, ignore_index=IGNORED)) == pytest.approx(0, abs=1e-6)


def test_a_wholly_wrong_answer_loses_all():
    target = torch.zeros(1, 3, 3, dtype=torch.int64)
    logits = torch.zeros(1, CLASSES, 3, 3)
    logits[:, 1] = 60
    assert float(dice_loss(logits, target, ignore_index=IGNORED)) == pytest.approx(1)


@pytest.mark.parametrize("ignore_index", [IGNORED, -100, 2])
def test_all_ignored_is_zero_and_finite(ignore_index):
    logits = torch.randn(2, CLASSES, 3, 5, requires_grad=True)
    loss = dice_loss(logits, torch.full((2, 3, 5), ignore_index), ignore_index=ignore_index)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_descent_finds_the_truth():
    target = torch.tensor([[[0, 1, 2], [3, IGNORED, 0]]])
    logits = torch.zeros(1, CLASSES, 2, 3, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=5.0)
    for _ in range(200):
        optimizer.zero_grad()
        dice_loss(logits, target, ignore_index=IGNORED).backward()
        optimizer.step()
    counted = target != IGNORED
    assert torch.equal(logits.argmax(1)[counted], target[counted])


def test_an_absent_class_is_left_out_of_the_mean():
    # Class 3 is nowhere in the truth; what goes to it is lost to class 0 all the same.
    target = torch.zeros(1, 1, 2, dtype=torch.int64)
    logits = torch.zeros(1, CLASSES, 1, 2)
    logits[0, 3, 0, 1] = 60
    logits[0, 0, 0, 0] = 60
    assert float(dice_loss(logits, target, ignore_index=IGNORED)) == pytest.approx(1 - 2 / 3)
