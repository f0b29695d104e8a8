"""Files in, files out: pictures, masks, and writing that is whole or not at all."""

from __future__ import annotations

from pixelwise.formats.files import make_folder, sweep_leftovers, write_atomic
from pixelwise.formats.images import IMAGE_SUFFIXES, ImageSource, describe_source, read_image
from pixelwise.formats.masks import (
    check_ids,
    encode_grey,
    encode_mask,
    encode_rgb,
    read_mask,
    read_png_text,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageSource",
    "check_ids",
    "describe_source",
    "encode_grey",
    "encode_mask",
    "encode_rgb",
    "make_folder",
    "read_image",
    "read_mask",
    "read_png_text",
    "sweep_leftovers",
    "write_atomic",
]
