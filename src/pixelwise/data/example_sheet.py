"""Predictions as pictures: photo, truth, prediction and errors side by side."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.colours import Colour
from pixelwise.data.drawing import IGNORED, draw_labels
from pixelwise.data.wording import percent
from pixelwise.errors import ArrayError
from pixelwise.formats.viewable import viewable
from pixelwise.lettering import lettering
from pixelwise.metrics.confusion import ConfusionMatrix
from pixelwise.overlay import LegendEntry, draw_legend

__all__ = [
    "CONFUSED",
    "GREY_SHARE",
    "INVENTED",
    "MISSED",
    "Title",
    "centres",
    "compose",
    "draw_example",
    "example_shape",
    "shrunk_photo",
    "with_legend",
]

_LARGEST = 512
_SMALLEST = 256
_WIDEST_TEXT = 1600
_BETWEEN = "  "
_GAP = 8
_LETTERS = 15
_LEGEND_HEIGHT = 320
_BACKGROUND = (24, 24, 27)
_TEXT = (235, 235, 235)
_SOFT = (170, 170, 176)
CONFUSED, MISSED, INVENTED = (255, 70, 60), (255, 176, 32), (70, 160, 255)
GREY_SHARE = 0.55
_WELL_SHAPED = 1.5
Title: TypeAlias = tuple[tuple[str, Colour], ...]
_TITLES: tuple[Title, ...] = tuple(((text, _SOFT),) for text in ("photo", "truth", "prediction"))
_ERRORS: Title = (("errors", CONFUSED),)
_KINDS_OF_ERRORS: Title = (
    ("missed", MISSED),
    ("invented", INVENTED),
    ("confused", CONFUSED),
)


def draw_example(
    image: NDArray[Any],
    truth: NDArray[np.integer],
    labels: NDArray[np.integer],
    classes: ClassTable,
    *,
    name: str,
    note: str = "",
    background: int | None = None,
) -> NDArray[np.uint8]:
    """Photo, truth, prediction and errors, with a title, the score and the classes' colours.

    Colours are those of the class table, unmixed. Ignored pixels are striped grey. Errors are
    coloured over the photo in grey. All four parts show the same pixels: a photo larger than a
    part is averaged, label maps take the pixel at the same place, and small pictures are
    magnified by a whole number.

    Args:
        image: `[H, W, B]`, of any type; see `viewable`.
        truth: channels `[H, W]`; anything outside the classes counts for nothing.
        labels: channels `[H, W]`.
        classes: channel i is the i-th.
        name: of the picture.
        note: stands behind the score.
        background: channel of what is no object. Where there is one, errors are told apart:
            objects that are missed, invented, and taken for another class.

    Returns:
        uint8 `[h, w, 3]`, the same bits for the same arguments.

    Raises:
        ArrayError: sizes differ, or a label is no channel.
    """
    _check(image, truth, labels)
    counted = (truth >= 0) & (truth < len(classes))
    known = np.where(counted, truth, np.uint16(IGNORED)).astype(np.uint16)
    matrix = ConfusionMatrix(len(classes), ignore_index=IGNORED)
    matrix.update(known, labels)
    shape = example_shape(truth.shape[0], truth.shape[1])
    rows, columns = centres(truth.shape[0], shape[0]), centres(truth.shape[1], shape[1])
    shown_truth = np.ascontiguousarray(known[np.ix_(rows, columns)])
    shown_labels = np.ascontiguousarray(labels[np.ix_(rows, columns)].astype(np.uint16))
    photo = shrunk_photo(viewable(image), shape)
    channels = _by_channel(classes)
    parts = [
        photo,
        draw_labels(photo, shown_truth, channels, opacity=1.0),
        draw_labels(photo, shown_labels, channels, opacity=1.0),
        _errors(photo, shown_truth, shown_labels, background),
    ]
    scores = matrix.compute()
    has_score = not math.isnan(scores.mean_iou)
    told = [
        f"mean IoU {percent(scores.mean_iou)}" if has_score else "nothing is counted here",
        f"{percent(scores.pixel_accuracy)} of the pixels right" if has_score else "",
        note,
    ]
    # Of two classes, none is taken for a third.
    kinds = _ERRORS if background is None else _KINDS_OF_ERRORS[: len(classes)]
    titles = (*_TITLES, kinds)
    sheet = compose(parts, titles, name, " · ".join(part for part in told if part))
    true, predicted = matrix.counts.sum(1), matrix.counts.sum(0)
    return with_legend(sheet, true, predicted, classes, pixels=int(true.sum()))


def _check(image: NDArray[Any], truth: NDArray[np.integer], labels: NDArray[np.integer]) -> None:
    if image.ndim != 3 or truth.ndim != 2 or not image.shape[:2] == truth.shape == labels.shape:
        raise ArrayError(
            "photo, truth and prediction differ in size",
            got=f"photo {list(image.shape)}, truth {list(truth.shape)}, "
            f"prediction {list(labels.shape)}",
            fix="draw them at the size of the truth",
        )


def example_shape(height: int, width: int) -> tuple[int, int]:
    """`(h, w)` of each part."""
    longest = max(height, width)
    if longest <= _SMALLEST:
        factor = _SMALLEST // longest
        return height * factor, width * factor
    scale = min(1.0, _LARGEST / longest)
    return max(1, round(height * scale)), max(1, round(width * scale))


def centres(size: int, shown: int) -> NDArray[np.intp]:
    """The pixel under the centre of each pixel shown, in whole numbers: nothing is shifted."""
    return (2 * np.arange(shown) + 1) * size // (2 * shown)


def shrunk_photo(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The photo, uint8 `[H, W, 3]`, at that size: averaged, or magnified by a whole number."""
    height, width = shape
    if image.shape[:2] == shape:
        return image
    if image.shape[0] < height:
        return np.ascontiguousarray(
            image[np.ix_(centres(image.shape[0], height), centres(image.shape[1], width))]
        )
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    drawn: NDArray[np.uint8] = np.array(small)
    return drawn


def _by_channel(classes: ClassTable) -> ClassTable:
    """The same colours by channel."""
    infos = tuple(
        ClassInfo(channel, info.name, info.colour) for channel, info in enumerate(classes)
    )
    return ClassTable("channels", infos, None, classes.source)


def _errors(
    photo: NDArray[np.uint8],
    truth: NDArray[np.uint16],
    labels: NDArray[np.uint16],
    background: int | None,
) -> NDArray[np.uint8]:
    grey = (photo.mean(axis=2, keepdims=True) * GREY_SHARE).astype(np.uint8)
    drawn = np.repeat(grey, 3, axis=2)
    ignored = truth == IGNORED
    wrong = (truth != labels) & ~ignored
    drawn[wrong] = CONFUSED
    if background is not None:
        drawn[wrong & (labels == background)] = MISSED
        drawn[wrong & (truth == background)] = INVENTED
    drawn[ignored] //= 2
    return drawn


def compose(
    parts: list[NDArray[np.uint8]], titles: tuple[Title, ...], name: str, told: str
) -> NDArray[np.uint8]:
    """The parts, each under its title, in the columns that give the best shape."""
    height, width = parts[0].shape[:2]
    letters = lettering([name, told], _LETTERS)
    font = letters.font
    line = _LETTERS + _GAP
    title_width = max(font.getlength(_plain(title)) for title in titles)
    cell_width = max(width, math.ceil(title_width))
    columns = min(
        (4, 2, 1),
        key=lambda count: abs(
            math.log(count * cell_width / (4 / count * (height + line)) / _WELL_SHAPED)
        ),
    )
    cell = (height + line + _GAP, cell_width + _GAP)
    head = _GAP + 2 * line
    text_width = math.ceil(max(map(font.getlength, letters.texts))) + 2 * _GAP
    wide = max(columns * cell[1] + _GAP, min(text_width, _WIDEST_TEXT))
    canvas = Image.new("RGB", (wide, head + 4 // columns * cell[0]), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for row, (text, colour) in enumerate(zip(letters.texts, (_TEXT, _SOFT), strict=True)):
        place = (_GAP, _GAP + row * line + _LETTERS / 2)
        draw.text(place, text, fill=colour, font=font, anchor="lm")
    for number, (part, title) in enumerate(zip(parts, titles, strict=True)):
        left = _GAP + number % columns * cell[1]
        top = head + number // columns * cell[0]
        before = ""
        for text, colour in title:
            place = (left + font.getlength(before), top + _LETTERS / 2)
            draw.text(place, text, fill=colour, font=font, anchor="lm")
            before += f"{text}{_BETWEEN}"
        canvas.paste(Image.fromarray(part), (left, top + line))
    drawn: NDArray[np.uint8] = np.array(canvas)
    return drawn


def _plain(title: Title) -> str:
    return _BETWEEN.join(text for text, _ in title)


def with_legend(
    sheet: NDArray[np.uint8],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: ClassTable,
    *,
    pixels: int,
) -> NDArray[np.uint8]:
    """Below it the classes in truth or prediction, the most frequent in the truth first.

    Args:
        sheet: uint8 `[h, w, 3]`.
        truth: int64 `[C]`: pixels of each class.
        predicted: the same of the prediction.
        classes: channel i is the i-th.
        pixels: that count, of which the classes have their shares.
    """
    total = max(1, pixels)
    present = np.flatnonzero(truth + predicted)
    order = present[np.argsort(-truth[present], kind="stable")].tolist()
    if not order:
        return sheet
    entries = [
        LegendEntry(classes.classes[channel], float(truth[channel] / total)) for channel in order
    ]
    legend = draw_legend(entries, width=sheet.shape[1], picture_height=_LEGEND_HEIGHT)
    canvas = np.full(
        (len(sheet) + len(legend), max(sheet.shape[1], legend.shape[1]), 3), _BACKGROUND, np.uint8
    )
    canvas[: len(sheet), : sheet.shape[1]] = sheet
    canvas[len(sheet) :, : legend.shape[1]] = legend
    return canvas
