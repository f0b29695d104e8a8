from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.losses.boundary
from pixelwise.losses.boundary import Boundary
from pixelwise.losses.regions import ClassScores


def square(top, left, side=4, size=12):
    plane = torch.zeros(size, size, dtype=torch.bool)
    plane[top : top + side, left : left + side] = True
    return plane


def loss_of(answer, truth, tolerance):
    scores = ClassScores(answer.double(), truth, None)
    return float(Boundary(tolerance).evaluate(scores, with_gradient=False)[0])


def test_public_names_are_sorted():
    assert pixelwise.losses.boundary.__all__ == ["Boundary"]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), tolerance=st.integers(1, 3))
def test_as_much_more_everywhere_changes_nothing_even_where_neighbours_are_equal(seed, tolerance):
    generator = torch.Generator().manual_seed(seed)
    probability = torch.randint(0, 4, (7, 9), generator=generator).double() / 4
    truth = torch.rand(7, 9, generator=generator) < 0.5
    loss, gradient = Boundary(tolerance).evaluate(
        ClassScores(probability, truth, None), with_gradient=True
    )
    more, _ = Boundary(tolerance).evaluate(
        ClassScores(probability + 0.25, truth, None), with_gradient=False
    )
    assert float(more) == pytest.approx(float(loss))
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("tolerance", [1, 2, 3])
def test_a_shift_within_the_tolerance_costs_nothing(tolerance):
    truth = square(3, 3)
    assert loss_of(square(3 + tolerance, 3), truth, tolerance) == pytest.approx(0)
    assert loss_of(square(3 + tolerance + 1, 3), truth, tolerance) > 0.1


def test_an_answer_without_a_boundary_loses_nearly_all():
    # Precision 1, recall (0 + 1) / (12 + 1).
    expected = 1 - 2 * (1 / 13) / (1 + 1 / 13)
    assert loss_of(torch.zeros(12, 12), square(4, 4), 1) == pytest.approx(expected)


def test_the_edge_of_the_picture_is_no_boundary():
    everywhere = torch.ones(5, 5, dtype=torch.bool)
    assert loss_of(everywhere, everywhere, 2) == 0
    assert loss_of(square(0, 0, 2, 5), everywhere, 2) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_pictures_may_be_one_pixel_wide(size):
    truth = torch.zeros(size, dtype=torch.bool)
    truth[0, 0] = True
    scores = ClassScores(torch.rand(size), truth, None)
    loss, gradient = Boundary(2).evaluate(scores, with_gradient=True)
    assert 0 <= float(loss) <= 1
    assert gradient.shape == size
