"""Predictions that are kept once they are made, and predictions after a refinement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.evaluation.predictions import Predictions
from pixelwise.evaluation.sources import ObjectForm, Predicted
from pixelwise.refine.plan import Refinement, Superpixels
from pixelwise.segmentation import Segmentation

__all__ = ["KeptPredictions", "RefinedPredictions", "Refiner"]

_KEPT_BYTES = 1 << 28


class KeptPredictions:
    """Predictions that are made once, as far as memory goes; those beyond it are made again.

    Args:
        predictions: of a model.
        most_bytes: of all that is kept.

    Attributes:
        classes, facts, probable, form: see `Predictions`.
    """

    def __init__(self, predictions: Predictions, *, most_bytes: int = _KEPT_BYTES) -> None:
        self.classes: ClassTable = predictions.classes
        self.facts: Mapping[str, str] = predictions.facts
        self.probable: bool = predictions.probable
        self.form: ObjectForm = predictions.form
        self._predictions = predictions
        self._free = most_bytes
        self._kept: dict[int, Predicted] = {}
        self._lock = Lock()

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`."""
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        made = self._predictions.read(place, image)
        needed = _bytes_of(made)
        # Each is read as often as any other: to throw one out for another would gain nothing.
        with self._lock:
            if place not in self._kept and needed <= self._free:
                self._kept[place] = made
                self._free -= needed
        return made


class RefinedPredictions:
    """Predictions after a refinement.

    Args:
        predictions: of a model.
        refinements: of each place.
        told: which they are, in words, for the protocol.
        superpixels: makes the regions that labels are snapped to.

    Attributes:
        classes, facts, probable, form: see `Predictions`.
    """

    def __init__(
        self,
        predictions: Predictions,
        refinements: Sequence[Refinement],
        told: str,
        superpixels: Superpixels | None = None,
    ) -> None:
        self.classes: ClassTable = predictions.classes
        facts = {**predictions.facts, "predictions": f"{predictions.facts['predictions']}, {told}"}
        self.facts: Mapping[str, str] = MappingProxyType(facts)
        self.probable: bool = predictions.probable
        self.form: ObjectForm = predictions.form
        self._predictions = predictions
        self._refinements = refinements
        self._superpixels = superpixels

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            UsageError: the prediction is no model's, or the refinement is not for such pictures.
        """
        made, refinement = self._predictions.read(place, image), self._refinements[place]
        if not refinement:
            return made
        if not isinstance(made.segmentation, Segmentation):
            raise UsageError(
                "only what a model predicts can be refined", got="label maps, or their objects"
            )
        refined = refinement.apply(made.segmentation, self._superpixels)
        return replace(made, ids=refined.labels, segmentation=refined)


class Refiner:
    """Refinements of one picture, one after the other; what several have in common is done once.

    Those of one method should follow each other: the last answer of a method alone is kept.

    Args:
        segmentation: of the network.
        superpixels: makes the regions that labels are snapped to.
    """

    def __init__(self, segmentation: Segmentation, superpixels: Superpixels | None = None) -> None:
        self._segmentation = segmentation
        self._superpixels = None if superpixels is None else _made_once(superpixels)
        self._last: tuple[Refinement, Segmentation] | None = None

    def apply(self, refinement: Refinement) -> Segmentation:
        """As `Refinement.apply`."""
        method = Refinement(refinement.method, refinement.options)
        if self._last is None or self._last[0] != method:
            self._last = (method, method.apply(self._segmentation))
        rest = replace(refinement, method="none", options={})
        return rest.apply(self._last[1], self._superpixels)


def _made_once(superpixels: Superpixels) -> Superpixels:
    made: list[NDArray[np.integer]] = []

    def once(image: NDArray[np.uint8]) -> NDArray[np.integer]:
        if not made:
            made.append(superpixels(image))
        return made[0]

    return once


def _bytes_of(made: Predicted) -> int:
    found = made.segmentation
    if not isinstance(found, Segmentation):
        return made.ids.nbytes
    image = 0 if found.image is None else found.image.nbytes
    # Scores over temperature are kept with the scores once they are asked for.
    return made.ids.nbytes + 2 * found.scores.nbytes + image
