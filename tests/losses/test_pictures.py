from __future__ import annotations

import pytest
import torch

import pixelwise.losses.pictures
from pixelwise.losses.pictures import picture_by_picture


def test_public_names_are_sorted():
    names = pixelwise.losses.pictures.__all__
    assert names == sorted(names)


def test_pictures_come_one_at_a_time_at_full_size():
    seen = []

    def squares(index, logits, with_gradient):
        seen.append((index, tuple(logits.shape), with_gradient))
        return (logits**2).sum(), 2 * logits if with_gradient else None

    logits = torch.randn(3, 2, 4, 5, requires_grad=True)
    total = picture_by_picture(logits, (8, 10), "half_pixel", squares)
    (gradient,) = torch.autograd.grad(3 * total, logits)
    full = torch.nn.functional.interpolate(logits, (8, 10), mode="bilinear")
    torch.testing.assert_close(total, (full**2).sum())
    (expected,) = torch.autograd.grad(3 * (full**2).sum(), logits)
    torch.testing.assert_close(gradient, expected)
    assert seen == [(index, (2, 8, 10), True) for index in range(3)]
    with torch.no_grad():
        picture_by_picture(logits, (8, 10), "half_pixel", squares)
    assert seen[3:] == [(index, (2, 8, 10), False) for index in range(3)]


def test_a_picture_without_a_gradient_gets_0():
    def only_the_second(index, logits, with_gradient):
        return logits.sum(), torch.ones_like(logits) if index else None

    logits = torch.randn(2, 2, 3, 3, requires_grad=True)
    picture_by_picture(logits, (3, 3), "corners", only_the_second).backward()
    assert not logits.grad[0].any()
    assert (logits.grad[1] == 1).all()


def test_a_second_derivative_is_refused():
    logits, scale = torch.randn(1, 2, 3, 3, requires_grad=True), torch.ones((), requires_grad=True)
    total = scale * picture_by_picture(
        logits, (3, 3), "corners", lambda *given: ((given[1] ** 2).sum(), 2 * given[1])
    )
    (gradient,) = torch.autograd.grad(total, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
