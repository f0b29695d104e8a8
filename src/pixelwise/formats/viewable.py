"""Any picture, measured or photographed, as one to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["viewable"]


def viewable(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture as uint8 `[H, W, 3]`: photos as they are, of rasters the first three bands.

    Of a raster each band is stretched between the 2nd and 98th percentile of its numbers; where
    there are fewer than three bands, the first is shown in grey. What is no number is black.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        photo: NDArray[np.uint8] = image
        return photo
    bands = image[..., :3] if image.shape[2] >= 3 else image[..., [0, 0, 0]]
    values = bands.astype(np.float32)
    known = np.isfinite(values)
    # A few thousand pixels tell the range as well as all.
    step = max(1, int(np.sqrt(values.shape[0] * values.shape[1] / 65_536)))
    shown = np.zeros(values.shape, np.uint8)
    for band in range(3):
        seen = values[::step, ::step, band][known[::step, ::step, band]]
        if not seen.size:
            continue
        low, high = np.percentile(seen, (2, 98))
        stretched = (values[..., band] - low) * (255 / max(high - low, 1e-6))
        stretched = np.where(known[..., band], stretched, 0)
        shown[..., band] = np.clip(stretched, 0, 255).astype(np.uint8)
    return shown
