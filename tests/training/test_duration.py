from __future__ import annotations

import pytest
import torch

from pixelwise.errors import UsageError
from pixelwise.models.build import build
from pixelwise.training import duration
from pixelwise.training.duration import Duration, grid_of, measure
from pixelwise.training.plan import make_plan

NETWORK = {"decoder_channels": (16, 16, 8, 8), "upsampling": "bilinear", "alignment": "corners"}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make():
    """A plan of a small network."""

    def plan(**choices):
        usual = {
            "data": [{"path": "nowhere"}],
            "encoder": "mobilenetv2_050",
            "network": NETWORK,
            "crop": (65, 97),
            "encoder_weights": None,
            "loss": "dice",
        }
        return make_plan({**usual, **choices}, where="a test")

    return plan


@pytest.mark.parametrize(
    ("choices", "grid"),
    [
        ({}, (32, 1)),
        ({"network": {**NETWORK, "alignment": "half_pixel"}}, (32, 0)),
        ({"encoder": "plain", "network": {}}, (16, 0)),
        ({"architecture": "segformer", "encoder": "mit_b0", "network": {}}, (32, 0)),
    ],
)
def test_sides_that_fit_the_network(make, choices, grid):
    assert grid_of(make(**choices), classes=3) == grid


def test_what_cannot_be_built_is_told(make):
    with pytest.raises(UsageError, match="no architecture 'unett'"):
        grid_of(make(architecture="unett"), classes=3)


def test_a_step_takes_time_and_memory(make):
    cost = measure(make(), classes=3, scored_size=(64, 96))
    assert cost.score_seconds > 0
    assert cost.pass_seconds > 0
    assert cost.step_seconds(8) > cost.step_seconds(4) > 4 * cost.pass_seconds
    assert cost.memory(4) > cost.memory(2) > cost.fixed_bytes > 0


def test_memory_goes_with_the_pixels(make):
    small = measure(make(crop=(65, 65)), classes=3, scored_size=(65, 65))
    large = measure(make(crop=(129, 129)), classes=3, scored_size=(65, 65))
    assert small.fixed_bytes == large.fixed_bytes
    assert large.picture_bytes / small.picture_bytes == pytest.approx(4, rel=0.15)


def test_weights_are_kept_five_times(make):
    """Themselves, averaged, their gradients and two moments of each."""
    network = build("unet", classes=3, encoder="mobilenetv2_050", **NETWORK)
    own = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    cost = measure(make(), classes=3, scored_size=(65, 97))
    assert cost.fixed_bytes == 5 * own


def test_nothing_of_it_remains(make):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    measure(make(), classes=3, scored_size=(65, 97))
    assert torch.equal(before, torch.get_rng_state())


def test_larger_pictures_are_reckoned_from_smaller_ones(make, monkeypatch):
    monkeypatch.setattr(duration, "_MOST_SCORED", 64 * 96)
    small = measure(make(), classes=3, scored_size=(64, 96))
    huge = measure(make(), classes=3, scored_size=(6400, 9600))
    assert huge.score_seconds > 1000 * small.score_seconds


def test_a_part_of_a_batch_adds_up():
    cost = Duration(0.5, 0.25, 0.1, 1000, 100, 10)
    assert cost.step_seconds(4) == 2.25
    assert cost.memory(3) == 1330
