"""Any picture of a data set as one to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["viewable"]


def viewable(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture as uint8 `[H, W, 3]`: photos as they are, of rasters the first three bands.

    Of a raster each band is stretched between its 2nd and 98th percentile; where there are fewer
    than three bands, the first is shown in grey. What is no number is black.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        photo: NDArray[np.uint8] = image
        return photo
    bands = image[..., :3] if image.shape[2] >= 3 else image[..., [0, 0, 0]]
    values = np.nan_to_num(bands.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    # A few thousand pixels tell the range as well as all.
    step = max(1, int(np.sqrt(values.shape[0] * values.shape[1] / 65_536)))
    low, high = np.percentile(values[::step, ::step], (2, 98), axis=(0, 1))
    stretched = (values - low) * (255 / np.maximum(high - low, 1e-6))
    shown: NDArray[np.uint8] = np.clip(stretched, 0, 255).astype(np.uint8)
    return shown
