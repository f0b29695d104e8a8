"""Truth in mask files: one per picture, of ids, of colours, or of one number per object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    TargetKind,
    layers_of,
)
from pixelwise.errors import ImageFileError, MaskFileError
from pixelwise.formats.masks import check_ids, read_mask
from pixelwise.formats.rasters import read_raster

__all__ = ["MaskFiles", "read_values"]

_TIFF_SUFFIXES = {".tif", ".tiff"}


@dataclass(frozen=True)
class MaskFiles:
    """Masks as picture files.

    Attributes:
        reading: "ids": the stored numbers are ids; "colours": the colours of the class table are
            meant; "objects": each number but 0 is one object, all of the table's last class.
        values: stored numbers that stand for other ids, such as 255 for 1.
        colours: colours to ids where they are not those of the class table.
        valid: for each picture the file of the region that counts: 0 in it is ignored.
        kind: the target wanted; None for what the files hold.
    """

    reading: Literal["ids", "colours", "objects"] = "ids"
    values: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    valid: Mapping[str, str] = field(default_factory=dict)
    kind: TargetKind | None = None

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The target in the entry's mask file; see `Truth.read`."""
        del size
        where = root / entry.truth
        if self.reading == "objects":
            return self._objects(read_values(where), classes)
        mask = self.ids_in(where, classes)
        if entry.image in self.valid:
            mask = _inside(mask, root / self.valid[entry.image], classes)
        if self.kind == "instance":
            raise MaskFileError(
                "the mask holds classes, and no objects",
                where=str(where),
                fix="leave out kind='instance', or add masks of object numbers in a folder "
                "instances/ beside the masks",
            )
        return layers_of(mask, classes) if self.kind == "multi_label" else MultiClassTarget(mask)

    def ids_in(self, where: Path, classes: ClassTable) -> NDArray[Any]:
        """The ids in one file, `[H, W]`: uint8 or uint16, of rasters any integers.

        Raises:
            MaskFileError: it cannot be read, or holds numbers or colours of no class.
            ClassTableError: colours are wanted, and two classes share one.
        """
        if self.reading == "colours":
            return read_mask(where, colours=self.colours or classes.colours)
        return self._ids(read_values(where), classes, str(where))

    def _ids(self, mask: NDArray[Any], classes: ClassTable, where: str) -> NDArray[Any]:
        if self.values:
            check_ids(mask, self.values.keys(), ignore_index=None, where=where)
            # A table of 65,536 entries serves every stored number, negative ones wrapped.
            lookup = np.zeros(1 << 16, np.min_scalar_type(max(self.values.values())))
            for value, number in self.values.items():
                lookup[value & 0xFFFF] = number
            kind = np.uint16 if mask.dtype.itemsize > 1 else np.uint8
            ids: NDArray[Any] = lookup[mask.astype(kind)]
            return ids
        check_ids(mask, classes.ids, ignore_index=classes.ignore_index, where=where)
        return mask

    def _objects(self, stored: NDArray[Any], classes: ClassTable) -> MaskTarget:
        inside = stored > 0
        kind = np.uint8 if classes.ids[-1] < 256 else np.uint16
        mask = np.where(inside, kind(classes.ids[-1]), kind(classes.ids[0]))
        if self.kind == "multi_class":
            return MultiClassTarget(mask)
        if self.kind == "multi_label":
            return layers_of(mask, classes)
        return InstanceTarget(mask, stored.astype(np.int32))


def read_values(path: Path) -> NDArray[Any]:
    """The numbers stored in a mask, `[H, W]`: uint8 or uint16, of rasters any integers.

    Raises:
        MaskFileError: it cannot be read, or holds colours or fractions.
    """
    try:
        return read_mask(path)
    except MaskFileError:
        if path.suffix.lower() not in _TIFF_SUFFIXES:
            raise
    try:
        bands, _ = read_raster(path)
    except ImageFileError as error:
        raise MaskFileError(
            f"the mask cannot be read: {error.what}",
            where=error.where,
            got=error.got,
            fix=error.fix,
        ) from error
    if bands.shape[2] != 1 or not np.issubdtype(bands.dtype, np.integer):
        raise MaskFileError(
            "a mask is one band of whole numbers",
            where=str(path),
            got=f"{bands.shape[2]} bands of {bands.dtype}",
            fix="export the labels as one band of integers",
        )
    return bands[..., 0]


def _inside(mask: NDArray[Any], region: Path, classes: ClassTable) -> NDArray[Any]:
    counts = read_values(region)
    if counts.shape != mask.shape:
        raise MaskFileError(
            "the region that counts and the mask differ in size",
            where=str(region),
            got=f"region {counts.shape[1]}×{counts.shape[0]} · "
            f"mask {mask.shape[1]}×{mask.shape[0]} (width × height)",
            fix="export both at the picture's size",
        )
    if classes.ignore_index is None:
        raise MaskFileError(
            "a region that counts needs a class table with an ignored id",
            where=str(region),
            fix="add a line with use=ignore to the class table",
        )
    kind = np.promote_types(mask.dtype, np.min_scalar_type(classes.ignore_index))
    return np.where(counts > 0, mask, kind.type(classes.ignore_index)).astype(kind)
