"""Training of classes that lie over each other: what such data is, what goes with it, its scores.

Each class is a yes or no of its own, so the background, which is the absence of all others, is no
class, and neither a mean over "right pixels" nor a matrix of confusions has a meaning. What adds up
over pictures are, of each class, the pixels that are right, in the truth, and found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np
from numpy.typing import NDArray

from pixelwise.data import Dataset, MultiLabelTarget
from pixelwise.data.findings import background_of
from pixelwise.data.mapping import relabelled
from pixelwise.errors import UsageError
from pixelwise.geometry import Geometry
from pixelwise.losses.class_weights import POSITIVE_WEIGHT_RULES
from pixelwise.metrics import LayerOverlap
from pixelwise.metrics.confusion import SemanticScores, semantic_scores
from pixelwise.multi_label import layer_masks, least_logits
from pixelwise.training.plan import TrainingPlan

__all__ = [
    "LOSS",
    "choice_faults",
    "decoded_layers",
    "foreground",
    "layer_counts",
    "layer_scores",
    "layer_values",
    "settled",
]

LOSS = "binary-cross-entropy + dice"
"""What is learned by where nothing else is asked for."""

_IGNORED = 255
_THRESHOLD = 0.5
_NO_ID = 65_535


def settled(
    plan: TrainingPlan, datasets: Sequence[Dataset], fixed: Mapping[str, object]
) -> tuple[TrainingPlan, tuple[Dataset, ...]]:
    """The plan with the kind of targets that the data has, and the data as that kind wants it.

    Args:
        plan: whose kind is not known, unless it is fixed.
        datasets: of the plan, opened by it.
        fixed: what the user chose.

    Raises:
        UsageError: the data has not the kind that was asked for, or sets of both are given.
    """
    several = [dataset.holds_several for dataset in datasets]
    if not any(several) and plan.kind == "multi_class":
        return plan, tuple(datasets)
    if "kind" in fixed and (plan.kind == "multi_label") != all(several):
        kinds = ", ".join(
            f"{dataset.root.name} ({dataset.layout}): {'several' if each else 'one'}"
            for dataset, each in zip(datasets, several, strict=True)
        )
        raise UsageError(
            "the data does not have the kind of targets that was asked for",
            where=f"kind={plan.kind}",
            got=f"classes per pixel: {kinds}",
            fix="leave --kind out, or bring the data to the other kind: pixelwise data convert",
        )
    if not all(several):
        names = [each.root.name for each, of in zip(datasets, several, strict=True) if of]
        raise UsageError(
            "data sets of one class per pixel and of several cannot be learned together",
            got=f"several: {', '.join(names)}",
            fix="train on one of them, or open all with one class per pixel",
        )
    loss = plan.loss if "loss" in fixed else LOSS
    return plan.changed(kind="multi_label", loss=loss), tuple(map(foreground, datasets))


def foreground(dataset: Dataset) -> Dataset:
    """The data set without its background: a pixel that has no class is no class.

    A set whose only class is called so keeps it.
    """
    place = background_of(dataset)
    if place is None or len(dataset.classes) < 2:
        return dataset
    left = tuple(info for number, info in enumerate(dataset.classes) if number != place)
    lookup = np.arange(_NO_ID + 1, dtype=np.uint16)
    lookup[dataset.classes.ids[place]] = _NO_ID
    return relabelled(dataset, replace(dataset.classes, classes=left), lookup)


def choice_faults(plan: TrainingPlan) -> list[str]:
    """What a plan asks for that classes over each other do not go with."""
    faults = []
    if len(plan.data) > 1:
        faults.append(f"data: {len(plan.data)} data sets; one at a time")
    if plan.classes is not None:
        faults.append(f"classes={plan.classes}: its rules say which one class a pixel may be")
    if plan.instances != "merge":
        faults.append(f"instances={plan.instances}: borders are a class of their own")
    if plan.label_smoothing:
        faults.append(
            f"label_smoothing={plan.label_smoothing:g}: it spreads one class over the others"
        )
    if plan.class_weights not in POSITIVE_WEIGHT_RULES:
        faults.append(
            f"class_weights={plan.class_weights}: pixels with a class are weighed against those "
            f"without it: {', '.join(POSITIVE_WEIGHT_RULES)}"
        )
    return faults


def decoded_layers(scores: NDArray[np.float32], geometry: Geometry) -> NDArray[np.bool_]:
    """Where each class has a probability of 0.5 at least, bool `[C, H, W]`.

    Args:
        scores: logits, float32 `[C, h, w]`.
        geometry: how the picture's pixels fall on them.
    """
    least = least_logits((_THRESHOLD,) * len(scores))
    return layer_masks(scores, geometry, least, threads=1)


def layer_values(target: MultiLabelTarget) -> NDArray[np.uint8]:
    """uint8 `[C, H, W]`: 1 with the class, 0 without it, 255 where nothing counts."""
    return np.where(target.ignore, np.uint8(_IGNORED), target.layers)


def layer_counts(values: NDArray[np.uint8], found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64 `[3, C]`: pixels of each class that are right, in the truth, and found.

    Args:
        values: of `layer_values`; what is ignored counts for nothing.
        found: bool `[C, H, W]`.
    """
    overlap = LayerOverlap(len(values))
    overlap.update(values == 1, found, values[0] == _IGNORED)
    return overlap.counts[:3]


def layer_scores(counts: NDArray[np.int64]) -> SemanticScores:
    """The scores of sums over pictures; those that go by one class per pixel are NaN.

    Args:
        counts: int64 `[3, C]`, of `layer_counts`.
    """
    return replace(
        semantic_scores(counts), pixel_accuracy=nan, frequency_weighted_iou=nan, class_accuracy=nan
    )
