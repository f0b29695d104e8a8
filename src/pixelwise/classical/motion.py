"""What moves before a camera that stands still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import GROUND, Recipe, certain
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["motion"]

_MOST_FRAMES = 64
_ROWS_AT_ONCE = 64


def motion(
    images: Sequence[AnyPhoto], *, threshold: float = 25.0, opening: int = 1
) -> list[Segmentation]:
    """Foreground differs from the median of all frames at its pixel.

    The temporal median of evenly spaced frames, at most 64, stands for the background (Lo and
    Velastin, "Automatic congestion detection system for underground platforms", ISIMP 2001).

    Args:
        images: two frames of one size or more, in order. Of two, the median is their mean, so both
            show where something was and where it is.
        threshold: by how much one channel differs at least, 0 … 255.
        opening: what is thinner than about twice this many pixels is left out as noise, 0 … 50.

    Returns:
        Of each frame the classes background (0) and foreground (1).

    Raises:
        ImageFileError: a picture cannot be read.
        UsageError: a setting that cannot be, one frame alone, or frames of several sizes.
        MissingExtraError: the extra `classical` is not installed.
    """
    faults = Faults("motion")
    faults.real("threshold", threshold, 0, 255)
    faults.whole("opening", opening, 0, 50)
    if len(images) < 2:
        faults.add(f"{len(images)} picture, expected two frames or more: one photo has no motion")
    photos = [open_photo(image) for image in images]
    sizes = sorted({photo.size for photo in photos})
    if len(sizes) > 1:
        listed = ", ".join(f"{width}×{height}" for height, width in sizes[:5])
        faults.add(f"frames of several sizes: {listed} (width × height)")
    faults.tell()
    settings = {"frames": len(photos), "threshold": threshold, "opening": opening}
    recipe = Recipe("motion", "numpy", settings)
    behind = _background(photos)
    return [
        certain(_opened(_difference(photo, behind) > threshold, opening), GROUND, photo, recipe)
        for photo in photos
    ]


def _background(photos: Sequence[Photo]) -> NDArray[np.float32]:
    """The median over time, float32 `[H, W, 3]`."""
    chosen = np.unique(np.linspace(0, len(photos) - 1, min(len(photos), _MOST_FRAMES)).round())
    frames = [photos[int(place)].pixels for place in chosen]
    height = photos[0].size[0]
    parts = [
        np.median([frame[top : top + _ROWS_AT_ONCE] for frame in frames], axis=0)
        for top in range(0, height, _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float32)


def _difference(photo: Photo, behind: NDArray[np.float32]) -> NDArray[np.float32]:
    largest: NDArray[np.float32] = np.abs(photo.pixels - behind).max(-1)
    return largest


def _opened(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    if not radius:
        return mask
    with extra("classical"):
        from scipy.ndimage import binary_opening
        from skimage.morphology import disk
    opened: NDArray[np.bool_] = binary_opening(np.pad(mask, radius, mode="edge"), disk(radius))
    return opened[radius:-radius, radius:-radius]
