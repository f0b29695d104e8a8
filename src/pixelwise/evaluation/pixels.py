"""A seeded sample of pixels of every picture: the scores that a model gives them, and their truth.

Every picture gives as many pixels, drawn with replacement from those that count, so that pictures
weigh alike and every figure of a sample is an unbiased one of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data import Dataset, Fault, MultiLabelTarget, Sample, mapped
from pixelwise.data.borders import BORDER_CLASSES, with_borders
from pixelwise.data.duplicates import perceptual_hash
from pixelwise.data.groups import find_groups
from pixelwise.data.parallel import in_order
from pixelwise.errors import ClassTableError, DatasetError, PixelwiseError
from pixelwise.geometry import Window
from pixelwise.inference.predictor import Model
from pixelwise.metrics.confusion import ConfusionMatrix
from pixelwise.segmentation import Segmentation

__all__ = ["PixelSample", "in_classes_of", "sample_pixels"]

_IGNORED = 65_535
_SEED = 0
_PIXELS = 1 << 18
_VALUES = 1 << 25  # 128 MB of float32
_LEAST_PIXELS, _MOST_PIXELS = 64, 4096
_BAND_VALUES = 1 << 22
_LEFT_OUT_SHARE = 0.001
_AHEAD = 2


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Pixels of N pictures, P of each.

    Attributes:
        names: of the pictures.
        groups: int64 `[N]`: a number for each, the same for those that belong together.
        grouping: in words.
        logits: float32 `[N, P, C]`: the model's scores, before any temperature.
        truth: uint16 `[N, P]`: channels.
        counts: int64 `[N, 3, C]`: of all counted pixels of each picture, those that are of the
            class and found, of the class, and found.
        faults: pictures that could not be read.
    """

    names: tuple[str, ...]
    groups: NDArray[np.int64]
    grouping: str
    logits: NDArray[np.float32]
    truth: NDArray[np.uint16]
    counts: NDArray[np.int64]
    faults: tuple[Fault, ...]


def in_classes_of(
    dataset: Dataset, classes: ClassTable, mapping: Mapping[str, str | None] | None = None
) -> Dataset:
    """The data set under the classes of a model.

    Objects become outside, inside and border for a model that learned those.

    Args:
        dataset: any.
        classes: of the model.
        mapping: own names to names of the model, or None for "ignored", where the names differ.

    Raises:
        ClassTableError: a class of the data set goes nowhere; both tables are shown.
    """
    if classes.names == BORDER_CLASSES.names != dataset.classes.names:
        return with_borders(dataset)
    target = classes if classes.ignore_index is not None else _with_ignored(classes)
    lookup = dataset.classes.map_to(target, mapping)
    lost = [
        info.name
        for info in dataset.classes
        if lookup[info.id] == target.ignore_index and info.name not in (mapping or {})
    ]
    if lost:
        raise ClassTableError(
            "the model has no class for some of the data set's",
            where=str(dataset.root),
            got=f"without one: {', '.join(lost)} · data set: {', '.join(dataset.classes.names)} · "
            f"model: {', '.join(classes.names)}",
            fix=f"say where they go: --map '{classes.names[0]}={lost[0]}', or "
            f"--map 'ignored={lost[0]}' for pixels that are not to count",
        )
    return mapped(dataset, target, mapping)


def sample_pixels(
    model: Model,
    dataset: Dataset,
    *,
    by: Literal["group", "image"] = "group",
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> PixelSample:
    """Predicts every picture once and keeps some of its pixels.

    Some 262,000 pixels are drawn in all, 64 to 4,096 of each picture, and at most 128 MB of scores.

    Args:
        model: as `pixelwise predict` loads it.
        dataset: under the model's classes: see `in_classes_of`.
        by: "group": frames of one video, tiles of one scene and so on belong together, as far as
            names and looks tell, unless that makes one group of all; "image": every picture is
            independent of the others.
        workers: threads that read ahead.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read; classes
            overlap; or no pixel counts in fewer than two pictures.
    """
    count, classes = len(dataset), len(model.classes)
    channel = np.full(65_536, _IGNORED, np.uint16)
    channel[list(model.classes.ids)] = np.arange(classes)
    pixels = int(
        np.clip(
            min(_PIXELS // max(1, count), _VALUES // (max(1, count) * classes)),
            _LEAST_PIXELS,
            _MOST_PIXELS,
        )
    )
    places: list[int] = []
    logits: list[NDArray[np.float32]] = []
    truths: list[NDArray[np.uint16]] = []
    counts: list[NDArray[np.int64]] = []
    hashes: list[int] = []
    faults: list[Fault] = []
    reading = in_order(
        lambda place: _read(dataset, place),
        range(count),
        workers=workers,
        ahead=_AHEAD * workers,
    )
    with closing(reading):
        for place, sample in enumerate(reading):
            if isinstance(sample, Fault):
                faults.append(sample)
                continue
            truth = channel[sample.mask]
            if (truth != _IGNORED).any():
                segmentation = model.predict(sample.image)
                own = _drawn(segmentation, truth, pixels, np.random.default_rng((_SEED, place)))
                matrix = ConfusionMatrix(classes, ignore_index=_IGNORED)
                matrix.update(truth, channel[segmentation.labels])
                places.append(place)
                hashes.append(perceptual_hash(sample.image))
                logits.append(own[0])
                truths.append(own[1])
                counts.append(
                    np.stack([np.diag(matrix.counts), matrix.counts.sum(1), matrix.counts.sum(0)])
                )
            if progress is not None:
                progress(1)
    _check(dataset, faults, len(places))
    names = tuple(dataset.entries[place].name for place in places)
    groups, grouping = np.arange(len(names), dtype=np.int64), "every picture by itself"
    if by == "group":
        found = find_groups(names, np.array(hashes, np.uint64))
        grouping = found.reason
        if len(found.sizes) > 1:
            groups = found.of.astype(np.int64)
        else:
            grouping += "; as all are one group, each picture counts by itself: intervals and "
            grouping += "coverage are surer than they should be"
    return PixelSample(
        names=names,
        groups=groups,
        grouping=grouping,
        logits=np.stack(logits),
        truth=np.stack(truths),
        counts=np.stack(counts),
        faults=tuple(faults),
    )


def _read(dataset: Dataset, place: int) -> Sample | Fault:
    try:
        sample = dataset[place]
    except PixelwiseError as error:
        return Fault.from_error(error, dataset.entries[place].image)
    if isinstance(sample.target, MultiLabelTarget):
        raise DatasetError(
            "classes that overlap have no one probability per pixel",
            where=str(dataset.root),
            got=f"{sample.name}: a multi-label truth",
            fix="open it with kind='multi_class'",
        )
    return sample


def _drawn(
    segmentation: Segmentation,
    truth: NDArray[np.uint16],
    pixels: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Logits `[P, C]` and truth `[P]` of pixels that count."""
    height, width = truth.shape
    flat = truth.reshape(-1)
    chosen = np.sort(generator.choice(np.flatnonzero(flat != _IGNORED), pixels))
    classes = len(segmentation.classes)
    out = np.empty((pixels, classes), np.float32)
    step = max(1, _BAND_VALUES // (classes * width))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        first, last = np.searchsorted(chosen, (top * width, bottom * width)).tolist()
        if first < last:
            part = segmentation.logits(Window(0, top, width, bottom)).reshape(classes, -1)
            out[first:last] = part[:, chosen[first:last] - top * width].T
    return out, flat[chosen]


def _check(dataset: Dataset, faults: list[Fault], used: int) -> None:
    if len(faults) > max(1, int(_LEFT_OUT_SHARE * len(dataset))):
        raise DatasetError(
            "too many pictures cannot be read",
            where=str(dataset.root),
            got="; ".join(f"{fault.file}: {fault.what}" for fault in faults),
            fix="`pixelwise data check` lists what is wrong with each",
        )
    if used < 2:
        raise DatasetError(
            "two pictures with counted pixels are needed at least",
            where=str(dataset.root),
            got=f"{used} of {len(dataset)}",
            fix="give a data set, or a split of it, with more labelled pictures",
        )


def _with_ignored(classes: ClassTable) -> ClassTable:
    return ClassTable(classes.name, classes.classes, _IGNORED, classes.source)
