"""Pascal VOC: boxes in XML, and beside them the label map as a mask in the palette's colours.

Boxes count pixels from 1 and hold their last pixel, as those of the challenge do. They say nothing
of the shape of a region, so that the mask alone is read back.
"""

from __future__ import annotations

import numpy as np

from pixelwise.errors import UsageError
from pixelwise.formats.annotations import background_of
from pixelwise.formats.masks import encode_mask
from pixelwise.region_files.base import Regions, xml_text

__all__ = ["encode", "encode_class_mask"]

_VOID = 255
_BORDER = (224, 224, 192)


def encode(regions: Regions) -> bytes:
    """The XML file of a picture's boxes.

    Raises:
        UsageError: a name cannot be written in XML.
    """
    height, width = regions.size
    lines = [
        "<annotation>",
        f"<filename>{xml_text(regions.picture)}</filename>",
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "<segmented>1</segmented>",
    ]
    for segment in regions.segments:
        left, top, right, bottom = segment.box
        truncated = int(left == 0 or top == 0 or right == width or bottom == height)
        lines += [
            f"<object><name>{xml_text(segment.info.name)}</name><pose>Unspecified</pose>"
            f"<truncated>{truncated}</truncated><difficult>0</difficult>",
            f"<bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>",
        ]
    return ("\n".join([*lines, "</annotation>"]) + "\n").encode()


def encode_class_mask(regions: Regions) -> bytes:
    """The PNG of `SegmentationClass`: index = class id, 255 = ignored.

    Raises:
        UsageError: a class has an id above 254.
    """
    classes = regions.classes
    if classes.ids[-1] >= _VOID:
        raise UsageError(
            "masks of Pascal VOC hold ids of 0 … 254, and 255 for what is ignored",
            where=f"class table {classes.name}",
            got=f"the id {classes.ids[-1]} of {classes.classes[-1].name!r}",
            fix="write coco",
        )
    background = background_of(classes)
    mask = np.full(regions.size, _VOID if background is None else background.id, np.uint8)
    for segment in regions.segments:
        left, top, right, bottom = segment.box
        mask[top:bottom, left:right][segment.mask] = segment.info.id
    if regions.ignored is not None:
        mask[regions.ignored] = _VOID
    palette = classes.palette[:256].copy()
    palette[_VOID] = classes.ignore_colours[0] if classes.ignore_colours else _BORDER
    return encode_mask(mask, palette=palette)
