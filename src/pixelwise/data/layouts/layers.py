"""One folder of masks per class: `images/a.jpg`, `masks/person/a.png`, `masks/bag/a.png`.

The form for several classes per pixel: each mask says where its class is (any number but 0) and
where it is not; a picture without a mask of a class has none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.lists import with_lists
from pixelwise.data.layouts.mask_files import read_values
from pixelwise.data.layouts.names import MASK_ROLE, core_of, split_of
from pixelwise.data.layouts.storage import look_at
from pixelwise.data.layouts.tables import find_table, numbered_table
from pixelwise.data.listing import Listing, stem_of
from pixelwise.data.targets import MaskTarget, MultiLabelTarget
from pixelwise.errors import MaskFileError

__all__ = ["LayerFiles", "find", "read_presence"]

_LEAST_SHARE = 0.5
_LOOKED_AT = 4


@dataclass(frozen=True)
class LayerFiles:
    """Masks of one class each.

    Attributes:
        masks: for each picture its masks by the name of the class.
    """

    masks: dict[str, dict[str, str]]

    def read(
        self, root: Path, entry: Entry, classes: ClassTable, size: tuple[int, int]
    ) -> MaskTarget:
        """The layers of a picture; see `Truth.read`."""
        layers = np.zeros((len(classes), *size), np.bool_)
        for name, mask in self.masks[entry.image].items():
            layers[classes.index(name)] |= read_presence(root / mask, size)
        return MultiLabelTarget(layers, np.zeros(size, np.bool_))


def read_presence(path: Path, size: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Where a class is, bool `[H, W]`, by a mask of it alone.

    Args:
        path: the mask: 0 where the class is not, and one other number where it is.
        size: `(H, W)` that it has to have; None: any.

    Raises:
        MaskFileError: it cannot be read, is of another size, or holds more than yes and no.
    """
    values = read_values(path)
    if size is not None and values.shape != size:
        raise MaskFileError(
            "mask and picture differ in size",
            where=str(path),
            got=f"picture {size[1]}×{size[0]} · mask {values.shape[1]}×{values.shape[0]} "
            "(width × height)",
            fix="export the mask again at the picture's size",
        )
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise MaskFileError(
            "the mask of one class holds more than yes and no",
            where=str(path),
            got=f"values {', '.join(map(str, found[:8]))}",
            fix="write 0 where the class is not, and one other number where it is",
        )
    present: NDArray[np.bool_] = values != 0
    return present


def find(listing: Listing, request: Request) -> Found | None:
    """A data set with a folder of masks for each class; None where there is none such."""
    if request.kind not in {None, "multi_label"}:
        return None
    folders = _of_classes(listing)
    images = _images(listing, {core_of(folder.rpartition("/")[0])[0] for folder in folders})
    masks: dict[str, dict[str, str]] = {}
    faults = []
    for folder in folders:
        parent, _, name = folder.rpartition("/")
        core = core_of(parent)[0]
        for path in listing.pictures(folder=folder):
            image = images.get(f"{core}/{stem_of(path)}")
            if image is None:
                faults.append(Fault("the mask has no picture", path, fix="add its picture"))
            else:
                masks.setdefault(image, {})[name] = path
    if len(masks) < _LEAST_SHARE * len(images) or not masks:
        return None
    if request.layout != "layers" and _hold_several_classes(listing, masks):
        return None
    names = sorted({name for found in masks.values() for name in found})
    classes = request.classes or find_table(listing) or _table(listing, names)
    unknown = [name for name in names if name not in classes]
    faults += [
        Fault(
            "a folder of masks has no class in the table",
            name,
            got=f"the table has {', '.join(classes.names)}",
            fix="rename the folder, or add the class to the table",
        )
        for name in unknown
    ]
    known = {
        image: {name: path for name, path in masks.get(image, {}).items() if name in classes}
        for image in images.values()
    }
    entries = [
        Entry(image, next(iter(found.values()), ""), core_of(image.rpartition("/")[0])[2])
        for image, found in known.items()
    ]
    listed, list_faults = with_lists(listing, entries)
    return Found(
        layout="layers",
        sureness=0.9,
        classes=classes,
        entries=listed,
        truth=LayerFiles(known),
        faults=(*faults, *list_faults),
        notes=(f"one folder of masks per class: {', '.join(names)}; several may share a pixel",),
    )


def _hold_several_classes(listing: Listing, masks: dict[str, dict[str, str]]) -> bool:
    """Are half of the masks no yes and no? Then the folders tell something else than classes."""
    of_folder: dict[str, list[str]] = {}
    for found in masks.values():
        for name, path in found.items():
            of_folder.setdefault(name, []).append(path)
    looks = [
        look for paths in of_folder.values() for look in look_at(listing.root, paths[:_LOOKED_AT])
    ]
    several = sum(max(len(look.colours), len(look.values)) > 2 for look in looks)
    return several > 0 and 2 * several >= len(looks)


def _of_classes(listing: Listing) -> list[str]:
    """Folders in one of masks, unless all of those there are splits: a train may be a class."""
    inside: dict[str, list[str]] = {}
    for folder in listing.folders:
        parent = folder.rpartition("/")[0]
        if core_of(parent)[1] == MASK_ROLE:
            inside.setdefault(parent, []).append(folder)
    return [
        folder
        for folders in inside.values()
        if not all(split_of(each.rpartition("/")[2]) for each in folders)
        for folder in folders
    ]


def _images(listing: Listing, cores: set[str]) -> dict[str, str]:
    """Pictures beside masks, by the core of their folder and their name; overlays are elsewhere."""
    found: dict[str, str] = {}
    for folder in listing.folders:
        core, role, _ = core_of(folder)
        if role != MASK_ROLE and core in cores:
            for path in listing.pictures(folder=folder):
                found.setdefault(f"{core}/{stem_of(path)}", path)
    return found


def _table(listing: Listing, names: list[str]) -> ClassTable:
    return numbered_table(
        listing.root.absolute().name or "data set", list(enumerate(names)), None, "names of folders"
    )
