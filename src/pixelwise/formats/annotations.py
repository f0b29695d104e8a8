"""Words that annotation files share: what stands for the background, and what is not counted."""

from __future__ import annotations

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassInfo, ClassTable

__all__ = [
    "BACKGROUND_NAMES",
    "IGNORED_KEY",
    "IGNORED_NAMES",
    "OWN_KEY",
    "UNCOVERED_KEY",
    "background_of",
]

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})
"""Names of a category for what is no other (labelme writes the second)."""

IGNORED_NAMES = frozenset({"__ignore__", "ignore", "ignored", "void"})
"""Names of a category whose pixels are not to be counted (labelme writes the first)."""

UNCOVERED_KEY = "uncovered_pixels"
"""Our own entry in `info` of COCO's files and in YOLO's data.yaml: "ignored", or the name of the
class of pixels that no object covers. Other readers pass over it."""

OWN_KEY, IGNORED_KEY = "pixelwise", "ignored"
"""Where our COCO files say what other readers shall pass over: `{"ignored": [region, …]}`, each
region with `image_id` and `segmentation`."""


def background_of(classes: ClassTable) -> ClassInfo | None:
    """The class of pixels that need no object: one of stuff that is called the background."""
    named = (info for info in classes if key_of(info.name) in BACKGROUND_NAMES)
    return next((info for info in named if info.kind == "stuff"), None)
