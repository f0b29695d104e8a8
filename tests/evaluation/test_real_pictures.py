"""Sets and temperatures of a shipped model on real pictures, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pixelwise import data
from pixelwise.evaluation.calibrate import fit_temperature
from pixelwise.evaluation.conformal import fit_threshold, set_figures
from pixelwise.evaluation.pixels import in_classes_of, sample_pixels
from pixelwise.inference.predictor import load
from pixelwise.temperature import tempered

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).parents[3] / "shared" / "data")
WANTED = 0.95


@pytest.mark.skipif(not (DATA / "dsb2018").is_dir(), reason="the data set is not here")
def test_held_out_pictures_are_covered():
    model = load("cells", engine="onnxruntime", threads=1)
    dataset = data.open(DATA / "dsb2018")
    small = [
        place
        for place in range(0, 300, 3)
        if dataset.read_image(dataset.entries[place]).size <= 3 * 256 * 256
    ]
    dataset = in_classes_of(dataset.subset(small[:36]), model.classes)
    sample = sample_pixels(model, dataset, by="image")
    fit, new = np.arange(36) % 3 > 0, np.arange(36) % 3 == 0
    temperature = fit_temperature(sample.logits[fit], sample.truth[fit], "per-class")
    scores = np.moveaxis(tempered(np.moveaxis(sample.logits, 2, 0), temperature), 0, 2)
    powers = np.exp(scores - scores.max(2, keepdims=True))
    probabilities = powers / powers.sum(2, keepdims=True)
    labels = sample.logits.argmax(2)
    right = np.take_along_axis(probabilities, sample.truth[..., None].astype(int), 2)[..., 0]
    threshold = fit_threshold(
        right[fit], labels[fit], sample.truth[fit], np.arange(24), coverage=WANTED
    )
    figures = set_figures(probabilities[new], labels[new], sample.truth[new], threshold)
    alone = set_figures(probabilities[new], labels[new], sample.truth[new], 1.0)
    # Twelve pictures: their mean may miss by chance, the labels alone miss more.
    assert figures.covered.mean() > WANTED - 0.015
    assert figures.covered.mean() > alone.covered.mean()
    assert figures.size.mean() < 1.5
