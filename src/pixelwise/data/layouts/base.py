"""What every layout is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry, Truth
from pixelwise.data.faults import Fault
from pixelwise.data.targets import TargetKind

__all__ = ["Found", "Request"]


@dataclass(frozen=True)
class Request:
    """What the user said about a data set; what is None is found out.

    Attributes:
        layout: the layout's name.
        classes: the class table.
        images: a pattern of the pictures, `{}` for what tells them apart: `photos/{}_rgb.jpg`.
        masks: the same for their masks: `labels/{}_gt.png`.
        valid: the same for masks of the region that counts: pixels of 0 in it are ignored.
        kind: which target is wanted; None for what the layout holds.
        file: the annotation file, relative to the root, where the user named a file.
    """

    layout: str | None = None
    classes: ClassTable | None = None
    images: str | None = None
    masks: str | None = None
    valid: str | None = None
    kind: TargetKind | None = None
    file: str = ""


@dataclass(frozen=True)
class Found:
    """A data set as a layout reads it: the fields are those of `Dataset`.

    Attributes:
        sureness: 0 … 1. 0.9 and more: names or contents that only this layout has; 0.5: it fits,
            as others might.
    """

    layout: str
    sureness: float
    classes: ClassTable
    entries: Sequence[Entry]
    truth: Truth
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    rest: int | None = None
