"""Small data sets and folders of label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.evaluation.matching import match_classes
from pixelwise.evaluation.pixels import Corners, PixelSample
from pixelwise.evaluation.predictions import Judged, Subject, subject_of
from pixelwise.evaluation.sources import FileTruth, Stored
from pixelwise.temperature import LocalTemperature


@pytest.fixture(scope="session")
def table_of():
    """A class table of names, ids 0 and up; a name may hold aliases after "|"."""

    def make(*names, ignore_index=255, first=0, name="toy"):
        classes = []
        for place, text in enumerate(names):
            own, *aliases = text.split("|")
            colour = (20 * place + 20, 255 - 20 * place, 7 * place)
            classes.append(ClassInfo(first + place, own, colour, aliases=tuple(aliases)))
        return ClassTable(name, tuple(classes), ignore_index, "made for a test")

    return make


@pytest.fixture
def write_maps(tmp_path):
    """Writes label maps, by name, into a folder."""

    def write(folder, maps):
        for name, ids in maps.items():
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(ids)).save(path)
        return tmp_path / folder

    return write


@pytest.fixture
def subject_from(write_maps, table_of):
    """A subject of label maps in files: true and predicted ids by name."""

    def make(true, predicted, classes=None, **options):
        highest = max(int(ids[ids != 255].max(initial=0)) for ids in true.values())
        table = classes or table_of(*(f"c{number}" for number in range(max(2, highest + 1))))
        folders = write_maps("true", true), write_maps("predicted", predicted)
        files = [
            {name: Path(folder / f"{name}.png") for name in maps}
            for folder, maps in zip(folders, (true, predicted), strict=True)
        ]
        truths = FileTruth(folders[0], files[0], table)
        made: Subject = subject_of(truths, Stored(folders[1], files[1], table), **options)
        return made

    return make


@pytest.fixture(scope="session")
def judged_of():
    """A judged picture of arrays of channels."""

    def make(
        truth, labels, image=None, *, name="a", place=0, segmentation=None, instances=None, **more
    ):
        truth, labels = np.asarray(truth, np.uint16), np.asarray(labels, np.uint16)
        return Judged(place, name, truth, labels, image, instances, segmentation, **more)

    return make


@pytest.fixture(scope="session")
def same_classes(table_of):
    """A match of a table with itself."""

    def make(*names):
        table = table_of(*names)
        return match_classes(table, table)

    return make


@pytest.fixture(scope="session")
def sample_of():
    """Pixels whose truth is drawn by the softmax of logits over a known temperature.

    `judged_as`: the class of the truth of each class of the model.
    """

    def make(
        true_temperature, *, pictures=24, pixels=400, groups=None, seed=0, judged_as=(0, 1, 2)
    ):
        random = np.random.default_rng(seed)
        classes, judged_as = len(judged_as), np.array(judged_as)
        corners = None
        if isinstance(true_temperature, LocalTemperature):
            corners = _corners(random, pictures, pixels, classes)
            logits, divided = (
                np.einsum("nkp,nkcp->npc", corners.weights / temperature, corners.scores)
                for temperature in (1, true_temperature.at(corners.features.transpose(2, 0, 1, 3)))
            )
        else:
            logits = random.normal(0, 4, (pictures, pixels, classes))
            divided = logits / np.asarray(true_temperature)
        truth = judged_as[np.argmax(divided + random.gumbel(size=logits.shape), axis=2)]
        labels = judged_as[logits.argmax(2)]
        counts = [
            [(labels == truth) & (labels == index), truth == index, labels == index]
            for index in range(truth.max() + 1)
        ]
        return PixelSample(
            names=tuple(f"p{number}" for number in range(pictures)),
            groups=np.arange(pictures) if groups is None else np.array(groups),
            grouping="made for a test",
            logits=logits.astype(np.float32),
            truth=truth.astype(np.uint16),
            judged_as=judged_as,
            counts=np.count_nonzero(counts, axis=3).transpose(2, 1, 0),
            faults=(),
            corners=corners,
        )

    return make


def _corners(random, pictures, pixels, classes):
    """Scores of very different leads, and neighbours that agree or do not."""
    sharp = random.gamma(2, 2, (pictures, 4, 1, pixels))
    scores = random.normal(0, 1, (pictures, 4, classes, pixels)) * sharp
    ordered = np.sort(scores, axis=2)
    lead = np.log1p(ordered[:, :, -1] - ordered[:, :, -2])
    differing = random.integers(0, 9, lead.shape) / 8
    features = np.stack([np.ones_like(lead), lead, lead**2, differing], axis=2)
    weights = random.dirichlet(np.ones(4), (pictures, pixels)).transpose(0, 2, 1)
    return Corners(*(array.astype(np.float32) for array in (scores, weights, features)))
