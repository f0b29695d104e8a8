"""A sheet of samples and of what an augmentation makes of them, with their masks laid over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelwise.classes import ClassTable
from pixelwise.data.augment import Augmentation, Plan
from pixelwise.data.augment.render import Normal, render_ids, render_image
from pixelwise.data.dataset import Dataset, Sample
from pixelwise.data.drawing import IGNORED, draw_labels, labels_of, object_borders
from pixelwise.data.findings import background_of
from pixelwise.data.targets import InstanceTarget
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.viewable import viewable
from pixelwise.lettering import lettering
from pixelwise.overlay import LegendEntry, draw_legend

__all__ = ["Sheet", "sheet"]

_GREY = 127.0
_BACKGROUND = (24, 24, 27)
_TEXT = (235, 235, 235)
_WHITE = (255, 255, 255)
_GAP = 8
_LETTERS = 14
_LEGEND_HEIGHT = 300
_OPACITY = 0.45
_MOST_SAMPLES = 100
_MOST_DRAWS = 20
_PLAIN = Normal(
    scale=np.ones(3, np.float32),
    shift=np.zeros(3, np.float32),
    fill=np.full(3, _GREY, np.float32),
)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A sheet.

    Attributes:
        picture: uint8 `[H, W, 3]`.
        names: of the samples, from the top.
        skipped: what was wrong with samples that could not be read, which others stand in for.
    """

    picture: NDArray[np.uint8]
    names: tuple[str, ...]
    skipped: tuple[PixelwiseError, ...]


def sheet(
    dataset: Dataset,
    *,
    augmentation: Augmentation,
    count: int = 6,
    draws: int = 4,
    seed: int = 0,
) -> Sheet:
    """Samples in rows: first the whole picture with its mask, then several draws.

    Classes have their colours, a background (see `background_of`) has none, and ignored pixels,
    such as those outside the picture, are striped grey. A legend names the classes, with their
    shares of the pictures shown. Rasters are shown, and augmented, as `viewable` gives them.

    Args:
        dataset: any.
        augmentation: one with a size, which is that of the cells.
        count: samples, 1 … 100; chosen by the seed.
        draws: draws of each, 1 … 20.
        seed: the same seed gives the same sheet.

    Raises:
        UsageError: a number is outside its range, the augmentation has no size, or the data set
            no samples.
        PixelwiseError: no sample can be read; that of the first.
    """
    size = _checked(dataset, augmentation, count, draws)
    classes = dataset.classes
    place = background_of(dataset)
    background = None if place is None else classes.ids[place]
    generator = np.random.default_rng(seed)
    samples, skipped = _readable(dataset, count, generator)
    rows, counts = [], np.zeros(IGNORED + 1, np.int64)
    for sample in samples:
        plans = [_whole(sample.target.size, size)]
        plans += [augmentation.draw(sample.target.size, generator) for _ in range(draws)]
        rows.append([_cell(plan, sample, classes, background) for plan in plans])
        counts += np.bincount(labels_of(sample.target, classes).ravel(), minlength=len(counts))
    names = [sample.name for sample in samples]
    entries = [
        LegendEntry(info, float(counts[info.id] / counts.sum()))
        for info in classes
        if counts[info.id] and info.id != background
    ]
    picture = _with_legend(_compose(rows, names, size), entries)
    return Sheet(picture, tuple(names), skipped)


def _checked(
    dataset: Dataset, augmentation: Augmentation, count: int, draws: int
) -> tuple[int, int]:
    if not len(dataset):
        raise UsageError("the data set has no samples to look at", where=str(dataset.root))
    if not (1 <= count <= _MOST_SAMPLES and 1 <= draws <= _MOST_DRAWS):
        raise UsageError(
            f"a sheet has 1 … {_MOST_SAMPLES} samples and 1 … {_MOST_DRAWS} draws of each",
            got=f"count={count!r}, draws={draws!r}",
        )
    if augmentation.size is None:
        raise UsageError(
            "a sheet needs an augmentation with a size",
            got="size=None",
            fix="give it the size of a cell, such as size=(288, 384)",
        )
    return augmentation.size


def _readable(
    dataset: Dataset, count: int, generator: np.random.Generator
) -> tuple[list[Sample], tuple[PixelwiseError, ...]]:
    """Samples in random order, without those that cannot be read."""
    samples: list[Sample] = []
    skipped: list[PixelwiseError] = []
    for place in generator.permutation(len(dataset)).tolist():
        try:
            samples.append(dataset[int(place)])
        except PixelwiseError as error:
            skipped.append(error)
        if len(samples) == count or len(skipped) == _MOST_SAMPLES:
            break
    if not samples:
        raise skipped[0]
    return samples, tuple(skipped)


def _whole(picture: tuple[int, int], cell: tuple[int, int]) -> Plan:
    """The picture as it is, as large as fits into a cell."""
    factor = min(cell[0] / picture[0], cell[1] / picture[1])
    height, width = (max(1, round(side * factor)) for side in picture)
    across, down = picture[1] / width, picture[0] / height
    return Plan((height, width), ((across, 0.0, 0.0), (0.0, down, 0.0), (0.0, 0.0, 1.0)))


def _cell(
    plan: Plan, sample: Sample, classes: ClassTable, background: int | None
) -> NDArray[np.uint8]:
    planes = render_image(plan, viewable(sample.image), _PLAIN, None)
    image = np.ascontiguousarray(np.moveaxis(planes + np.float32(0.5), 0, -1).astype(np.uint8))
    labels = render_ids(plan, labels_of(sample.target, classes), IGNORED, None)
    plain = None if background is None else labels == background
    drawn = draw_labels(image, labels, classes, opacity=_OPACITY, plain=plain)
    if isinstance(sample.target, InstanceTarget):
        drawn[object_borders(render_ids(plan, sample.target.instances, 0, None))] = _WHITE
    return drawn


def _compose(
    rows: list[list[NDArray[np.uint8]]], names: list[str], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The cells below each other and side by side, the name of the sample above each row."""
    letters = lettering(names, _LETTERS)
    title = _LETTERS + _GAP
    height, width = size[0] + _GAP, size[1] + _GAP
    canvas = Image.new(
        "RGB",
        (2 * _GAP + len(rows[0]) * width, _GAP + len(rows) * (title + height)),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    for number, (cells, name) in enumerate(zip(rows, letters.texts, strict=True)):
        top = _GAP + number * (title + height)
        draw.text((_GAP, top + _LETTERS / 2), name, fill=_TEXT, font=letters.font, anchor="lm")
        for column, cell in enumerate(cells):
            left = _GAP + column * width + (_GAP if column else 0)
            place = (
                left + (size[1] - cell.shape[1]) // 2,
                top + title + (size[0] - len(cell)) // 2,
            )
            canvas.paste(Image.fromarray(cell), place)
    return np.array(canvas)


def _with_legend(picture: NDArray[np.uint8], entries: list[LegendEntry]) -> NDArray[np.uint8]:
    if not entries:
        return picture
    legend = draw_legend(entries, width=picture.shape[1], picture_height=_LEGEND_HEIGHT)
    wide = np.full((picture.shape[0], legend.shape[1], 3), _BACKGROUND, np.uint8)
    wide[:, : picture.shape[1]] = picture
    return np.concatenate([wide, legend])
