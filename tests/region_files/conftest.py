"""Segmentations whose label maps are exactly those that a test draws."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation

NAMES = ("background", "car", "<b>&\"tree' 木", "road")


def table_of(*, ids=(0, 3, 7, 200), background=True, ignore_index=255, kind="stuff"):
    """Four classes, the first of them the background, or "ground"."""
    names = NAMES if background else ("ground", *NAMES[1:])
    infos = [
        ClassInfo(number, name, (10 * place, 200, place), "thing" if name == "car" else kind)
        for place, (number, name) in enumerate(zip(ids, names, strict=True))
    ]
    return ClassTable("drawn", tuple(infos), ignore_index, "made for a test")


def segmentation_of(labels, classes):
    """A segmentation with these labels, of ids of the table or its ignored id."""
    labels = np.asarray(labels)
    height, width = labels.shape
    ids = np.array(classes.ids)[:, None, None]
    scores = np.where(labels == ids, 4, 0).astype(np.float32)
    geometry = Geometry(Axis.half_pixel(height, height), Axis.half_pixel(width, width))
    origin = Provenance("toy", "0" * 64, "numpy", (height, width), "photos/p.png", "0")
    kind = np.uint8 if classes.ids[-1] < 256 else np.uint16
    return Segmentation(scores, classes, geometry, origin, labels=labels.astype(kind))


@pytest.fixture(scope="session")
def drawn():
    """Makes a segmentation of labels and a class table."""
    return segmentation_of


@pytest.fixture(scope="session")
def table():
    """Makes a class table."""
    return table_of
