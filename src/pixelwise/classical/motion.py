"""What moves before a camera that stands still."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import GROUND, Recipe, certain
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["Background", "background_of", "motion", "moving", "spread_frames"]

_MOST_FRAMES = 64
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Background:
    """What is behind all that moves.

    Attributes:
        pixels: float32 `[H, W, 3]`, the median over time.
        frames: how many it is made of.
    """

    pixels: NDArray[np.float32]
    frames: int

    @property
    def sha256(self) -> str:
        """Of the pixels."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


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
    photos = [open_photo(image) for image in images]
    behind = background_of(photos)
    return [moving(photo, behind, threshold=threshold, opening=opening) for photo in photos]


def spread_frames(count: int) -> list[int]:
    """Places of the frames that a background is made of: at most 64, evenly spaced."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, _MOST_FRAMES))})


def background_of(images: Sequence[AnyPhoto]) -> Background:
    """The median of frames over time; see `motion`.

    Raises:
        ImageFileError: a picture cannot be read.
        UsageError: one frame alone, or frames of several sizes.
    """
    photos = [open_photo(images[place]) for place in spread_frames(len(images))]
    faults = Faults("motion", photos[0].name if photos else "no picture")
    if len(photos) < 2:
        faults.add("expected two frames or more: one photo has no motion")
    sizes = sorted({photo.size for photo in photos})
    if len(sizes) > 1:
        told = ", ".join(f"{width}×{height}" for height, width in sizes[:5])
        faults.add(f"frames of several sizes: {told} (width × height)")
    faults.tell()
    frames = [photo.pixels for photo in photos]
    parts = [
        np.median([frame[top : top + _ROWS_AT_ONCE] for frame in frames], axis=0)
        for top in range(0, photos[0].size[0], _ROWS_AT_ONCE)
    ]
    return Background(np.concatenate(parts).astype(np.float32), len(frames))


def moving(
    image: AnyPhoto, behind: Background, *, threshold: float = 25.0, opening: int = 1
) -> Segmentation:
    """What differs from the background in one frame; see `motion`.

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be, or a frame of another size.
    """
    photo = open_photo(image)
    faults = Faults("motion", photo.name)
    faults.real("threshold", threshold, 0, 255)
    faults.whole("opening", opening, 0, 50)
    height, width = behind.pixels.shape[:2]
    if photo.size != (height, width):
        faults.add(
            f"a frame of {photo.size[1]}×{photo.size[0]}, the others have {width}×{height} "
            "(width × height)"
        )
    faults.tell()
    settings = {"frames": behind.frames, "threshold": threshold, "opening": opening}
    found = _opened(_difference(photo, behind.pixels) > threshold, opening)
    return certain(found, GROUND, photo, Recipe("motion", "numpy", settings))


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
