from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.augment import preset
from pixelwise.data.loader import Batches
from pixelwise.errors import EngineError, UsageError
from pixelwise.losses import parse_loss
from pixelwise.models.build import build
from pixelwise.training.plan import make_plan
from pixelwise.training.rate_search import search_rate

CLASSES = ClassTable(
    "toy", (ClassInfo(0, "dark", (0, 0, 0)), ClassInfo(1, "bright", (255, 255, 255))), 255, "a test"
)
NETWORK = {"decoder_channels": (8, 8, 8, 8)}
PLAN = make_plan(
    {
        "data": [{"path": "nowhere"}],
        "encoder": "mobilenetv2_050",
        "network": NETWORK,
        "encoder_weights": None,
        "freeze_encoder_norm": False,
        "encoder_rate": 1.0,
        "crop": (32, 32),
        "batch": 4,
    },
    where="a test",
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def batches(tmp_path):
    """Bright squares on dark ground."""
    random = np.random.default_rng(0)
    for number in range(8):
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.integers(0, 16, 2)
        mask[top : top + 16, left : left + 16] = 1
        picture = np.repeat((60 + 120 * mask)[:, :, None], 3, axis=2).astype(np.uint8)
        for folder, array in (("images", picture), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / folder / f"{number}.png")
    dataset = pixelwise.data.open(tmp_path, classes=CLASSES)
    return Batches(dataset, preset("none", size=(32, 32)), 4, workers=0)


@pytest.fixture
def network():
    torch.manual_seed(3)
    return build("unet", classes=2, encoder="mobilenetv2_050", **NETWORK)


def loss():
    return parse_loss("dice + cross-entropy", classes=2, ignore_index=255)


def search(network, batches, plan=PLAN, **options):
    return search_rate(plan, network, batches, loss(), **{"steps": 40, **options})


def test_the_rate_found_learns_and_is_below_the_one_that_fails(network, batches):
    found = search(network, batches, steps=60, lowest=1e-5, highest=10)
    assert found.losses.min() < 0.8 * found.losses[0]
    assert 1e-4 < found.suggestion < found.rates[found.losses.argmin()]
    fastest = np.gradient(found.losses)[: found.losses.argmin() + 1].argmin()
    assert found.suggestion == pytest.approx(found.rates[fastest], rel=0.05)


def test_rates_rise_by_a_constant_factor(network, batches):
    found = search(network, batches, steps=10, lowest=1e-6, highest=1e-3)
    np.testing.assert_allclose(found.rates[0], 1e-6)
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(1e3) / 9)
    assert len(found.rates) == len(found.losses) == 10
    assert not found.diverged


def test_it_ends_where_the_loss_leaves(network, batches):
    found = search(network, batches, steps=60, lowest=1e-3, highest=1e6)
    assert found.diverged
    assert len(found.rates) < 60
    assert np.isfinite(found.losses).all()


def test_nothing_of_it_remains(network, batches):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(9)
    state = torch.get_rng_state()
    search(network, batches, steps=10)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_same_search_finds_the_same(network, batches):
    first, again = search(network, batches, steps=10), search(network, batches, steps=10)
    np.testing.assert_array_equal(first.losses, again.losses)


def test_parts_of_a_batch_change_little(network, batches):
    """Normalisation over fewer pictures apart, the sums are the same."""
    plan = PLAN.changed(freeze_encoder_norm=True)
    whole = search(network, batches, plan, steps=10, lowest=1e-7, highest=1e-6)
    parts = search(
        network, batches, plan.changed(accumulate=2), steps=10, lowest=1e-7, highest=1e-6
    )
    np.testing.assert_allclose(whole.losses, parts.losses, rtol=0.2)


def test_each_step_is_told(network, batches):
    told = []
    search(network, batches, steps=10, progress=told.append)
    assert told == [1] * 10


@pytest.mark.parametrize(
    "wrong", [{"steps": 3}, {"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"highest": np.inf}]
)
def test_what_is_no_search_is_refused(network, batches, wrong):
    with pytest.raises(UsageError, match="search of the rate"):
        search(network, batches, **wrong)


def test_a_network_that_gives_no_numbers_is_told(network, batches):
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    with pytest.raises(EngineError, match="no number"):
        search(network, batches)
