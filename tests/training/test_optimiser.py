"""How weights follow from gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.training.optimiser import (
    follow_average,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from pixelwise.training.plan import make_plan

SCHEDULES = st.sampled_from(["cosine", "poly", "constant"])


def plan_of(**choices):
    return make_plan({"data": [{"path": "x"}], **choices}, where="a test")


class Two(nn.Module):
    """A convolution with normalisation on either side of the line."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def test_the_cosine_starts_at_the_top_is_half_in_the_middle_and_ends_at_nothing():
    plan = plan_of(schedule="cosine", warmup_steps=0, learning_rate=0.2)
    assert learning_rate(plan, 0, 100) == 0.2
    assert learning_rate(plan, 50, 100) == pytest.approx(0.1)
    assert learning_rate(plan, 100, 100) == pytest.approx(0, abs=1e-12)


def test_poly_has_the_power_of_nine_tenths():
    plan = plan_of(schedule="poly", warmup_steps=0, learning_rate=1.0)
    assert learning_rate(plan, 30, 100) == pytest.approx(0.7**0.9)


def test_a_constant_rate_is_one():
    plan = plan_of(schedule="constant", warmup_steps=0, learning_rate=0.3)
    assert {learning_rate(plan, step, 10) for step in range(11)} == {0.3}


def test_warm_up_rises_in_equal_steps():
    plan = plan_of(schedule="constant", warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(plan, step, 10) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


@given(SCHEDULES, st.integers(0, 50), st.integers(1, 200), st.data())
def test_the_rate_is_never_above_the_highest_nor_below_nothing(schedule, warmup, total, data):
    plan = plan_of(schedule=schedule, warmup_steps=warmup, learning_rate=0.01)
    step = data.draw(st.integers(0, total + 5))
    assert 0 <= learning_rate(plan, step, total) <= 0.01


@given(SCHEDULES, st.integers(1, 200))
def test_the_rate_only_falls_after_the_warm_up(schedule, total):
    plan = plan_of(schedule=schedule, warmup_steps=0)
    rates = [learning_rate(plan, step, total) for step in range(total + 1)]
    assert rates == sorted(rates, reverse=True)


def test_the_encoder_learns_at_its_share_and_only_matrices_decay():
    network = Two()
    optimizer = make_optimizer(network, plan_of(encoder_rate=0.25, weight_decay=0.1))
    set_learning_rate(optimizer, 0.4)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in network.named_parameters():
        rate = 0.1 if name.startswith("encoder.") else 0.4
        assert found[id(parameter)] == (rate, 0.1 if parameter.ndim > 1 else 0.0)
    assert len(found) == len(list(network.parameters()))


def test_a_step_is_that_of_adamw():
    """Loshchilov, Hutter 2019, algorithm 2, with the usual constants."""
    torch.manual_seed(0)
    network = Two().double()
    optimizer = make_optimizer(network, plan_of(weight_decay=0.1, encoder_rate=1.0))
    weight = network.head[0].weight
    expected = weight.detach().clone()
    first = second = torch.zeros_like(expected)
    for step in range(1, 4):
        gradient = torch.randn_like(expected)
        weight.grad = gradient.clone()
        set_learning_rate(optimizer, 0.01)
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        expected = expected * (1 - 0.01 * 0.1)
        root = (second / (1 - 0.999**step)).sqrt() + 1e-8
        expected = expected - 0.01 * first / (1 - 0.9**step) / root
        torch.testing.assert_close(weight.detach(), expected)


def test_the_average_is_that_of_its_definition_and_takes_counters_over():
    torch.manual_seed(0)
    averaged, network = Two(), Two()
    network.encoder[1].num_batches_tracked += 7
    before = {key: value.clone() for key, value in averaged.state_dict().items()}
    follow_average(averaged, network, 0.9, step=1000)
    for key, value in averaged.state_dict().items():
        new = network.state_dict()[key]
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[key] + 0.1 * new)
        else:
            assert value == new


@pytest.mark.parametrize("step", [0, 1, 10, 100])
def test_the_average_forgets_faster_at_first(step):
    averaged, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    nn.init.ones_(network.weight)
    follow_average(averaged, network, 0.998, step)
    assert averaged.weight.item() == pytest.approx(1 - (1 + step) / (10 + step), rel=1e-5)


def test_without_averaging_the_weights_are_the_last():
    torch.manual_seed(0)
    averaged, network = Two(), Two()
    follow_average(averaged, network, 0.0, step=5)
    for one, other in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_rate_is_a_number():
    plan = plan_of()
    assert math.isfinite(learning_rate(plan, 0, 1))
