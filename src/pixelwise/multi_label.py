"""The result where classes lie over each other: each pixel has any number of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.errors import ArrayError
from pixelwise.geometry import Geometry, Window
from pixelwise.segmentation import Provenance

__all__ = ["MultiLabelSegmentation"]


class MultiLabelSegmentation:
    """A picture `[H, W]` in which every pixel has any number of classes, and so no label map.

    Args:
        scores: logits, float32 `[C, h, w]`, one map for each class of the table, in its order.
        classes: the class table.
        geometry: how the picture's pixels fall on the scores.
        provenance: where the result came from.
        thresholds: for each class the probability from which a pixel has it, 0..1.
        image: the photo, uint8 `[H, W, 3]` RGB, for overlays.
        threads: cores that may be used to work things out; 0 means all.

    Raises:
        ArrayError: an array has the wrong shape, type or values.
    """

    def __init__(
        self,
        scores: NDArray[np.float32],
        classes: ClassTable,
        geometry: Geometry,
        provenance: Provenance,
        thresholds: tuple[float, ...],
        image: NDArray[np.uint8] | None = None,
        threads: int = 0,
    ) -> None:
        faults = []
        if scores.dtype != np.float32 or scores.ndim != 3:
            faults.append(f"scores {scores.dtype} {scores.shape}, expected float32 [C, h, w]")
        elif scores.shape[0] != len(classes):
            faults.append(f"scores of {scores.shape[0]} classes, the table has {len(classes)}")
        elif scores.size and not kernels.all_finite(scores):
            faults.append("scores that are not finite")
        if len(thresholds) != len(classes) or not all(0 < value < 1 for value in thresholds):
            faults.append(f"thresholds {thresholds}, expected {len(classes)} above 0 and below 1")
        if image is not None and (image.dtype != np.uint8 or image.shape != (*geometry.size, 3)):
            height, width = geometry.size
            faults.append(
                f"image {image.dtype} {image.shape}, expected uint8 ({height}, {width}, 3)"
            )
        if faults:
            raise ArrayError("a segmentation cannot be made of these arrays", got="; ".join(faults))
        self.scores = np.ascontiguousarray(scores).view()
        self.scores.flags.writeable = False
        self.classes = classes
        self.geometry = geometry
        self.provenance = provenance
        self.thresholds = thresholds
        self.image = image
        self.threads = threads

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` of the picture in pixels."""
        return self.geometry.size

    def logits(self, window: Window | None = None) -> NDArray[np.float32]:
        """Scores at the picture's size, float32 `[C, H, W]`, of the whole picture or a window.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        geometry = self.geometry.window(window)
        return kernels.decode_scores(
            self.scores, geometry.rows, geometry.columns, threads=self.threads
        )

    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """Sigmoid of the scores, float32 `[C, H, W]`, each 0..1 for itself.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        with np.errstate(over="ignore"):
            found: NDArray[np.float32] = np.float32(1) / (
                np.float32(1) + np.exp(-self.logits(window))
            )
        return found

    def masks(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Which classes each pixel has, bool `[C, H, W]`: those at or above their thresholds.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        limits = np.array(self.thresholds, np.float64)
        least = np.log(limits / (1 - limits)).astype(np.float32)
        found: NDArray[np.bool_] = self.logits(window) >= least[:, None, None]
        return found
