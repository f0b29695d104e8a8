"""ADE20K in the form of SceneParse150: `images/{training,validation}`, `annotations/…` as PNG.

Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017; the files are those of its scene
parsing benchmark: ids 1 … 150, and 0 for everything else, which is not counted.
"""

from __future__ import annotations

import re

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.layouts.tables import find_table
from pixelwise.data.listing import Listing
from pixelwise.errors import UsageError

__all__ = ["find"]

_SPLITS = {"training": "train", "validation": "val"}
_FILE = re.compile(
    r"(?P<base>(?:.*/)?)(?P<role>images|annotations)/"
    r"(?P<key>(?P<split>training|validation)/ADE_(?:train|val)_\d+)\.(?:jpg|png)"
)


def find(listing: Listing, request: Request) -> Found | None:
    """A data set whose files bear ADE20K's own names; None where none do.

    Other folders named images and annotations belong to the layout `folders`.

    Raises:
        UsageError: objects are asked for, which this form does not have.
    """
    images: dict[str, tuple[str, str]] = {}
    masks: dict[str, str] = {}
    for path in listing.files(".jpg", ".png"):
        match = _FILE.fullmatch(path)
        if match and match["role"] == "images" and path.endswith(".jpg"):
            images[match["base"] + match["key"]] = path, _SPLITS[match["split"]]
        elif match and match["role"] == "annotations" and path.endswith(".png"):
            masks[match["base"] + match["key"]] = path
    entries = tuple(
        Entry(path, masks[key], split) for key, (path, split) in images.items() if key in masks
    )
    if not entries:
        return None
    if request.kind == "instance":
        raise UsageError(
            "ADE20K's form for scene parsing holds no objects",
            where=str(listing.root),
            fix="open it without kind='instance'",
        )
    faults = [
        Fault("the picture has no mask", path, fix="add its mask, or move the picture away")
        for key, (path, _) in images.items()
        if key not in masks
    ]
    faults += [
        Fault("the mask has no picture", path, fix="add its picture, or move the mask away")
        for key, path in masks.items()
        if key not in images
    ]
    return Found(
        layout="ade20k",
        sureness=0.98,
        classes=request.classes or find_table(listing) or ClassTable.builtin("ade20k"),
        entries=entries,
        truth=MaskFiles("ids", kind=request.kind),
        faults=tuple(faults),
        notes=("files bear the names of ADE20K; 0 in its masks is not counted",),
    )
