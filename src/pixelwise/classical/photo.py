"""What every classical method starts from: the picture, in the forms that methods ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.colours import colour_codes
from pixelwise.extras import extra
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.images import ImageSource, describe_source, read_image

__all__ = ["AnyPhoto", "Photo", "open_photo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture that has been read.

    Attributes:
        pixels: uint8 `[H, W, 3]` RGB.
        name: what results say of where they came from.
    """

    pixels: NDArray[np.uint8]
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Brightness, uint8 `[H, W]`: Rec. 709 weights, rounded; of a grey picture its values."""
        with extra("classical"):
            from skimage.color import rgb2gray
        grey: NDArray[np.uint8] = np.rint(rgb2gray(self.pixels) * 255).astype(np.uint8)
        return grey

    @cached_property
    def lab(self) -> NDArray[np.float32]:
        """CIELAB (D65), float32 `[H, W, 3]`: lightness 0 … 100, then green-red and blue-yellow."""
        with extra("classical"):
            from skimage.color import rgb2lab
        lab: NDArray[np.float32] = rgb2lab(self.pixels.astype(np.float32) / np.float32(255))
        return lab

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """A number for each colour, `[H, W]`."""
        return colour_codes(self.pixels)


AnyPhoto: TypeAlias = ImageSource | Photo


def open_photo(
    image: AnyPhoto,
    *,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
    timeout: float | None = None,
) -> Photo:
    """Reads a picture by the rules of `read_image`, unless it has been read.

    Raises:
        ImageFileError: the picture cannot be read.
        ArrayError: an array is no picture.
        UsageError: the source is no picture at all.
    """
    if isinstance(image, Photo):
        return image
    pixels = read_image(image, max_megapixels=max_megapixels, timeout=timeout)
    # The caller may write the next frame into an array before the overlay is drawn.
    if isinstance(image, np.ndarray):
        pixels = pixels.copy()
    return Photo(pixels, describe_source(image))
