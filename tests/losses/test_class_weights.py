from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import ArrayError, UsageError
from pixelwise.losses.class_weights import (
    CLASS_WEIGHT_RULES,
    POSITIVE_WEIGHT_RULES,
    class_weights,
    positive_weights,
)
from pixelwise.losses.class_weights import __all__ as names

COUNTS = st.lists(st.integers(0, 10**10), min_size=1, max_size=12).map(torch.tensor)


def test_public_names_are_sorted():
    assert names == sorted(names)
    assert names[2:] == ["class_weights", "positive_weights"]


@pytest.mark.parametrize("rule", CLASS_WEIGHT_RULES)
@given(counts=COUNTS)
def test_the_average_pixel_weighs_1_and_so_does_a_class_without_any(rule, counts):
    weights = class_weights(counts, rule)
    assert weights.dtype == torch.float32
    assert weights.isfinite().all()
    assert (weights > 0).all()
    assert (weights[counts == 0] == 1).all()
    if counts.any():
        mean = (weights.double() * counts).sum() / counts.sum()
        assert float(mean) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("rule", CLASS_WEIGHT_RULES)
@given(counts=COUNTS)
def test_a_rarer_class_never_weighs_less(rule, counts):
    present = counts[counts > 0].sort().values
    weights = class_weights(present, rule)
    assert (weights[:-1] >= weights[1:] * (1 - 1e-6)).all()


@pytest.mark.parametrize("rule", CLASS_WEIGHT_RULES)
@given(counts=COUNTS, times=st.integers(2, 1000))
def test_only_shares_matter(rule, counts, times):
    # For few pixels, β of the effective number is not yet near 1.
    many = counts * 1000
    torch.testing.assert_close(
        class_weights(many * times, rule), class_weights(many, rule), rtol=1e-2, atol=1e-6
    )


def test_median_frequency_is_that_of_the_paper():
    # Three pictures of 100 pixels; the second class is in one of them alone, and fills half of it.
    counts, around = torch.tensor([210, 50, 40]), torch.tensor([300, 100, 300])
    frequency = torch.tensor([0.7, 0.5, 40 / 300])
    expected = 0.5 / frequency
    expected *= 300 / (expected * counts).sum()
    weights = class_weights(counts, "median-frequency", pixels_around=around)
    torch.testing.assert_close(weights, expected)
    root = class_weights(counts, "sqrt-median-frequency", pixels_around=around)
    torch.testing.assert_close(root / root[0], (expected / expected[0]).sqrt())


def test_inverse_gives_every_class_the_same_part():
    counts = torch.tensor([900, 90, 10])
    parts = class_weights(counts, "inverse") * counts
    torch.testing.assert_close(parts, torch.full((3,), 1000 / 3))


def test_the_effective_number_lies_between_inverse_and_none():
    # Mean 1000: β = 0.999.
    counts = torch.tensor([2989, 10, 1])
    expected = torch.tensor([0.001 / (1 - 0.999**n) for n in counts.tolist()])
    weights = class_weights(counts, "effective-number")
    torch.testing.assert_close(weights / weights[2], expected / expected[2], rtol=1e-4, atol=0)


def test_without_a_pixel_all_weigh_1():
    assert class_weights(torch.zeros(3, dtype=torch.int64), "inverse").tolist() == [1, 1, 1]


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        class_weights(torch.ones(3, dtype=torch.int64), "median")
    assert "median-frequency" in caught.value.fix


@pytest.mark.parametrize(
    "counts",
    [torch.ones(3), torch.ones(3, 1, dtype=torch.int64), torch.tensor([1, -1])],
)
def test_what_are_no_counts_is_refused(counts):
    with pytest.raises(ArrayError):
        class_weights(counts, "inverse")
    with pytest.raises(ArrayError):
        class_weights(torch.tensor([5, 6]), "median-frequency", pixels_around=counts)


@pytest.mark.parametrize("rule", POSITIVE_WEIGHT_RULES)
@given(counts=COUNTS)
def test_pixels_with_a_class_weigh_1_to_10(rule, counts):
    weights = positive_weights(counts, rule, pixels=2 * int(counts.max()) + 1)
    assert weights.dtype == torch.float32
    assert ((weights >= 1) & (weights <= 10)).all()
    assert (weights[counts == 0] == 1).all()


def test_pixels_with_a_class_are_weighed_against_those_without_it():
    counts = torch.tensor([200, 100, 10, 1])
    inverse = positive_weights(counts, "inverse", pixels=300)
    assert inverse.tolist() == pytest.approx([1, 2, 10, 10])
    root = positive_weights(counts, "sqrt-inverse", pixels=300)
    assert root.tolist() == pytest.approx([1, 2**0.5, 29**0.5, 10])
    assert positive_weights(counts, "none", pixels=300).tolist() == [1, 1, 1, 1]


def test_weights_by_the_median_of_other_classes_are_none_of_a_yes_or_no():
    with pytest.raises(UsageError, match="no such rule"):
        positive_weights(torch.tensor([1]), "median-frequency", pixels=2)
