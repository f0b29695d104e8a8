"""Objects, where the truth tells them apart: panoptic quality of what a label map can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.measures import Figure, Summed
from pixelwise.evaluation.predictions import Judged
from pixelwise.evaluation.sources import NumberedObjects, ObjectForm
from pixelwise.kernels import label_regions
from pixelwise.metrics.panoptic import PanopticMap, PanopticQuality, panoptic_scores

__all__ = ["FOUND_AS", "Objects", "regions_of_things"]

FOUND_AS: Mapping[ObjectForm, str] = {
    "regions": "predicted objects are the connected regions (8 neighbours) of thing classes in the "
    "label map, so that objects that touch count as one",
    "segments": "predicted objects are the segments of the files",
    "results": "predicted objects are the masks of the file, which may overlap",
}
"""What is taken for predicted objects, in words."""


@dataclass(frozen=True)
class Objects(Summed):
    """Panoptic quality.

    A label map tells no objects: the connected regions (8 neighbours) of thing classes are taken.

    Attributes:
        things: of each class, whether it is a thing.
        form: how the prediction tells objects; not as loose ones, which may overlap.
        name, figures: see `Measure`.
    """

    things: tuple[bool, ...]
    form: ObjectForm = "regions"
    name: str = "objects"
    figures: tuple[Figure, ...] = (
        Figure("mean_pq", "PQ", per_class=False),
        Figure("mean_sq", "SQ", per_class=False),
        Figure("mean_rq", "RQ", per_class=False),
        Figure("things_pq", "PQ of things", per_class=False),
        Figure("stuff_pq", "PQ of stuff", per_class=False),
        Figure("pq", "PQ", per_class=True),
        Figure("sq", "SQ", per_class=True),
        Figure("rq", "RQ", per_class=True),
    )

    @property
    def told(self) -> str:
        """See `Measure.told`."""
        return (
            f"PQ, SQ, RQ (Kirillov et al. 2019): {FOUND_AS[self.form]}; pixels of things that the "
            "truth gives to no object are crowds"
        )

    def counts(self, judged: Judged, confusion: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 `[4, C]`: the counts of `PanopticQuality`."""
        del confusion
        # Predictions of no class of the truth are stuff of a class more.
        quality = PanopticQuality([*self.things, False], ignore_index=IGNORED)
        instances = judged.instances
        if instances is None:
            instances = np.zeros(judged.truth.shape, np.int32)
        found = judged.objects
        numbers = (
            found.numbers
            if isinstance(found, NumberedObjects)
            else regions_of_things(judged.labels)
        )
        quality.update(PanopticMap(judged.truth, instances), PanopticMap(judged.labels, numbers))
        return quality.counts[:, :-1]

    def values(self, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """See `Summed.values`."""
        scores = panoptic_scores(sums, np.array(self.things))
        return {
            "pq": scores.pq,
            "sq": scores.sq,
            "rq": scores.rq,
            "mean_pq": scores.mean_pq,
            "mean_sq": scores.mean_sq,
            "mean_rq": scores.mean_rq,
            "things_pq": scores.things_pq,
            "stuff_pq": scores.stuff_pq,
        }


def regions_of_things(labels: NDArray[np.uint16]) -> NDArray[np.int32]:
    """The connected region (8 neighbours) of equal labels of each pixel, int32 `[H, W]`, from 1."""
    return label_regions(np.ascontiguousarray(labels)).components + 1
