"""CamVid in the 480x360 form of the SegNet tutorial: `train/`, `trainannot/`, `val/`, `valannot/`.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import MaskFileError, UsageError
from pixelwise.formats.images import read_image
from pixelwise.formats.masks import check_ids, read_mask

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
        UsageError: the list file of the split is not there, or a line of it names no pair.
        ImageFileError: a photo cannot be read.
        MaskFileError: a mask cannot be read, holds other ids, or differs from its photo in size.
    """
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise UsageError(
            "CamVid's list of pictures is not there",
            where=str(listing),
            fix="give the folder that holds train.txt and val.txt",
        )
    pairs = [line.split() for line in listing.read_text().splitlines() if line.strip()]
    malformed = [" ".join(pair) for pair in pairs if len(pair) != 2]
    if malformed:
        raise UsageError(
            "each line of the list names a photo and its mask",
            where=str(listing),
            got="; ".join(malformed[:10]),
        )
    return [_read_sample(root / image_name, root / mask_name) for image_name, mask_name in pairs]


def _read_sample(image_path: Path, mask_path: Path) -> CamVidSample:
    image, mask = read_image(image_path), read_mask(mask_path)
    check_ids(
        mask, range(CAMVID_IGNORE_INDEX), ignore_index=CAMVID_IGNORE_INDEX, where=str(mask_path)
    )
    if image.shape[:2] != mask.shape:
        raise MaskFileError(
            "mask and photo differ in size",
            where=f"photo {image_path} · mask {mask_path}",
            got=f"photo {image.shape[0]}×{image.shape[1]} · mask {mask.shape[0]}×{mask.shape[1]}",
            fix="export the mask again at the photo's size",
        )
    return CamVidSample(name=image_path.stem, image=image, mask=mask.astype(np.uint8))
