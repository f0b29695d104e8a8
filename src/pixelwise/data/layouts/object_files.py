"""Truth in two mask files for each picture: its classes, and the numbers of its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.mask_files import MaskFiles, read_values
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiLabelTarget, TargetKind
from pixelwise.errors import MaskFileError
from pixelwise.formats.decoding import decode

__all__ = ["VOID", "ObjectFiles", "check_object_size"]

VOID = 255
"""In masks of 8 bits: pixels of no known object; in Pascal VOC's class masks what is ignored."""

_NO_OBJECT = (0, 0xE0E0C0)
"""Colours, as 0xRRGGBB, of background and border in masks whose objects are colours."""


@dataclass(frozen=True)
class ObjectFiles:
    """Class masks, and beside them one mask of object numbers for each picture that has one.

    Attributes:
        masks: reads the class masks.
        objects: files of object numbers by picture; empty where they are not wanted.
        kind: the target wanted; None for what the files hold.
    """

    masks: MaskFiles
    objects: Mapping[str, str]
    kind: TargetKind | None = None

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target of a picture; see `Truth.read`."""
        target = self.masks.read(root, entry, classes, size)
        if isinstance(target, MultiLabelTarget):
            return target
        if entry.image not in self.objects:
            if self.kind != "instance":
                return target
            return InstanceTarget(target.mask, np.zeros(target.size, np.int32))
        where = root / self.objects[entry.image]
        instances = _object_numbers(where)
        check_object_size(instances, target.size, where)
        return InstanceTarget(target.mask, instances)


def check_object_size(objects: NDArray[Any], size: tuple[int, ...], where: Path) -> None:
    """Refuses object numbers `[H, W]` of another size than the class mask's.

    Raises:
        MaskFileError: names both sizes.
    """
    if objects.shape != size:
        raise MaskFileError(
            "the masks of classes and of objects differ in size",
            where=str(where),
            got=f"classes {size[0]}×{size[1]} · objects {objects.shape[0]}×{objects.shape[1]}",
            fix="export both again at the picture's size",
        )


def _object_numbers(path: Path) -> NDArray[np.int32]:
    """Numbers of objects, int32 `[H, W]`, 0 for none."""
    try:
        stored = read_values(path)
    except MaskFileError:
        if path.suffix.lower() not in {".png", ".bmp"}:
            raise
        picture = decode(path)
        if picture.kind not in {"RGB", "RGBA"}:
            raise
        return _numbered_colours(picture.pixels)
    if stored.dtype == np.uint8:
        return np.where(stored == VOID, 0, stored).astype(np.int32)
    return stored.astype(np.int32)


def _numbered_colours(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """A number for each colour but those of background and border."""
    channels = pixels[..., :3].astype(np.uint32)
    codes = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    colours, places = np.unique(codes, return_inverse=True)
    empty = np.isin(colours, _NO_OBJECT)
    numbers = np.where(empty, 0, np.cumsum(~empty)).astype(np.int32)
    found: NDArray[np.int32] = numbers[places.reshape(codes.shape)]
    return found
