"""A seeded sample of pixels of every picture: the scores that a model gives them, and their truth.

Every picture gives as many pixels, drawn with replacement from those that count, so that pictures
weigh alike and every figure of a sample is an unbiased one of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.drawing import IGNORED
from pixelwise.data.duplicates import UNKNOWN_HASH, perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.data.groups import find_groups
from pixelwise.errors import ArrayError, DatasetError
from pixelwise.evaluation.predictions import Judged, Subject, judge
from pixelwise.geometry import Window
from pixelwise.metrics.confusion import ConfusionMatrix
from pixelwise.segmentation import Segmentation
from pixelwise.temperature import local_features

__all__ = ["Corners", "PixelSample", "grouped", "sample_pixels"]

_SEED = 0
_PIXELS = 1 << 18
_VALUES = 1 << 25  # 128 MB of float32
_LEAST_PIXELS, _MOST_PIXELS = 64, 4096
_BAND_VALUES = 1 << 22
_LEFT_OUT_SHARE = 0.001
_CORNERS = 4


@dataclass(frozen=True, eq=False)
class Corners:
    """The four of the network's own scores that each pixel lies between.

    Attributes:
        scores: float32 `[N, 4, C, P]`.
        weights: float32 `[N, 4, P]`: of bilinear interpolation, with sum 1 over the four.
        features: float32 `[N, 4, F, P]`: see `local_features`.
    """

    scores: NDArray[np.float32]
    weights: NDArray[np.float32]
    features: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Pixels of N pictures, P of each.

    Attributes:
        names: of the pictures.
        groups: int64 `[N]`: a number for each, the same for those that belong together.
        grouping: in words.
        logits: float32 `[N, P, C]`: the model's scores, before any temperature.
        truth: uint16 `[N, P]`: judged classes, 0 … G - 1.
        judged_as: intp `[C]`: the judged class of each class of the model; G where it is of none.
        counts: int64 `[N, 3, G]`: of all counted pixels of each picture, those that are of the
            class and found, of the class, and found.
        faults: pictures that could not be read.
        corners: what a local temperature is fitted to; None where it was not asked for.
        notes: which classes go together under different names, in short sentences.
    """

    names: tuple[str, ...]
    groups: NDArray[np.int64]
    grouping: str
    logits: NDArray[np.float32]
    truth: NDArray[np.uint16]
    judged_as: NDArray[np.intp]
    counts: NDArray[np.int64]
    faults: tuple[Fault, ...]
    corners: Corners | None = None
    notes: tuple[str, ...] = ()

    def part(self, chosen: NDArray[np.bool_]) -> PixelSample:
        """Some of the pictures, bool `[N]`."""
        corners = self.corners
        return replace(
            self,
            names=tuple(np.array(self.names, object)[chosen]),
            groups=self.groups[chosen],
            logits=self.logits[chosen],
            truth=self.truth[chosen],
            counts=self.counts[chosen],
            corners=None
            if corners is None
            else Corners(corners.scores[chosen], corners.weights[chosen], corners.features[chosen]),
        )


class _Drawn(NamedTuple):
    """Pixels of one picture; the arrays of a `PixelSample` without their first axis."""

    place: int
    logits: NDArray[np.float32]
    truth: NDArray[np.uint16]
    counts: NDArray[np.int64]
    corners: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None
    look: int


def sample_pixels(
    subject: Subject,
    *,
    by: Literal["group", "image"] = "group",
    corners: bool = False,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> PixelSample:
    """Predicts every picture once and keeps some of its pixels.

    Some 262,000 pixels are drawn in all, 64 to 4,096 of each picture, and at most 128 MB of scores.

    Args:
        subject: a model, and pictures with their truth.
        by: "group": frames of one video, tiles of one scene and so on belong together, as far as
            names and looks tell, unless that makes one group of all; "image": every picture is
            independent of the others.
        corners: whether to keep what a local temperature is fitted to, four times the scores.
        workers: threads that read and predict.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read, or have no
            probabilities; or pixels count in fewer than two pictures.
    """
    count, classes = len(subject.truths.names), len(subject.predictions.classes)
    judged_as = subject.match.of_prediction[list(subject.predictions.classes.ids)].astype(np.intp)
    values = count * classes * (_CORNERS if corners else 1)
    pixels = int(
        np.clip(
            min(_PIXELS // max(1, count), _VALUES // max(1, values)), _LEAST_PIXELS, _MOST_PIXELS
        )
    )

    def draw(judged: Judged) -> _Drawn | None:
        return _drawn(judged, len(subject.classes), pixels, corners=corners)

    answers = list(judge(subject, draw, workers=workers, progress=progress))
    faults = tuple(each for each in answers if isinstance(each, Fault))
    drawn = [each for each in answers if isinstance(each, _Drawn)]
    _check(subject, faults, len(drawn))
    names = tuple(subject.truths.names[each.place] for each in drawn)
    groups, grouping = grouped(names, np.array([each.look for each in drawn], np.uint64), by)
    kept = [each.corners for each in drawn if each.corners is not None]
    return PixelSample(
        names=names,
        groups=groups,
        grouping=grouping,
        logits=np.stack([each.logits for each in drawn]),
        truth=np.stack([each.truth for each in drawn]),
        judged_as=judged_as,
        counts=np.stack([each.counts for each in drawn]),
        faults=faults,
        corners=Corners(*map(np.stack, zip(*kept, strict=True))) if kept else None,
        notes=subject.match.notes,
    )


def grouped(
    names: Sequence[str], looks: NDArray[np.uint64], by: Literal["group", "image"]
) -> tuple[NDArray[np.int64], str]:
    """A number for each picture, int64 `[N]`, the same for those that belong together; in words.

    Args:
        names: of the pictures.
        looks: perceptual hashes, uint64 `[N]`.
        by: as of `sample_pixels`.
    """
    alone = np.arange(len(names), dtype=np.int64)
    if by == "image":
        return alone, "every picture by itself"
    found = find_groups(names, None if (looks == UNKNOWN_HASH).any() else looks)
    if len(found.sizes) > 1:
        return found.of.astype(np.int64), found.reason
    return alone, (
        f"{found.reason}; as all are one group, each picture counts by itself: what follows from "
        "them is surer than it should be"
    )


def _drawn(judged: Judged, classes: int, pixels: int, *, corners: bool) -> _Drawn | None:
    """Pixels that count, drawn by the number of the picture; None where none counts."""
    segmentation, image = judged.segmentation, judged.image
    if not isinstance(segmentation, Segmentation) or image is None:
        raise ArrayError("files hold no scores of a model", where=judged.name)
    flat = judged.truth.reshape(-1)
    counted = np.flatnonzero(flat != IGNORED)
    if not counted.size:
        return None
    generator = np.random.default_rng((_SEED, judged.place))
    chosen = np.sort(generator.choice(counted, pixels))
    matrix = ConfusionMatrix(classes + 1, ignore_index=IGNORED)
    matrix.update(judged.truth, judged.labels)
    return _Drawn(
        place=judged.place,
        logits=_logits(segmentation, chosen),
        truth=flat[chosen],
        counts=matrix.class_counts[:, :classes],
        corners=_corners(segmentation, chosen) if corners else None,
        look=perceptual_hash(image),
    )


def _logits(segmentation: Segmentation, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    """Of some pixels, float32 `[P, C]`."""
    height, width = segmentation.size
    classes = len(segmentation.classes)
    out = np.empty((len(chosen), classes), np.float32)
    step = max(1, _BAND_VALUES // (classes * width))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        first, last = np.searchsorted(chosen, (top * width, bottom * width)).tolist()
        if first < last:
            part = segmentation.logits(Window(0, top, width, bottom)).reshape(classes, -1)
            out[first:last] = part[:, chosen[first:last] - top * width].T
    return out


def _corners(
    segmentation: Segmentation, chosen: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Scores `[4, C, P]`, weights `[4, P]` and features `[4, F, P]` around some pixels."""
    scores, geometry = segmentation.scores, segmentation.geometry
    sides = []
    for axis, source, places in zip(
        (geometry.rows, geometry.columns),
        scores.shape[1:],
        np.divmod(chosen, geometry.columns.size),
        strict=True,
    ):
        index, weight = (table[places] for table in axis.table(source))
        sides.append((index, np.minimum(index + 1, source - 1), weight))
    (upper, lower, down), (left, right, across) = sides
    rows = np.stack([upper, upper, lower, lower])
    columns = np.stack([left, right, left, right])
    weights = np.stack(
        [
            (1 - down) * (1 - across),
            (1 - down) * across,
            down * (1 - across),
            down * across,
        ]
    )
    features = local_features(scores)
    return (
        scores[:, rows, columns].transpose(1, 0, 2),
        weights,
        features[:, rows, columns].transpose(1, 0, 2),
    )


def _check(subject: Subject, faults: tuple[Fault, ...], used: int) -> None:
    pictures = len(subject.truths.names)
    where = subject.truths.facts["data"]
    if len(faults) > max(1, int(_LEFT_OUT_SHARE * pictures)):
        raise DatasetError(
            "too many pictures cannot be read",
            where=where,
            got="; ".join(f"{fault.file}: {fault.what}" for fault in faults),
            fix="`pixelwise data check` lists what is wrong with each",
        )
    if used < 2:
        raise DatasetError(
            "two pictures with counted pixels are needed at least",
            where=where,
            got=f"{used} of {pictures}",
            fix="give a data set, or a split of it, with more labelled pictures",
        )
