"""Truth laid over its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.data.targets import MaskTarget, MultiLabelTarget

__all__ = ["IGNORED", "draw_labels", "labels_of", "object_borders"]

IGNORED = 65_535
"""Stands for pixels that do not count, whatever the class table's ignored id is."""

_STRIPES = ((96, 96, 100), (150, 150, 155))
_STRIPE = 6


def labels_of(target: MaskTarget, classes: ClassTable) -> NDArray[np.uint16]:
    """Ids, uint16 `[H, W]`; of several classes of a pixel the last, `IGNORED` where none counts."""
    if isinstance(target, MultiLabelTarget):
        top = len(target.layers) - 1 - target.layers[::-1].argmax(axis=0)
        labels: NDArray[np.uint16] = np.array(classes.ids, np.uint16)[top]
        labels[target.ignore | ~target.layers.any(axis=0)] = IGNORED
        return labels
    labels = target.mask.astype(np.uint16, copy=True)
    if classes.ignore_index is not None:
        labels[target.mask == classes.ignore_index] = IGNORED
    return labels


def draw_labels(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    classes: ClassTable,
    *,
    opacity: float,
    plain: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The picture under the colours of its classes; what is ignored is striped grey.

    Args:
        image: uint8 `[H, W, 3]`.
        labels: uint16 `[H, W]`: ids, or `IGNORED`.
        classes: the colours.
        opacity: of the colours, 0 … 1.
        plain: bool `[H, W]`: pixels that stay as they are.
    """
    palette = np.zeros((IGNORED + 1, 3), np.uint8)
    palette[: len(classes.palette)] = classes.palette
    drawn = kernels.blend(
        np.ascontiguousarray(image), labels, palette, opacity=opacity, borders=True, threads=1
    )
    ignored = labels == IGNORED
    stripe = np.add.outer(np.arange(labels.shape[0]), np.arange(labels.shape[1])) // _STRIPE % 2
    drawn[ignored] = np.array(_STRIPES, np.uint8)[stripe[ignored]]
    return drawn if plain is None else np.where(plain[..., None], image, drawn)


def object_borders(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of an object whose right or lower neighbour is of another object."""
    borders = np.zeros(instances.shape, np.bool_)
    borders[:, :-1] |= (instances[:, :-1] != instances[:, 1:]) & (instances[:, 1:] > 0)
    borders[:-1] |= (instances[:-1] != instances[1:]) & (instances[1:] > 0)
    return borders & (instances > 0)
