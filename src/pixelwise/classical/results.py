"""From what a method found to a `Segmentation`.

A classical method gives a class to every pixel of the picture, so the scores have the picture's
own size and the geometry changes nothing. Scores are logarithms of probabilities, so that the
softmax gives the probabilities back: those of a mixture or a random walker as they are, and of a
method that only decides, 1 for the class and 0 for the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.classical.photo import Photo
from pixelwise.colours import distinct_colours
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation
from pixelwise.temperature import LEAST_PROBABILITY
from pixelwise.version import VERSION

__all__ = ["GROUND", "Recipe", "certain", "likely", "named_classes", "numbered_classes"]

_TITLES = {
    "cv2": "OpenCV",
    "numpy": "NumPy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}

GROUND = ClassTable(
    "ground",
    (ClassInfo(0, "background", (40, 40, 48)), ClassInfo(1, "foreground", (255, 140, 0))),
    None,
    "a classical method that tells two classes apart",
)


@dataclass(frozen=True)
class Recipe:
    """How a result came about.

    Attributes:
        method: its name.
        package: whose code did the work, by the name that it is imported by.
        settings: everything that decides the result but the picture; plain values.
    """

    method: str
    package: str
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Name and settings, such as "kmeans (clusters=4, seed=0)"."""
        told = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.method} ({told})" if told else self.method

    @property
    def engine(self) -> str:
        """The package and its version."""
        return f"{_TITLES[self.package]} {import_module(self.package).__version__}"

    @property
    def sha256(self) -> str:
        """Stands where a model's hash stands: of method, settings and the package's version."""
        facts = [self.method, self.engine, sorted(self.settings.items())]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def numbered_classes(count: int) -> ClassTable:
    """Classes "region 1" … of the ids 1 …, for methods that do not know what they found."""
    return named_classes([f"region {number}" for number in range(1, count + 1)])


def named_classes(names: Sequence[str]) -> ClassTable:
    """Classes of these names and the ids 1 ….

    Raises:
        ClassTableError: names that cannot be.
    """
    infos = tuple(
        ClassInfo(number, name, colour)
        for number, (name, colour) in enumerate(
            zip(names, distinct_colours(len(names)), strict=True), 1
        )
    )
    return ClassTable("regions", infos, None, "a classical method")


def certain(
    places: NDArray[Any], classes: ClassTable, photo: Photo, recipe: Recipe
) -> Segmentation:
    """A result without doubts.

    Args:
        places: integers or bool `[H, W]`: the place of each pixel's class in the table.
        classes: C classes.
        photo: the picture.
        recipe: how it came about.
    """
    scores = np.full((len(classes), *photo.size), np.log(LEAST_PROBABILITY), np.float32)
    for place, layer in enumerate(scores):
        layer[places == place] = 0
    return _segmentation(scores, classes, photo, recipe)


def likely(
    probabilities: NDArray[Any], classes: ClassTable, photo: Photo, recipe: Recipe
) -> Segmentation:
    """A result with the probability of every class.

    Args:
        probabilities: float `[C, h, w]`, 0..1, sum 1 at each pixel; of the picture's own size, or
            of a smaller one that it was brought to.
        classes: C classes.
        photo: the picture.
        recipe: how it came about.
    """
    scores = np.log(np.clip(probabilities, LEAST_PROBABILITY, 1)).astype(np.float32)
    return _segmentation(scores, classes, photo, recipe)


def _segmentation(
    scores: NDArray[np.float32], classes: ClassTable, photo: Photo, recipe: Recipe
) -> Segmentation:
    axes = [Axis.half_pixel(*sides) for sides in zip(photo.size, scores.shape[1:], strict=True)]
    return Segmentation(
        scores=scores,
        classes=classes,
        geometry=Geometry(rows=axes[0], columns=axes[1]),
        provenance=Provenance(
            model=recipe.text,
            model_hash=recipe.sha256,
            engine=recipe.engine,
            network_size=(scores.shape[1], scores.shape[2]),
            source=photo.name,
            version=VERSION,
        ),
        image=photo.pixels,
    )
