"""Sets and temperatures of a shipped model on real pictures, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pixelwise import data
from pixelwise.evaluation.conformal import fit_threshold, set_figures
from pixelwise.evaluation.opening import Source, set_subjects, set_truth
from pixelwise.evaluation.pixels import sample_pixels
from pixelwise.evaluation.temperatures import fit_temperature, probabilities_of
from pixelwise.inference.predictor import load

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
    truth = set_truth(dataset.subset(small[:36]), None)
    (subject,) = set_subjects([Source("cells", None)], truth, loaded=lambda _: model)
    sample = sample_pixels(subject, by="image")
    fit, new = np.arange(36) % 3 > 0, np.arange(36) % 3 == 0
    temperature = fit_temperature(sample.part(fit), "per-class")
    probabilities = probabilities_of(sample, temperature)
    labels = sample.logits.argmax(2)
    right = np.take_along_axis(probabilities, sample.truth[..., None].astype(int), 2)[..., 0]
    threshold = fit_threshold(
        right[fit], labels[fit] == sample.truth[fit], np.arange(24), coverage=WANTED
    )
    figures = set_figures(probabilities[new], labels[new], sample.truth[new], threshold)
    alone = set_figures(probabilities[new], labels[new], sample.truth[new], 1.0)
    # Twelve pictures: their mean may miss by chance, the labels alone miss more.
    assert figures.covered.mean() > WANTED - 0.015
    assert figures.covered.mean() > alone.covered.mean()
    assert figures.size.mean() < 1.5
