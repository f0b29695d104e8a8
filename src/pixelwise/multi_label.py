"""The result where classes lie over each other: each pixel has any number of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.formats.files import write_atomic
from pixelwise.formats.png import encode_rgb
from pixelwise.geometry import Geometry, Window
from pixelwise.layer import mask_paths
from pixelwise.presence import CELL_SIDE, Presence, cell_edges
from pixelwise.scored_picture import Provenance, ScoredPicture, read_only
from pixelwise.segments import Segment, class_summary, find_segments

if TYPE_CHECKING:
    from pixelwise.formats.spacing import Spacing
    from pixelwise.overlay import LegendEntry

__all__ = ["MultiLabelSegmentation", "layer_masks", "least_logits", "sigmoid"]

_BLOCK = 1 << 16
"""Values that are worked out at once: in float64, they stay in the cache."""


class MultiLabelSegmentation(ScoredPicture):
    """A picture `[H, W]` in which every pixel has any number of classes, and so no label map.

    A pixel has a class where `probabilities()` is at or above the class's threshold, both float32.

    Args:
        scores: logits, float32 `[C, h, w]`, one map for each class of the table, in its order.
        classes: the class table.
        geometry: how the picture's pixels fall on the scores.
        provenance: where the result came from.
        thresholds: for each class the probability from which a pixel has it, above 0 and below 1.
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
        if len(thresholds) != len(classes) or not all(0 < value < 1 for value in thresholds):
            faults.append(f"thresholds {thresholds}, expected {len(classes)} above 0 and below 1")
        super().__init__(scores, classes, geometry, provenance, image, threads, faults)
        self.thresholds = thresholds

    @cached_property
    def shares(self) -> dict[str, float]:
        """Part of the picture that each class fills, 0..1; the sum may be anything up to C."""
        height, width = self.size
        return {
            info.name: np.count_nonzero(self.mask_of(index)) / (height * width)
            for index, info in enumerate(self.classes)
        }

    @cached_property
    def presence(self) -> Presence:
        """How many pixels each id has in 1, 2 × 2, 4 × 4 and 8 × 8 cells of the picture."""
        edges = cell_edges(self.size[0]), cell_edges(self.size[1])
        counts = {
            info.id: kernels.count_cells(
                self.mask_of(index).view(np.uint8), *edges, 2, threads=self.threads
            )[..., 1]
            for index, info in enumerate(self.classes)
        }
        ids = sorted(number for number, cells in counts.items() if cells.any())
        stacked = np.zeros((len(ids), CELL_SIDE, CELL_SIDE), np.int64)
        for row, number in enumerate(ids):
            stacked[row] = counts[number]
        return Presence(self.size, np.array(ids, np.int64), stacked)

    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """Sigmoid of the scores, float32 `[C, H, W]`, each 0..1 for itself.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        found = self.logits(window)
        return sigmoid(found, out=found)

    def masks(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Which classes each pixel has, bool `[C, H, W]`: those at or above their thresholds.

        Equal, bit for bit, to `probabilities(window) >= float32(thresholds)`, without those.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        geometry = self.geometry.window(window)
        return layer_masks(self.scores, geometry, self._least, threads=self.threads)

    def mask_of(self, index: int) -> NDArray[np.bool_]:
        """Where the picture has the class in this place of the table, bool `[H, W]`."""
        found: NDArray[np.bool_] = self._logits_of(index, self.geometry) >= self._least[index]
        return found

    def probability_of(self, index: int) -> NDArray[np.float32]:
        """Of the class in this place of the table, float32 `[H, W]`, 0..1."""
        found = self._logits_of(index, self.geometry)
        return sigmoid(found, out=found)

    def segments(
        self, *, min_area: int = 1, spacing: Spacing | str | None = None
    ) -> tuple[Segment, ...]:
        """The connected regions (8 neighbours) of each class, the largest first.

        Those of different classes may lie over each other.

        Args:
            min_area: regions of fewer pixels are left out; 1 and more.
            spacing: the size of a pixel, such as "0.5mm", for areas in mm² and m².

        Raises:
            UsageError: an argument is outside its range.
        """
        found = [
            segment
            for index, info in enumerate(self.classes)
            if self.shares[info.name] > 0
            for segment in self._segments_of(index, info, min_area, spacing)
        ]
        return tuple(sorted(found, key=lambda segment: -segment.area))

    def summary(self, *, spacing: Spacing | str | None = None) -> dict[str, Any]:
        """Plain data for JSON: per class that occurs its share, threshold, box and regions.

        As `Segmentation.summary`, but shares do not sum to 1, and each class has its `threshold`.
        """
        height, width = self.size
        segments = self.segments(spacing=spacing)
        limits = dict(zip(self.classes.names, self.thresholds, strict=True))
        return {
            "height": height,
            "width": width,
            "tags": list(self.tags),
            "classes": [
                class_summary(name, share, segments) | {"threshold": limits[name]}
                for name, share in self.tags.items()
            ],
            "provenance": asdict(self.provenance),
        }

    def save(self, folder: str | Path, name: str) -> None:
        """Writes `masks/CLASS/NAME.png` below a folder for every class, grey PNGs of 0 and 255.

        With the photo beside them as `images/NAME.jpg`, `pixelwise.data.open` reads the folder.
        A text chunk named `pixelwise` says where a mask came from.

        Args:
            folder: `masks` is made in it.
            name: of the files, without a suffix: that of the photo.

        Raises:
            OutputError: a file cannot be written.
        """
        for path, content in zip(mask_paths(self.classes, name), self.encode_masks(), strict=True):
            write_atomic(Path(folder) / path, content)

    def encode_masks(self, **facts: str) -> Iterator[bytes]:
        """The PNGs that `save` writes, made one by one; `facts` are added to their provenance.

        The last one, whose coming makes the result whole, also says what is of the picture.
        """
        *others, last = self.layers()
        for layer in others:
            yield layer.encode_mask(**facts)
        yield last.encode_mask(**facts, **self.picture_facts())

    def _repr_png_(self) -> bytes:
        if self.image is not None:
            return self.encode_overlay()
        dark = np.zeros((*self.size, 3), np.uint8)
        drawn = self._drawn_over(dark, self._entries(), opacity=1.0, legend=True)
        return encode_rgb(drawn, text=self.provenance_text({}))

    @cached_property
    def _least(self) -> NDArray[np.float32]:
        return read_only(least_logits(self.thresholds))

    def _logits_of(self, index: int, geometry: Geometry) -> NDArray[np.float32]:
        """Scores of one class at the picture's size, float32 `[H, W]`."""
        scores, rows, columns = self.scores[index : index + 1], geometry.rows, geometry.columns
        decoded = kernels.decode_scores(scores, rows, columns, threads=self.threads)
        layer: NDArray[np.float32] = decoded[0]
        return layer

    def _segments_of(
        self, index: int, info: ClassInfo, min_area: int, spacing: Spacing | str | None
    ) -> Iterator[Segment]:
        # Regions are those of a label map, so the class gets one in which all else is another.
        other = ClassInfo(0 if info.id > 0 else 1, f"not {info.name}", (0, 0, 0))
        pair = ClassTable(self.classes.name, (info, other), None, self.classes.source)
        kind = np.uint8 if info.id < 256 else np.uint16
        labels = np.where(self.mask_of(index), kind(info.id), kind(other.id))
        found = find_segments(
            labels, self.probability_of(index), pair, min_area=min_area, spacing=spacing
        )
        return (segment for segment in found if segment.info.id == info.id)

    def _drawn_over(
        self, image: NDArray[np.uint8], entries: list[LegendEntry], *, opacity: float, legend: bool
    ) -> NDArray[np.uint8]:
        from pixelwise.overlay import draw_layers

        return draw_layers(
            image,
            [partial(self.mask_of, self.classes.index(entry.info.id)) for entry in entries],
            entries,
            opacity=opacity,
            legend=legend,
            threads=self.threads,
        )


def sigmoid(
    logits: NDArray[np.float32], *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), worked out in float64 and rounded once: it never falls as x grows.

    Args:
        logits: float32 of any shape, without gaps in memory.
        out: what is filled, such as `logits` itself; None: a new array.

    Returns:
        float32 of the same shape, 0..1.
    """
    found = np.empty_like(logits) if out is None else out
    values, places = logits.reshape(-1), found.reshape(-1)
    with np.errstate(over="ignore"):
        for first in range(0, values.size, _BLOCK):
            part = np.exp(-values[first : first + _BLOCK].astype(np.float64))
            part += 1
            np.divide(1, part, out=places[first : first + _BLOCK], casting="same_kind")
    return found


def layer_masks(
    scores: NDArray[np.float32],
    geometry: Geometry,
    least: NDArray[np.float32],
    *,
    threads: int,
) -> NDArray[np.bool_]:
    """Where the scores of each class reach its least logit, bool `[C, H, W]`.

    Class by class, so that no float array of that size is needed.

    Args:
        scores: logits, float32 `[C, h, w]`.
        geometry: how the picture's pixels fall on them.
        least: float32 `[C]`, of `least_logits`.
        threads: cores that may be used; 0 means all.
    """
    found = np.empty((len(scores), *geometry.size), np.bool_)
    for index, layer in enumerate(found):
        plane = kernels.decode_scores(
            scores[index : index + 1], geometry.rows, geometry.columns, threads=threads
        )
        np.greater_equal(plane[0], least[index], out=layer)
    return found


def least_logits(thresholds: tuple[float, ...]) -> NDArray[np.float32]:
    """The least float32 logits whose `sigmoid` reaches float32 thresholds.

    Args:
        thresholds: above 0 and below 1.

    Returns:
        float32 `[C]`: `x >= least_logits(t)` is `sigmoid(x) >= float32(t)` for every float32 x.
    """
    limits = np.array(thresholds, np.float32)
    # Beyond these the sigmoid is 0 and 1 in float32.
    low = np.full(limits.shape, -200, np.float32)
    high = np.full(limits.shape, 200, np.float32)
    while True:
        middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
        if ((middle == low) | (middle == high)).all():
            break
        reached = sigmoid(middle) >= limits
        # What has come to its end stays.
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    least: NDArray[np.float32] = np.where(limits > 0, high, np.float32(-np.inf))
    return least
