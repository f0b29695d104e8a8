from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import pixelwise.training.street
from pixelwise.data import MultiClassTarget, Sample
from pixelwise.errors import UsageError
from pixelwise.metrics.confusion import SemanticScores
from pixelwise.models.encoders.timm_encoder import TimmEncoder
from pixelwise.models.unet import UNet
from pixelwise.training.street import (
    CLASSES,
    NETWORK,
    Recipe,
    class_weights,
    evaluate,
    normalise,
    read_camvid,
    train,
)

RECIPE = Recipe(epochs=2, batch=2, warmup_steps=1, score_every=1)
TRAIN_ALONE = """
import sys
from pathlib import Path
import torch
from pixelwise.training.street import Recipe, train
torch.set_num_threads(1)
data, weights, output = map(Path, sys.argv[1:])
train(data, weights, output, Recipe(epochs=2, batch=2, warmup_steps=1, score_every=1))
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A made CamVid of five photos, and encoder weights."""
    root = tmp_path_factory.mktemp("street")
    generator = np.random.default_rng(3)
    for split, count in (("train", 4), ("val", 1)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir()
        lines = []
        for number in range(count):
            ids = generator.integers(0, CLASSES + 1, (6, 8)).astype(np.uint8)
            mask = np.kron(ids, np.ones((12, 12), np.uint8))
            photo = np.stack([20 * mask, 250 - 20 * mask, 10 * mask], axis=-1)
            Image.fromarray(photo).save(root / split / f"{number}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"{number}.png")
            lines.append(f"{split}/{number}.png {split}annot/{number}.png")
        (root / f"{split}.txt").write_text("\n".join(lines))
    torch.manual_seed(5)
    weights = root / "encoder.safetensors"
    save_file(TimmEncoder("mobilenetv2_100").body.state_dict(), weights)
    return root, weights


@pytest.fixture(scope="module")
def rates():
    """The learning rates of encoder and decoder at every step of the unbroken run."""
    return []


@pytest.fixture(scope="module")
def unbroken(material, rates, tmp_path_factory):
    """The folder of a run that went through, and the score that it told."""
    output = tmp_path_factory.mktemp("unbroken") / "run"
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, _, __: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    best = train(*material, output, RECIPE)
    hook.remove()
    return output, best


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def kill_after_first_epoch(material, output):
    with subprocess.Popen(
        [sys.executable, "-c", TRAIN_ALONE, *map(str, material), str(output)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        first = process.stdout.readline()
        # The whole group, or the loader's worker would wait for its parent a little longer.
        os.killpg(process.pid, signal.SIGKILL)
    return json.loads(first)


def test_public_names_are_sorted():
    names = pixelwise.training.street.__all__
    assert names == sorted(names)


def test_a_run_leaves_a_log_a_checkpoint_and_the_best_weights(unbroken):
    output, best = unbroken
    log = log_of(output)
    assert [entry["epoch"] for entry in log] == [0, 1]
    assert all(np.isfinite(entry["loss"]) and len(entry["iou"]) == CLASSES for entry in log)
    assert best == max(entry["mean_iou"] for entry in log) > 0
    names = {path.name for path in output.iterdir()}
    assert names == {"best.safetensors", "checkpoint.safetensors", "log.jsonl"}


@pytest.mark.usefixtures("unbroken")
def test_the_learning_rate_falls_by_a_cosine_over_the_whole_run(rates):
    fall = np.array([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    expected = 1e-3 * fall[:, None] * [0.3, 0.3, 1, 1]
    np.testing.assert_allclose(rates, expected)


def test_a_worse_epoch_does_not_replace_the_best_weights(material, tmp_path, monkeypatch):
    scored = []

    def scores_that_fall(network, _):
        scored.append({key: value.clone() for key, value in network.state_dict().items()})
        mean_iou = 0.5 / len(scored)
        return SemanticScores(np.full(CLASSES, mean_iou), mean_iou, np.zeros(CLASSES), 0.0, 0.0)

    monkeypatch.setattr(pixelwise.training.street, "evaluate", scores_that_fall)
    assert train(*material, tmp_path, RECIPE) == 0.5
    best = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(value, scored[0][key]) for key, value in best.items())
    assert not torch.equal(best["head.weight"], scored[1]["head.weight"])


def test_training_changes_every_weight_and_no_encoder_statistic(material, unbroken):
    start = load_file(material[1])
    trained = load_file(unbroken[0] / "checkpoint.safetensors")
    still = [
        key
        for key, value in start.items()
        if torch.equal(value, trained[f"network.encoder.body.{key}"])
    ]
    assert still
    assert all("running_" in key or "num_batches" in key for key in still)


def test_the_best_weights_score_what_the_log_says(material, unbroken):
    output, best = unbroken
    network = UNet(NETWORK)
    network.load_state_dict(load_file(output / "best.safetensors"))
    scores = evaluate(network, read_camvid(material[0], "val"))
    assert scores.mean_iou == pytest.approx(best, abs=1e-6)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")
def test_a_killed_run_ends_like_an_unbroken_one(material, unbroken, tmp_path):
    output = tmp_path / "run"
    first = kill_after_first_epoch(material, output)
    assert first["epoch"] == 0
    assert int(load_file(output / "checkpoint.safetensors")["next_epoch"]) == 1
    best = train(*material, output, RECIPE)
    assert best == unbroken[1]
    for name in ("best.safetensors", "checkpoint.safetensors"):
        assert (output / name).read_bytes() == (unbroken[0] / name).read_bytes()
    for entry, expected in zip(log_of(output), log_of(unbroken[0]), strict=True):
        assert entry | {"seconds": 0} == expected | {"seconds": 0}


def test_a_log_line_without_its_checkpoint_is_dropped(material, unbroken, tmp_path):
    output = tmp_path / "run"
    kill_after_first_epoch(material, output)
    with (output / "log.jsonl").open("a") as log:
        log.write('{"epoch": 1, "loss": 0')
    train(*material, output, RECIPE)
    assert [entry["epoch"] for entry in log_of(output)] == [0, 1]


def test_fewer_photos_than_one_step_takes_are_refused(material, tmp_path):
    with pytest.raises(UsageError, match="fewer training photos"):
        train(*material, tmp_path / "run", replace(RECIPE, batch=1000))


def test_a_finished_run_is_not_trained_further(material, unbroken):
    output, best = unbroken
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert train(*material, output, RECIPE) == best
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


class Pointwise(nn.Module):
    """Scores at every second pixel, linear in its colour: enough to do the rest by hand."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.weight = torch.randn(CLASSES, 3, 1, 1, generator=generator)
        self.bias = 0.2 * torch.randn(CLASSES, generator=generator)

    def forward(self, image):
        assert image.shape == (1, 3, 481, 641)
        return nn.functional.conv2d(image, self.weight, self.bias, stride=2)


def by_hand(network, sample):
    """Class ids of a 240×320 photo, by the geometry that the protocol states."""
    enlarged = np.asarray(
        Image.fromarray(sample.image).resize((640, 480), Image.Resampling.BILINEAR)
    )
    padded = np.zeros((481, 641, 3))
    padded[:480, :640] = enlarged / 127.5 - 1
    logits = padded[::2, ::2] @ network.weight[:, :, 0, 0].numpy().T + network.bias.numpy()
    full = np.zeros((481, 641, CLASSES))
    full[::2, ::2] = logits
    full[1::2, ::2] = (logits[:-1] + logits[1:]) / 2
    full[:, 1::2] = (full[:, :-2:2] + full[:, 2::2]) / 2
    halved = full[:480, :640].reshape(240, 2, 320, 2, CLASSES).mean(axis=(1, 3))
    return halved.argmax(-1)


def test_evaluate_equals_the_protocol_by_hand():
    generator = np.random.default_rng(11)
    samples = [
        Sample(
            str(number),
            generator.integers(0, 256, (240, 320, 3), np.uint8),
            MultiClassTarget(generator.integers(0, CLASSES + 1, (240, 320)).astype(np.uint8)),
        )
        for number in range(2)
    ]
    network = Pointwise()
    predicted = np.concatenate([by_hand(network, sample) for sample in samples])
    truth = np.concatenate([sample.mask for sample in samples])
    counted = truth != CLASSES
    iou = []
    for class_ in range(CLASSES):
        right = ((truth == class_) & (predicted == class_))[counted].sum()
        either = ((truth == class_) | (predicted == class_))[counted].sum()
        iou.append(right / either)
    scores = evaluate(network, samples)
    # float32 against float64 may decide a tie or two the other way.
    np.testing.assert_allclose(scores.iou, iou, atol=1e-4)
    assert scores.mean_iou == pytest.approx(np.mean(iou), abs=1e-4)
    assert len(set(predicted[counted].tolist())) > CLASSES // 2


def test_normalise_maps_to_minus_one_to_one():
    image = (
        torch.tensor([0, 127, 128, 255], dtype=torch.uint8).reshape(1, 2, 2, 1).expand(1, 2, 2, 3)
    )
    expected = torch.tensor([-1, -1 / 255, 1 / 255, 1]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    torch.testing.assert_close(normalise(image), expected)


def test_rare_classes_weigh_more_by_the_square_root():
    mask = np.repeat(np.arange(CLASSES + 1), np.array([4, 36, *[16] * (CLASSES - 2), 99]))
    sample = Sample(
        "a",
        np.zeros((len(mask), 1, 3), np.uint8),
        MultiClassTarget(mask[:, None].astype(np.uint8)),
    )
    expected = torch.tensor([2.0, 2 / 3, *[1.0] * (CLASSES - 2)])
    torch.testing.assert_close(class_weights([sample]), expected)
