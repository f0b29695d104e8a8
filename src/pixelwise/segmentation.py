"""The one result: every pixel of a picture and its class.

A `Segmentation` keeps the network's own low-resolution scores and the geometry that leads to the
picture. Everything else is worked out when it is asked for, so nothing of size `[C, H, W]` exists
until then.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.errors import UsageError
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.masks import encode_mask
from pixelwise.geometry import Geometry, Window
from pixelwise.layer import Layer
from pixelwise.presence import Presence
from pixelwise.region_views import RegionViews
from pixelwise.scored_picture import PROVENANCE_KEY, Provenance, ScoredPicture, read_only
from pixelwise.segments import Polygon, Segment, class_summary
from pixelwise.temperature import (
    LocalTemperature,
    Temperature,
    channels_of,
    confidence_in,
    fits_classes,
    label_confidence,
    tempered,
)

if TYPE_CHECKING:
    from pixelwise.formats.spacing import Spacing
    from pixelwise.overlay import LegendEntry

__all__ = ["PROVENANCE_KEY", "Layer", "Polygon", "Provenance", "Segment", "Segmentation"]

Labels = NDArray[np.uint8] | NDArray[np.uint16]


class Segmentation(RegionViews, ScoredPicture):
    """A picture `[H, W]` in which every pixel has a class.

    Args:
        scores: logits, float32 `[C, h, w]`, one map for each class of the table, in its order.
        classes: the class table.
        geometry: how the picture's pixels fall on the scores.
        provenance: where the result came from.
        image: the photo, uint8 `[H, W, 3]` RGB, for overlays.
        threads: cores that may be used to work things out; 0 means all.
        temperature: what scores are divided by before they become probabilities, one for all
            classes, one for each, or one for each place; `labels` and `logits` never see it.
        set_threshold: probability from which a class is in `prediction_sets`; None: not known.
        labels: uint8 or uint16 `[H, W]`, the label map where it was changed after the network: ids
            of the table, or its ignored id. None: the best classes of the scores.

    Raises:
        ArrayError: an array has the wrong shape, type or values.
    """

    def __init__(
        self,
        scores: NDArray[np.float32],
        classes: ClassTable,
        geometry: Geometry,
        provenance: Provenance,
        image: NDArray[np.uint8] | None = None,
        threads: int = 0,
        temperature: Temperature = 1.0,
        set_threshold: float | None = None,
        labels: Labels | None = None,
    ) -> None:
        faults = []
        if not fits_classes(temperature, len(classes)):
            faults.append(f"temperature {temperature}, expected one or {len(classes)} above 0")
        if labels is not None:
            faults += _faults_of_labels(labels, classes, geometry.size)
        super().__init__(scores, classes, geometry, provenance, image, threads, faults)
        self.temperature = temperature
        self.set_threshold = set_threshold
        self._labels = None if labels is None else read_only(labels.copy())

    @cached_property
    def labels(self) -> Labels:
        """The class id of every pixel, uint8 `[H, W]` (uint16 where an id exceeds 255).

        The exact best class of the bilinearly interpolated scores, a tie takes the lowest id; or
        what refinement made of it, where pixels may have the table's ignored id.
        """
        if self._labels is not None:
            return self._labels
        rows, columns = self.geometry.rows, self.geometry.columns
        best = kernels.decode_labels(self.scores, rows, columns, threads=self.threads)
        ids = np.array(self.classes.ids)
        if np.array_equal(ids, np.arange(len(ids))):
            return read_only(best)
        if ids.max() < 256:
            return read_only(kernels.relabel(best, ids.astype(np.uint8)))
        return read_only(kernels.relabel(best, ids.astype(np.uint16)))

    @cached_property
    def calibrated_scores(self) -> NDArray[np.float32]:
        """Scores over temperature, float32 `[C, h, w]`: what probabilities are made of."""
        return read_only(tempered(self.scores, self.temperature))

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the pixel's class, float32 `[H, W]`, 1/C..1.

        A temperature for each class, or place, may make another class likelier than the label, and
        refinement another label; then this may be below 1/C. Ignored pixels have 0.
        """
        if self._labels is not None:
            return read_only(
                confidence_in(
                    self.calibrated_scores,
                    self.geometry,
                    channels_of(self._labels, self.classes),
                    threads=self.threads,
                )
            )
        rows, columns = self.geometry.rows, self.geometry.columns
        decode = kernels.decode_confidence
        if not isinstance(self.temperature, tuple | LocalTemperature):
            return read_only(decode(self.calibrated_scores, rows, columns, threads=self.threads))
        return read_only(
            label_confidence(
                self.scores, self.calibrated_scores, self.geometry, threads=self.threads
            )
        )

    @cached_property
    def shares(self) -> dict[str, float]:
        """Part of the picture that each class fills, 0..1, for every class of the table."""
        values = int(np.iinfo(self.labels.dtype).max) + 1
        counts = kernels.count_labels(self.labels, values, threads=self.threads)
        return {info.name: float(counts[info.id] / self.labels.size) for info in self.classes}

    @cached_property
    def presence(self) -> Presence:
        """How many pixels each id has in 1, 2 × 2, 4 × 4 and 8 × 8 cells of the picture."""
        return Presence.of(self.labels, threads=self.threads)

    @property
    def changed(self) -> bool:
        """Whether the label map is no more that of the scores."""
        return self._labels is not None

    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """Softmax of the calibrated scores, float32 `[C, H, W]`, 0..1, sum 1 at each pixel.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        geometry = self.geometry.window(window)
        return kernels.decode_probabilities(
            self.calibrated_scores, geometry.rows, geometry.columns, threads=self.threads
        )

    def prediction_sets(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Classes that a pixel may be, bool `[C, H, W]`: its label, and all that are likely enough.

        The truth is among them as often as `pixelwise calibrate --coverage` was told, over
        pictures like those of the calibration: see `Conformal` of the model's card.

        Raises:
            UsageError: the model has no such calibration, or the window leaves the picture.
        """
        if self.set_threshold is None:
            raise UsageError(
                "this model does not say from which probability on a class is possible",
                where=self.provenance.model,
                fix="calibrate it with a coverage: pixelwise calibrate MODEL DATA --coverage 0.9",
            )
        sets = self.probabilities(window) >= np.float32(self.set_threshold)
        sets |= self.one_hot(window).view(np.bool_)
        return sets

    def one_hot(self, window: Window | None = None) -> NDArray[np.uint8]:
        """uint8 `[C, H, W]`: 1 in the layer of the pixel's class, else 0.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        self.geometry.window(window)
        labels = self.labels
        if window is not None:
            labels = labels[window.top : window.bottom, window.left : window.right]
        ids = np.array(self.classes.ids, labels.dtype)
        layers: NDArray[np.bool_] = labels[None] == ids[:, None, None]
        return layers.view(np.uint8)

    def mask_of(self, index: int) -> NDArray[np.bool_]:
        """Where the class in this place of the table is the label, bool `[H, W]`."""
        found: NDArray[np.bool_] = self.labels == self.classes.ids[index]
        return found

    def probability_of(self, index: int) -> NDArray[np.float32]:
        """Of the class in this place of the table, float32 `[H, W]`, 0..1; calibrated."""
        return kernels.decode_probability(
            self.calibrated_scores,
            index,
            self.geometry.rows,
            self.geometry.columns,
            threads=self.threads,
        )

    def summary(self, *, spacing: Spacing | str | None = None) -> dict[str, Any]:
        """Plain data for JSON: per class that occurs its share, box, centroid and regions.

        `tag_scores` are those of every class, the likeliest first. `box` and `centroid` of a class
        are those of all its pixels together; `regions` lists its connected regions, the largest
        first, with their real areas where `spacing` says the size of a pixel, as in `segments`.
        """
        height, width = self.size
        segments = self.segments(spacing=spacing)
        return {
            "height": height,
            "width": width,
            "tags": list(self.tags),
            "tag_scores": {tag.info.name: tag.score for tag in self.tag_scores()},
            "classes": [class_summary(name, share, segments) for name, share in self.tags.items()],
            "provenance": asdict(self.provenance),
        }

    def save(self, path: str | Path) -> None:
        """Writes the label map as a PNG: indexed, palette = class colours, index = class id.

        Ids above 255 make it a 16-bit grey PNG. A text chunk named `pixelwise` says where the map
        came from, and for `pixelwise search` what its ids mean and where in the picture they are.

        Raises:
            OutputError: the file cannot be written.
            UsageError: the name does not end in .png.
        """
        write_atomic(named(path, ".png"), self.encode())

    def encode(self, **facts: str) -> bytes:
        """The PNG that `save` writes; `facts` are added to its provenance."""
        palette = self.classes.palette if self.labels.dtype == np.uint8 else None
        text = self.provenance_text(facts | self.picture_facts())
        return encode_mask(self.labels, palette=palette, text=text)

    def _repr_png_(self) -> bytes:
        if self.image is None:
            return self.encode()
        return self.encode_overlay()

    def _drawn_over(
        self, image: NDArray[np.uint8], entries: list[LegendEntry], *, opacity: float, legend: bool
    ) -> NDArray[np.uint8]:
        from pixelwise.overlay import draw_overlay

        return draw_overlay(
            image,
            self.labels,
            self.classes.palette,
            entries,
            opacity=opacity,
            legend=legend,
            threads=self.threads,
        )


def _faults_of_labels(labels: Labels, classes: ClassTable, size: tuple[int, int]) -> list[str]:
    if labels.dtype not in (np.uint8, np.uint16) or labels.shape != size:
        return [f"labels {labels.dtype} {labels.shape}, expected uint8 or uint16 {size}"]
    known = [*classes.ids, *([] if classes.ignore_index is None else [classes.ignore_index])]
    counts = kernels.count_labels(labels, int(np.iinfo(labels.dtype).max) + 1)
    counts[[number for number in known if number < len(counts)]] = 0
    others = np.flatnonzero(counts).tolist()
    return [f"labels of no class: {others[:10]}"] if others else []
