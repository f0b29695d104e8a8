"""Steps of refinement as they are asked for together: on the command line, and by a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError
from pixelwise.refine import crf, fill_holes, guided, keep_largest, min_area, smooth, snap
from pixelwise.segmentation import Segmentation

__all__ = ["Refinement", "Superpixels"]

Superpixels: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.integer]]
"""From a photo uint8 `[H, W, 3]` to the region of each pixel, `[H, W]`."""


@dataclass(frozen=True)
class Refinement:
    """What is done to each result after the network, in the order of the fields.

    Attributes:
        method: `"crf"`, `"guided"` or `"none"`.
        options: of the method, by the names of `pixelwise.refine.crf` and `guided`.
        snap: whether labels are snapped to superpixels.
        smooth: radius of the vote in pixels; 0 leaves it out.
        fill_holes: names of classes whose holes are filled.
        keep_largest: names of classes of which the largest region stays.
        min_area: pixels of the smallest region that stays; 0 leaves it out.
    """

    method: Literal["none", "crf", "guided"] = "none"
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    snap: bool = False
    smooth: int = 0
    fill_holes: tuple[str, ...] = ()
    keep_largest: tuple[str, ...] = ()
    min_area: int = 0

    def __bool__(self) -> bool:
        return self != Refinement()

    def apply(
        self, segmentation: Segmentation, superpixels: Superpixels | None = None
    ) -> Segmentation:
        """The refined segmentation; the same one where nothing is asked for.

        Raises:
            UsageError: there is no photo, a parameter is outside its range, or superpixels are
                wanted and there is nothing to make them.
            ClassNameError: the table has no such class.
        """
        if self.method == "crf":
            segmentation = crf(segmentation, **self.options)  # type: ignore[arg-type]
        elif self.method == "guided":
            segmentation = guided(segmentation, **self.options)  # type: ignore[arg-type]
        if self.snap:
            if superpixels is None or segmentation.image is None:
                raise UsageError("superpixels need the photo, and a method that makes them")
            segmentation = snap(segmentation, superpixels(segmentation.image))
        if self.smooth:
            segmentation = smooth(segmentation, self.smooth)
        for name in self.fill_holes:
            segmentation = fill_holes(segmentation, name)
        for name in self.keep_largest:
            segmentation = keep_largest(segmentation, name)
        if self.min_area:
            segmentation = min_area(segmentation, self.min_area)
        return segmentation
