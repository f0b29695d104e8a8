"""Small pictures of samples for a page: the picture, and its truth laid over it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiLabelTarget
from pixelwise.data.viewable import viewable
from pixelwise.errors import PixelwiseError

__all__ = ["Thumbnail", "thumbnail"]

_OPACITY = 0.6
_QUALITY = 80
_LARGEST_WORKED_ON = 1600
_GREY = 110
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
    labels, shown, ignored = _labels(target, step, classes)
    if only is not None:
        shown &= labels == only
    elif background is not None:
        shown &= labels != background
    labels = np.where(ignored, labels.dtype.type(classes.ids[0]), labels)
    image = np.ascontiguousarray(image)
    blended = kernels.blend(
        image, labels, classes.palette, opacity=_OPACITY, borders=True, threads=1
    )
    drawn = np.where((shown & ~ignored)[..., None], blended, image)
    if isinstance(target, InstanceTarget):
        drawn[_borders(target.instances[::step, ::step])] = _WHITE
    drawn[ignored & _stripes(ignored.shape)] = _GREY
    return drawn


def _labels(
    target: MaskTarget, step: int, classes: ClassTable
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Ids `[H, W]`, where there is one, and what is ignored."""
    if isinstance(target, MultiLabelTarget):
        layers, ignored = target.layers[:, ::step, ::step], target.ignore[::step, ::step]
        # Of several classes the last of the table is seen.
        top = len(layers) - 1 - layers[::-1].argmax(axis=0)
        shown: NDArray[np.bool_] = layers.max(axis=0)
        return np.array(classes.ids, np.uint16)[top], shown, ignored
    mask = target.mask[::step, ::step]
    ignored = np.zeros(mask.shape, np.bool_)
    if classes.ignore_index is not None:
        ignored |= mask == classes.ignore_index
    return mask, np.ones(mask.shape, np.bool_), ignored


def _borders(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of an object whose right or lower neighbour is of another or none."""
    borders = np.zeros(instances.shape, np.bool_)
    borders[:, :-1] |= instances[:, :-1] != instances[:, 1:]
    borders[:-1] |= instances[:-1] != instances[1:]
    return borders & (instances > 0)


def _stripes(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Diagonal stripes, some forty over the picture."""
    period = max(4, max(shape) // 40)
    places = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    striped: NDArray[np.bool_] = places % period < period // 2
    return striped


def _data_address(image: NDArray[np.uint8], side: int) -> str:
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
