"""Predictions of several classes per pixel as pictures: photo, truth, prediction and errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.example_sheet import (
    CONFUSED,
    GREY_SHARE,
    INVENTED,
    MISSED,
    Title,
    centres,
    compose,
    example_shape,
    shrunk_photo,
    with_legend,
)
from pixelwise.data.wording import percent
from pixelwise.errors import ArrayError
from pixelwise.formats.viewable import viewable
from pixelwise.metrics.confusion import semantic_scores

__all__ = ["draw_layer_example", "draw_layers"]

_STRIPE = 5
_IGNORED = 255
_ERRORS: Title = (("missed", MISSED), ("invented", INVENTED), ("both", CONFUSED))
_SOFT = (170, 170, 176)


def draw_layer_example(
    image: NDArray[Any],
    truth: NDArray[np.unsignedinteger],
    found: NDArray[np.bool_],
    classes: ClassTable,
    *,
    name: str,
    note: str = "",
) -> NDArray[np.uint8]:
    """Photo, truth, prediction and errors, with a title, the score and the classes' colours.

    A pixel of several classes is striped in their colours. Errors are coloured over the photo in
    grey: a class is missed, another one invented, or both.

    Args:
        image: `[H, W, B]`, of any type; see `viewable`.
        truth: uint8 `[C, H, W]`: 1 with the class, 0 without it, 255 where nothing counts.
        found: bool `[C, H, W]`.
        classes: channel i is the i-th.
        name: of the picture.
        note: stands behind the score.

    Returns:
        uint8 `[h, w, 3]`, the same bits for the same arguments.

    Raises:
        ArrayError: sizes differ.
    """
    if truth.shape != (len(classes), *image.shape[:2]) or found.shape != truth.shape:
        raise ArrayError(
            "photo, truth and prediction differ in size",
            got=f"photo {list(image.shape)}, truth {list(truth.shape)}, "
            f"prediction {list(found.shape)}",
            fix="draw them at the size of the truth, a layer for each class",
        )
    there, counted = truth == 1, truth != _IGNORED
    counts = np.array(
        [layers.sum(axis=(1, 2)) for layers in (there & found, there, found & counted)]
    )
    pixels = int(np.count_nonzero(counted.all(axis=0)))
    shape = example_shape(image.shape[0], image.shape[1])
    rows, columns = centres(image.shape[0], shape[0]), centres(image.shape[1], shape[1])
    there, counted, found = (part[:, rows][:, :, columns] for part in (there, counted, found))
    photo = shrunk_photo(viewable(image), shape)
    parts = [
        photo,
        draw_layers(photo, there, classes),
        draw_layers(photo, found & counted, classes),
        _errors(photo, there, found & counted, counted),
    ]
    mean = semantic_scores(counts).mean_iou
    told = "nothing is counted here" if math.isnan(mean) else f"mean IoU {percent(mean)}"
    titles = (*(((text, _SOFT),) for text in ("photo", "truth", "prediction")), _ERRORS)
    sheet = compose(parts, titles, name, " · ".join(part for part in (told, note) if part))
    return with_legend(sheet, counts[1], counts[2], classes, pixels=pixels)


def draw_layers(
    photo: NDArray[np.uint8], layers: NDArray[np.bool_], classes: ClassTable
) -> NDArray[np.uint8]:
    """The photo, where it has a class in its colour, where it has several striped in theirs.

    Args:
        photo: uint8 `[H, W, 3]`.
        layers: bool `[C, H, W]`.
        classes: the colours.
    """
    drawn = photo.copy()
    height, width = photo.shape[:2]
    stripes = np.add.outer(np.arange(height), np.arange(width)) // _STRIPE
    # Which of its classes a pixel shows, counted from the first it has.
    turn = stripes % np.maximum(layers.sum(axis=0), 1)
    before = np.zeros((height, width), np.int64)
    for layer, info in zip(layers, classes, strict=True):
        drawn[layer & (before == turn)] = info.colour
        before += layer
    return drawn


def _errors(
    photo: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    counted: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    grey = (photo.mean(axis=2, keepdims=True) * GREY_SHARE).astype(np.uint8)
    drawn = np.repeat(grey, 3, axis=2)
    missed, invented = (truth & ~found).any(axis=0), (found & ~truth).any(axis=0)
    drawn[missed] = MISSED
    drawn[invented] = INVENTED
    drawn[missed & invented] = CONFUSED
    drawn[~counted.all(axis=0)] //= 2
    return drawn
