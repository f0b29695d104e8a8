"""Judging classes that lie over each other: what a picture gives, counted in one pass over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.drawing import IGNORED
from pixelwise.data.split_files import sha256_of
from pixelwise.errors import MaskFileError
from pixelwise.evaluation.matching import Match
from pixelwise.evaluation.predictions import Truths
from pixelwise.evaluation.sources import TrueLayers
from pixelwise.evaluation.stored_probabilities import Probabilities
from pixelwise.geometry import Window
from pixelwise.kernels import threshold_counts
from pixelwise.kernels.reference_calibration import THRESHOLD_BINS
from pixelwise.metrics.layers import LayerOverlap
from pixelwise.multi_label import MultiLabelSegmentation

__all__ = [
    "JudgedLayers",
    "LabelAnswer",
    "LayerAnswer",
    "LayerPredictions",
    "LayerSubject",
    "LayerTally",
    "LayerTruths",
    "SigmoidAnswer",
    "StoredAnswer",
]

_BAND_VALUES = 1 << 22
_NOT_COUNTED = 255


class Band(NamedTuple):
    """What is said of a window.

    Attributes:
        masks: which classes each pixel has, bool `[C, h, w]`.
        probabilities: float32 `[C, h, w]`, 0..1; None where there are none.
    """

    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float32] | None


class LayerAnswer(Protocol):
    """A prediction as one layer for each class."""

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether the probabilities of a pixel are those of one class among others, with sum 1."""
        ...

    def band(self, window: Window) -> Band:
        """Of a window, channels in the order of the prediction's class table."""
        ...


@dataclass(frozen=True, eq=False)
class SigmoidAnswer:
    """Of a model whose classes lie over each other."""

    segmentation: MultiLabelSegmentation
    exclusive: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """See `LayerAnswer`."""
        return self.segmentation.size

    def band(self, window: Window) -> Band:
        """See `LayerAnswer`."""
        segmentation = self.segmentation
        return Band(segmentation.masks(window), segmentation.probabilities(window))


@dataclass(frozen=True, eq=False)
class LabelAnswer:
    """Of a prediction of one class a pixel: that class is there, and no other.

    Attributes:
        ids: uint8 or uint16 `[H, W]`.
        classes: of the prediction.
        segmentation: what is said of every class; None of label maps alone.
    """

    ids: NDArray[Any]
    classes: ClassTable
    segmentation: Probabilities | None
    exclusive: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """See `LayerAnswer`."""
        return self.ids.shape[0], self.ids.shape[1]

    def band(self, window: Window) -> Band:
        """See `LayerAnswer`."""
        ids = self.ids[window.top : window.bottom, window.left : window.right]
        masks = np.stack([ids == number for number in self.classes.ids])
        if self.segmentation is None:
            return Band(masks, None)
        # Rounding of a sum may pass 1.
        return Band(masks, np.minimum(self.segmentation.probabilities(window), 1))


@dataclass(frozen=True, eq=False)
class StoredAnswer:
    """Of files.

    Attributes:
        masks: bool `[C, H, W]`.
        probabilities: float32 `[C, H, W]`; None where there are masks alone.
    """

    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float32] | None
    exclusive: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """See `LayerAnswer`."""
        return self.masks.shape[1], self.masks.shape[2]

    def band(self, window: Window) -> Band:
        """See `LayerAnswer`."""
        rows, columns = slice(window.top, window.bottom), slice(window.left, window.right)
        masks, layers = self.masks[:, rows, columns], self.probabilities
        return Band(masks, None if layers is None else layers[:, rows, columns])


@dataclass(frozen=True, eq=False)
class LayerTally:
    """What one picture gives.

    Attributes:
        overlap: int64 `[4, C]`: the counts of `LayerOverlap`.
        histogram: int64 `[C, 2, 1472]`: of each class the counts of `Thresholds`; all 0 where there
            are no probabilities.
        likeliest: float64 `[C]`: highest probability of each class in a counted pixel; NaN where
            there is none.
    """

    overlap: NDArray[np.int64]
    histogram: NDArray[np.int64]
    likeliest: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JudgedLayers:
    """A picture, its truth and what was predicted.

    Attributes:
        place: in the order of the names.
        name: path without suffix.
        truth: which of the judged classes each pixel has, bool `[C, H, W]`.
        ignore: bool `[H, W]`: pixels that count in no class.
        image: `[H, W, B]`; None where there is none.
        answer: the prediction.
        channels: intp `[P]`: the judged class of each predicted one; C where it is of none.
    """

    place: int
    name: str
    truth: NDArray[np.bool_]
    ignore: NDArray[np.bool_]
    image: NDArray[Any] | None
    answer: LayerAnswer
    channels: NDArray[np.intp]

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        return self.ignore.shape[0], self.ignore.shape[1]

    @cached_property
    def tally(self) -> LayerTally:
        """Counted in bands of rows: beside the truth nothing of size `[C, H, W]` is made."""
        classes = len(self.truth)
        overlap = LayerOverlap(classes)
        histogram = np.zeros((classes, 2, THRESHOLD_BINS), np.int64)
        likeliest = np.full(classes, np.nan)
        for rows, window in self._windows():
            truth, ignore = self.truth[:, rows], self.ignore[rows]
            masks, probabilities = self._judged(self.answer.band(window))
            overlap.update(truth, masks, ignore)
            if probabilities is None or ignore.all():
                continue
            ids = np.where(ignore, np.uint8(_NOT_COUNTED), truth.view(np.uint8))
            for channel, layer in enumerate(probabilities):
                histogram[channel] += threshold_counts(
                    np.ascontiguousarray(layer).reshape(-1),
                    ids[channel].reshape(-1),
                    ignore_index=_NOT_COUNTED,
                )
            counted = np.where(ignore, np.float32(-1), probabilities)
            likeliest = np.fmax(likeliest, counted.reshape(classes, -1).max(axis=1))
        return LayerTally(overlap.counts, histogram, likeliest)

    def _judged(self, band: Band) -> Band:
        """The classes that are judged: a pixel has one where it has any predicted class of it."""
        classes = len(self.truth)
        if np.array_equal(self.channels, np.arange(classes)):
            return band
        shape = (classes, *band.masks.shape[1:])
        masks = np.zeros(shape, np.bool_)
        layers = None if band.probabilities is None else np.zeros(shape, np.float32)
        for place, channel in enumerate(self.channels.tolist()):
            if channel == classes:
                continue
            masks[channel] |= band.masks[place]
            if layers is not None and band.probabilities is not None:
                own = band.probabilities[place]
                join = np.add if self.answer.exclusive else np.maximum
                join(layers[channel], own, out=layers[channel])
        return Band(masks, None if layers is None else np.minimum(layers, 1, out=layers))

    def _windows(self) -> Iterator[tuple[slice, Window]]:
        height, width = self.size
        step = max(1, _BAND_VALUES // max(1, width * max(len(self.truth), len(self.channels))))
        for top in range(0, height, step):
            bottom = min(height, top + step)
            yield slice(top, bottom), Window(0, top, width, bottom)


class LayerTruths(Truths, Protocol):
    """Pictures with their truth, which can be read as layers."""

    def read_layers(self, place: int) -> TrueLayers:
        """The truth of that place; of one class a pixel, each pixel has that class alone.

        Raises:
            PixelwiseError: it cannot be read.
        """
        ...


class LayerPredictions(Protocol):
    """Predictions of pictures, as layers."""

    @property
    def classes(self) -> ClassTable:
        """What the channels mean."""
        ...

    @property
    def facts(self) -> dict[str, str]:
        """What the protocol says of it: at least `predictions`."""
        ...

    @property
    def probable(self) -> bool:
        """Whether there are probabilities."""
        ...

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """From which probability a pixel has each class; None where no threshold decides."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether a pixel has one class."""
        ...

    def read(self, place: int, image: NDArray[Any] | None) -> LayerAnswer:
        """The prediction of that place.

        Raises:
            PixelwiseError: it cannot be had.
        """
        ...


@dataclass(frozen=True, eq=False)
class LayerSubject:
    """What is judged, by what, where classes lie over each other.

    Attributes:
        truths: pictures and their truth.
        predictions: of the same pictures.
        match: how the classes of both go together. A class that is ignored is not judged; no pixel
            of another class is ignored for it.
    """

    truths: LayerTruths
    predictions: LayerPredictions
    match: Match

    @property
    def classes(self) -> ClassTable:
        """The classes that are judged; channel i is the i-th."""
        return self.match.classes

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Of each judged class; NaN where several predicted ones of other thresholds are one."""
        own = self.predictions.thresholds
        if own is None:
            return None
        found: list[set[float]] = [set() for _ in self.classes]
        for channel, value in zip(self.channels.tolist(), own, strict=True):
            if channel < len(found):
                found[channel].add(value)
        return tuple(values.pop() if len(values) == 1 else float("nan") for values in found)

    def picture_hash(self) -> str:
        """SHA-256 of the names of the pictures, one a line, in order of the names."""
        return sha256_of(sorted(self.truths.names))

    def read(self, place: int) -> JudgedLayers:
        """The picture of that place.

        Raises:
            PixelwiseError: it, its truth or its prediction cannot be read, or sizes differ.
        """
        name = self.truths.names[place]
        true = self.truths.read_layers(place)
        answer = self.predictions.read(place, true.image)
        size = true.ignore.shape
        if answer.size != size:
            raise MaskFileError(
                "prediction and truth differ in size",
                where=name,
                got=f"prediction {answer.size[1]}×{answer.size[0]} · truth "
                f"{size[1]}×{size[0]} (width × height)",
                fix="predict at the size of the picture; masks are never resized",
            )
        return JudgedLayers(
            place=place,
            name=name,
            truth=self._truth(true.layers),
            ignore=true.ignore,
            image=true.image,
            answer=answer,
            channels=self.channels,
        )

    @cached_property
    def channels(self) -> NDArray[np.intp]:
        """intp `[P]`: the judged class of each predicted one; C where it is of none."""
        return self.match.of_prediction[list(self.predictions.classes.ids)].astype(np.intp)

    def _truth(self, layers: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Layers of the judged classes."""
        channels = self.match.of_truth[list(self.truths.classes.ids)]
        if np.array_equal(channels, np.arange(len(self.classes))):
            return layers
        found = np.zeros((len(self.classes), *layers.shape[1:]), np.bool_)
        for channel, layer in zip(channels.tolist(), layers, strict=True):
            if channel != IGNORED:
                found[channel] |= layer
        return found
