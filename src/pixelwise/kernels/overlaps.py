"""How many pixels two or more label images have in common, label by label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_overlaps
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import check_array, thread_count
from pixelwise.kernels.types import Overlaps

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["count_overlaps"]

_LABEL_TYPES = ("uint8", "uint16", "int32", "uint32", "int64", "bool")


def count_overlaps(*labels: npt.NDArray[Any], threads: int = 0) -> Overlaps:
    """The combinations of labels that pixels have, and how many pixels have each.

    Of two label images this is their table of overlaps, without the empty ones: the counts behind
    panoptic quality, mask IoU and confusion. The work is one pass over the pixels and one look-up
    per run of equal combinations.

    Args:
        labels: one or more images [H, W] of one size, each uint8, uint16, int32, uint32, int64 or
            bool.
        threads: 0 for every core that this process may use.

    Returns:
        The combinations in rising order, by the first image first.

    Raises:
        ArrayError: an argument is not such an image, or sizes differ.
        UsageError: threads is outside its range.
    """
    if not labels:
        raise ArrayError(
            "there is nothing to count",
            where="argument labels",
            got="no images",
            fix="count_overlaps(truth, prediction)",
        )
    for place, image in enumerate(labels):
        check_array(f"labels[{place}]", image, _LABEL_TYPES, 2, "[H, W]")
    if any(image.shape != labels[0].shape for image in labels):
        raise ArrayError(
            "label images differ in size",
            where="argument labels",
            got=" · ".join(" × ".join(map(str, image.shape)) for image in labels),
            fix="give images of one picture, at one size",
        )
    images = [np.ascontiguousarray(image) for image in labels]
    workers = thread_count(threads)
    if not COMPILED:
        return Overlaps(*reference_overlaps.count_overlaps(images))
    combinations, pixels = _native.count_overlaps(images, workers)
    order = np.lexsort(combinations.T[::-1])
    return Overlaps(combinations[order], pixels[order])
