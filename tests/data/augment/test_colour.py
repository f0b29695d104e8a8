from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.data.augment import Photometric

FEW = settings(max_examples=80, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
LUMA = np.array([0.299, 0.587, 0.114])


def drawn(seed, **limits):
    tint, gamma = Photometric(**limits).draw(np.random.default_rng(seed))
    matrix = np.array(tint)
    return matrix[:, :3], matrix[:, 3], gamma


@given(SEEDS)
def test_without_limits_nothing_changes(seed):
    mixing, added, gamma = drawn(seed)
    np.testing.assert_array_equal(mixing, np.eye(3))
    np.testing.assert_array_equal(added, np.zeros(3))
    assert gamma == 1


@FEW
@given(SEEDS, st.floats(0.01, 1))
def test_brightness_is_one_factor_for_all(seed, limit):
    mixing, added, _ = drawn(seed, brightness=limit)
    np.testing.assert_allclose(mixing, mixing[0, 0] * np.eye(3))
    assert abs(mixing[0, 0] - 1) <= limit
    assert not added.any()


@FEW
@given(SEEDS, st.floats(0.01, 1))
def test_contrast_keeps_the_mid_grey(seed, limit):
    mixing, added, _ = drawn(seed, contrast=limit)
    np.testing.assert_allclose(mixing @ np.full(3, 127.5) + added, 127.5)
    assert abs(mixing[0, 0] - 1) <= limit


@FEW
@given(SEEDS, st.floats(0.01, 1), st.floats(0.01, 0.5))
def test_saturation_and_hue_keep_greys_and_luma(seed, saturation, hue):
    mixing, added, _ = drawn(seed, saturation=saturation, hue=hue)
    np.testing.assert_allclose(mixing.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(LUMA @ mixing, LUMA, atol=1e-5)
    assert not added.any()


def test_grey_leaves_no_colour():
    mixing, _, _ = drawn(0, grey=1, saturation=0.5)
    np.testing.assert_allclose(mixing, [LUMA] * 3, atol=1e-12)


def test_half_a_turn_of_the_hue_is_the_complement_and_two_are_none():
    def turned(share):
        seed = next(
            seed
            for seed in range(10_000)
            if abs(np.random.default_rng(seed).uniform(-1, 1, 8)[3] - share) < 1e-3
        )
        return drawn(seed, hue=0.5)[0]

    half = turned(0.9995)
    colour = np.array([200.0, 60, 90])
    complement = half @ colour
    np.testing.assert_allclose(complement - LUMA @ colour, LUMA @ colour - colour, atol=2)
    np.testing.assert_allclose(half @ half, np.eye(3), atol=0.02)


@FEW
@given(SEEDS, st.floats(0.01, 0.5))
def test_white_balance_is_a_factor_for_each_channel(seed, limit):
    mixing, added, _ = drawn(seed, white_balance=limit)
    gains = np.diag(mixing)
    np.testing.assert_array_equal(mixing, np.diag(gains))
    assert (abs(gains - 1) <= limit).all()
    assert len(set(gains.tolist())) == 3
    assert not added.any()


@FEW
@given(SEEDS, st.floats(1, 4))
def test_exponents_lie_between_the_limit_and_its_inverse(seed, limit):
    _, _, gamma = drawn(seed, gamma=limit)
    assert 1 / limit - 1e-9 <= gamma <= limit + 1e-9


@FEW
@given(SEEDS)
def test_the_changes_come_in_the_order_of_the_attributes(seed):
    share = np.random.default_rng(seed).uniform(-1, 1, 8)
    limits = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.5, "white_balance": 0.2}
    mixing, added, _ = drawn(seed, **limits)
    colour = np.array([30.0, 140, 220])
    expected = colour * (1 + 0.4 * share[0])
    expected = 127.5 + (expected - 127.5) * (1 + 0.3 * share[1])
    grey = LUMA @ expected
    expected = grey + (expected - grey) * (1 + 0.5 * share[2])
    expected = expected * (1 + 0.2 * share[4:7])
    np.testing.assert_allclose(mixing @ colour + added, expected)


@given(SEEDS)
def test_one_change_more_leaves_the_others_as_they_were(seed):
    alone, _, _ = drawn(seed, brightness=0.5)
    with_gamma, _, gamma = drawn(seed, brightness=0.5, gamma=2)
    np.testing.assert_array_equal(alone, with_gamma)
    assert gamma != pytest.approx(1, abs=1e-12)
