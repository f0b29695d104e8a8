"""The baselines' script, on a few made-up streets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import baselines
from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.models.build import build
from pixelwise.training.plan import TrainingPlan
from pixelwise.training.run_folder import Log, RunFolder

# What follows from the architecture, its encoder and the encoder's start.
OWN = {
    "architecture",
    "encoder",
    "encoder_weights",
    "network",
    "mean",
    "std",
    "encoder_rate",
    "freeze_encoder_norm",
}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Four photos to learn from and two to score on, in CamVid's layout."""
    root = tmp_path_factory.mktemp("streets")
    generator = np.random.default_rng(4)
    colours = np.array([info.colour for info in ClassTable.builtin("camvid")], np.uint8)
    for split, count in (("train", 4), ("val", 2)):
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for number in range(count):
            mask = generator.integers(0, 11, (6, 8)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
            image = colours[mask]
            mask[:4] = 11
            Image.fromarray(image).save(root / split / f"{split}_{number}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"{split}_{number}.png")
    return root


@pytest.mark.parametrize("form", baselines.FORMS)
def test_all_have_one_budget(form, tmp_path):
    plans = [
        baselines.plan_of(name, baseline, tmp_path, {})
        for name, baseline in baselines.FORMS[form].items()
    ]
    assert len(plans) == 6
    shared = set(TrainingPlan.model_fields) - OWN
    assert len({plan.model_dump_json(include=shared) for plan in plans}) == 1


@pytest.mark.parametrize("form", baselines.FORMS)
def test_the_networks_take_the_crop(form):
    height, width = baselines.BUDGET["crop"]
    for name, baseline in baselines.FORMS[form].items():
        with torch.device("meta"):
            network = build(name, classes=11, encoder=baseline.encoder, **baseline.network)
        stride = max(network.encoder.strides)
        assert (height % stride, width % stride, network.alignment) == (0, 0, "half_pixel")


def test_what_starts_from_nothing_learns_as_a_whole(tmp_path):
    for name, baseline in baselines.SMALL.items():
        plan = baselines.plan_of(name, baseline, tmp_path, {})
        started = plan.encoder_weights is not None
        assert started == (plan.encoder == "mobilenetv2_100")
        assert (plan.freeze_encoder_norm, plan.encoder_rate < 1) == (started, started)


def test_a_narrow_network_keeps_bands_classes_and_layers():
    network = build("segnet", classes=11, encoder="vgg11_bn")
    layers = [type(layer).__name__ for layer in network.modules()]
    parameters = sum(value.numel() for value in network.parameters())
    baselines.narrow(network, 0.25, {3, 11})
    assert [type(layer).__name__ for layer in network.modules()] == layers
    fewer = sum(value.numel() for value in network.parameters())
    assert 1 / 16 < fewer / parameters < 1 / 15
    assert network.encoder.stages[0][0][0].out_channels == 16
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 32, 64)).shape == (1, 11, 32, 64)


def test_steps_are_timed_within_an_epoch_only(tmp_path):
    folder = RunFolder(tmp_path)
    assert baselines.core_seconds_per_step(folder) is None
    with Log(baselines.cores_log(folder), None) as log:
        clock = baselines.CoreClock(log)
        for epoch, step in ((0, 5), (0, 10), (1, 15), (1, 18)):
            clock.on_event({"event": "step", "epoch": epoch, "step": step, "gradient_norm": 1.0})
            clock.on_event({"event": "step", "step": step, "seconds": 1.0})
    lines = [json.loads(line) for line in baselines.cores_log(folder).read_text().splitlines()]
    assert [line["steps"] for line in lines] == [5, 3]
    assert 0 <= baselines.core_seconds_per_step(folder) < 1


def test_a_run_is_scored_once_and_told(streets, tmp_path):
    stored, runs = tmp_path / "results.json", tmp_path / "runs"
    words = ["--data", str(streets), "--runs", str(runs), "--json", str(stored)]
    words += ["--only", "fcn8s", "segnet", "--epochs", "1", "--batch", "2"]
    baselines.main(words)
    first, log = stored.read_bytes(), (runs / "fcn8s" / "log.jsonl").read_bytes()
    baselines.main(words)
    assert (stored.read_bytes(), (runs / "fcn8s" / "log.jsonl").read_bytes()) == (first, log)
    results = json.loads(first)
    assert [row["name"] for row in results["rows"]] == ["fcn8s", "segnet"]
    assert results["budget"]["epochs"] == 1
    for row in results["rows"]:
        assert (row["train"], row["val"], row["pictures_seen"]) == (4, 2, 4)
        low, high = row["interval"]
        assert low <= row["mean_iou"] + 1e-4
        assert row["mean_iou"] <= high + 1e-4
        assert len(row["iou"]) == 11
        counted = [iou for iou in row["iou"].values() if iou is not None]
        assert row["mean_iou"] == pytest.approx(np.mean(counted), abs=1e-5)
    assert results["rows"][1]["parameters"] < 1.3e6
    with pytest.raises(UsageError, match="another plan"):
        baselines.main([*words[:-3], "2", *words[-2:]])
