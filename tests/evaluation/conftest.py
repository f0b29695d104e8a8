"""Small data sets and folders of label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.evaluation.matching import match_classes
from pixelwise.evaluation.predictions import Judged, Subject, subject_of
from pixelwise.evaluation.sources import FileTruth, Stored


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
