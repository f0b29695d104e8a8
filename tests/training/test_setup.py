"""From a plan to what is trained: choices that do not go together are told at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pixelwise.errors import UsageError
from pixelwise.training.distributed import World
from pixelwise.training.plan import make_plan
from pixelwise.training.setup import bring_together, open_sources, prepare_training
from pixelwise.training.splits import draw_splits

ALONE = World(0, 1, 0, torch.device("cpu"), "none")


def write(root, modes=("RGB",) * 6, *, size=(40, 48)):
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, mode in enumerate(modes):
        # Every picture another size.
        shape = (size[0] + number, size[1] + 2 * number)
        if mode == "I;16":
            picture = Image.fromarray(generator.integers(0, 65_536, shape).astype(np.uint16))
        else:
            colours = generator.integers(0, 256, (*shape, 3), np.uint8)
            picture = Image.fromarray(colours).convert(mode)
        picture.save(root / "images" / f"{number}.png")
        mask = generator.integers(0, 2, shape, np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    (root / "classes.txt").write_text("a\nb\n")
    return root


def prepared(root, world=ALONE, **choices):
    plan = make_plan(
        {
            "data": [{"path": str(root)}],
            "encoder": "test_efficientnet",
            "encoder_weights": None,
            "network": {"decoder_channels": [8, 8, 8, 8]},
            "crop": [32, 32],
            "batch": 2,
            "workers": 0,
            **choices,
        },
        where="a test",
    )
    splits = draw_splits(open_sources(plan), plan)
    return prepare_training(plan, *bring_together(splits.trains, splits.validations, plan), world)


def test_everything_is_there(tmp_path):
    made = prepared(write(tmp_path / "data"))
    assert made.classes.names == ("a", "b")
    (first, *_) = made.batches.epoch(0)
    assert first.images.shape == (2, 3, 32, 32)
    assert first.masks.shape == (2, 32, 32)
    assert len(made.protocol.dataset) + len(made.batches.dataset) == 6
    assert str(made.loss) == "cross-entropy + dice"


def test_the_seed_decides_the_weights(tmp_path):
    root = write(tmp_path / "data")
    weights = [
        torch.cat([each.flatten() for each in prepared(root, seed=seed).network.parameters()])
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_all_that_does_not_go_together_is_told_at_once(tmp_path):
    root = write(tmp_path / "data")
    with pytest.raises(UsageError, match="do not go together") as caught:
        prepared(root, crop=[33, 40], batch=3, accumulate=5, mean=[0.5] * 4, std=[0.5] * 4)
    for part in ("crop=(33, 40)", "32×32", "accumulate=5", "mean=(0.5, 0.5, 0.5, 0.5)"):
        assert part in caught.value.got


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path):
    world = World(0, 2, 0, torch.device("cpu"), "gloo")
    with pytest.raises(UsageError, match="do not go together") as caught:
        prepared(write(tmp_path / "data"), world, batch=3)
    assert "2 processes" in caught.value.got


def test_fewer_pictures_than_a_batch_are_refused_with_a_fix(tmp_path):
    with pytest.raises(UsageError) as caught:
        prepared(write(tmp_path / "data"), batch=100)
    assert "batch=100" in str(caught.value)
    assert "remainder" not in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_pictures_of_any_mode_are_trained_on_alike(tmp_path, mode):
    made = prepared(write(tmp_path / "data", (mode,) * 6))
    (batch, *_) = made.batches.epoch(0)
    assert batch.images.shape == (2, 3, 32, 32)
    assert np.isfinite(batch.images).all()


def test_pictures_of_16_bits_keep_their_range(tmp_path):
    made = prepared(write(tmp_path / "data", ("I;16",) * 6))
    (batch, *_) = made.batches.epoch(0)
    assert 0.2 < batch.images.std() < 1.5


def test_an_unknown_architecture_and_option_offer_the_right_one(tmp_path):
    root = write(tmp_path / "data")
    with pytest.raises(UsageError, match="unet"):
        prepared(root, architecture="unett")
    with pytest.raises(UsageError, match="decoder_channels"):
        prepared(root, network={"decoder_chanels": [8]})


def test_an_unknown_loss_offers_the_right_one(tmp_path):
    with pytest.raises(UsageError, match="dice"):
        prepared(write(tmp_path / "data"), loss="cross-entropy + dise")


def test_a_data_set_that_is_named_twice_is_refused(tmp_path):
    root, link = write(tmp_path / "data"), tmp_path / "link"
    link.symlink_to(root)
    with pytest.raises(UsageError, match="named twice") as caught:
        prepared(root, data=[{"path": str(root)}, {"path": str(link)}])
    assert caught.value.got == str(link)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no such folder") as caught:
        prepared(tmp_path / "none")
    assert caught.value.where == str(tmp_path / "none")
