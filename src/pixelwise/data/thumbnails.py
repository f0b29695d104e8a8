"""Small pictures of samples for a page: the picture, and its truth laid over it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.drawing import IGNORED, draw_labels, labels_of, object_borders
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiLabelTarget
from pixelwise.errors import PixelwiseError
from pixelwise.formats.viewable import viewable

__all__ = ["Thumbnail", "thumbnail"]

_OPACITY = 0.6
_QUALITY = 80
_LARGEST_WORKED_ON = 1600
_WHITE = 255


@dataclass(frozen=True)
class Thumbnail:
    """A sample as two small pictures, each a `data:` address of a JPEG; "" where there is none.

    Attributes:
        picture: the picture.
        overlay: the picture under the colours of its classes; ignored pixels are striped grey, the
            background stays as it is.
    """

    picture: str
    overlay: str


def thumbnail(
    dataset: Dataset,
    entry: Entry,
    *,
    side: int,
    background: int | None,
    only: int | None = None,
) -> Thumbnail:
    """The sample of at most `side` pixels a side; what cannot be read is left out.

    Args:
        dataset: the sample's data set.
        entry: the sample.
        side: the longest side in pixels.
        background: id of the class that is not coloured.
        only: id of the one class that is; None for all.
    """
    try:
        image = viewable(dataset.read_image(entry))
    except (PixelwiseError, OSError, MemoryError):
        return Thumbnail("", "")
    picture = _data_address(image, side)
    if not entry.truth:
        return Thumbnail(picture, "")
    try:
        target = dataset.read_target(entry, (image.shape[0], image.shape[1]))
    except (PixelwiseError, OSError, MemoryError):
        return Thumbnail(picture, "")
    # Huge pictures are thinned out first: nobody sees it on a thumbnail.
    step = -(-max(image.shape[:2]) // _LARGEST_WORKED_ON)
    drawn = _draw(image[::step, ::step], target, step, dataset.classes, background, only)
    return Thumbnail(picture, _data_address(drawn, side))


def _draw(
    image: NDArray[np.uint8],
    target: MaskTarget,
    step: int,
    classes: ClassTable,
    background: int | None,
    only: int | None,
) -> NDArray[np.uint8]:
    labels = np.ascontiguousarray(labels_of(target, classes)[::step, ::step])
    plain = np.zeros(labels.shape, np.bool_)
    if only is not None:
        plain |= (labels != only) & (labels != IGNORED)
    elif background is not None:
        plain |= labels == background
    if isinstance(target, MultiLabelTarget):
        plain |= ~(target.layers.any(axis=0) | target.ignore)[::step, ::step]
    drawn = draw_labels(image, labels, classes, opacity=_OPACITY, plain=plain)
    if isinstance(target, InstanceTarget):
        drawn[object_borders(target.instances[::step, ::step])] = _WHITE
    return drawn


def _data_address(image: NDArray[np.uint8], side: int) -> str:
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
