"""CamVid in the 480x360 form of the SegNet tutorial: `train/`, `trainannot/`, `val/`, `valannot/`.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import UsageError

__all__ = ["CAMVID_IGNORE_INDEX", "CamVidSample", "read_camvid"]

CAMVID_IGNORE_INDEX = 11


@dataclass(frozen=True)
class CamVidSample:
    """One photo, uint8 `[H, W, 3]` RGB, and its class ids, uint8 `[H, W]` (11 = void)."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def read_camvid(root: Path, split: str) -> list[CamVidSample]:
    """Reads a whole split into memory, in the order of its list file.

    Args:
        root: the folder that holds `train.txt` and `val.txt`.
        split: `"train"` or `"val"`.

    Raises:
        UsageError: the list file of the split is not there.
    """
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise UsageError(
            "CamVid's list of pictures is not there",
            where=str(listing),
            fix="give the folder that holds train.txt and val.txt",
        )
    samples = []
    for line in listing.read_text().splitlines():
        image_name, mask_name = line.split()
        with Image.open(root / image_name) as image, Image.open(root / mask_name) as mask:
            samples.append(
                CamVidSample(
                    name=Path(image_name).stem,
                    image=np.array(image.convert("RGB")),
                    mask=np.array(mask),
                )
            )
    return samples
