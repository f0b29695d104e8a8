"""Steps of refinement as they are asked for together: on the command line, and by a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from shlex import quote
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import listed
from pixelwise.classes import ClassTable
from pixelwise.errors import ClassNameError, SettingsError, UsageError
from pixelwise.refine import crf, fill_holes, guided, keep_largest, min_area, smooth, snap
from pixelwise.refine.options import MOST_AREA, MOST_RADIUS, number_fault, option_faults
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

    Raises:
        SettingsError: lists everything that is wrong.
    """

    method: Literal["none", "crf", "guided"] = "none"
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    snap: bool = False
    smooth: int = 0
    fill_holes: tuple[str, ...] = ()
    keep_largest: tuple[str, ...] = ()
    min_area: int = 0

    def __post_init__(self) -> None:
        faults = option_faults(self.method, self.options)
        faults += number_fault("smooth", self.smooth, 0, MOST_RADIUS, whole=True)
        faults += number_fault("min_area", self.min_area, 0, MOST_AREA, whole=True)
        if faults:
            raise SettingsError(
                "results cannot be refined so", got=listed(faults), fix="correct all that is listed"
            )
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A view of a dictionary cannot be sent to another process.
        return Refinement, (
            self.method,
            dict(self.options),
            self.snap,
            self.smooth,
            self.fill_holes,
            self.keep_largest,
            self.min_area,
        )

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

    def of_classes(self, classes: ClassTable) -> Refinement:
        """The same with the classes by the names of the table, each once.

        Raises:
            ClassNameError: lists all classes that the table does not have.
        """
        faults: list[str] = []

        def found(step: str, names: tuple[str, ...]) -> tuple[str, ...]:
            known = []
            for name in names:
                try:
                    known.append(classes.find(name).name)
                except ClassNameError as error:
                    faults.append(f"{step} {error.got}: {error.fix}")
            return tuple(dict.fromkeys(known))

        renamed = replace(
            self,
            fill_holes=found("fill_holes", self.fill_holes),
            keep_largest=found("keep_largest", self.keep_largest),
        )
        if faults:
            raise ClassNameError(
                "no such class",
                where=f"class table {classes.name}",
                got=listed(faults),
                fix="correct all that is listed",
            )
        return renamed

    def to_flags(self) -> tuple[str, ...]:
        """The flags of `pixelwise predict` that give it again, each followed by its value."""
        flags = []
        if self.method != "none":
            flags += ["--refine", _method_text(self.method, self.options)]
        flags += ["--snap", "superpixels"] if self.snap else []
        flags += ["--smooth", str(self.smooth)] if self.smooth else []
        for name in self.fill_holes:
            flags += ["--fill-holes", name]
        for name in self.keep_largest:
            flags += ["--keep-largest", name]
        flags += ["--min-area", str(self.min_area)] if self.min_area else []
        return tuple(flags)

    def describe(self) -> str:
        """What a result says of it, with every option of the method; empty where it does nothing.

        Two refinements of the same text do the same.
        """
        whole = replace(self, options={**_DEFAULTS[self.method], **self.options})
        flags = whole.to_flags()
        pairs = zip(flags[::2], flags[1::2], strict=True)
        return ", ".join(f"{flag.removeprefix('--')} {quote(value)}" for flag, value in pairs)


def _method_text(method: str, options: Mapping[str, float]) -> str:
    """Such as "crf:iterations=3,colour_weight=4"; numbers to the last bit."""
    pairs = ",".join(f"{name}={_number_text(value)}" for name, value in options.items())
    return f"{method}:{pairs}" if pairs else method


def _number_text(value: float) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _defaults(method: Callable[..., Segmentation]) -> Mapping[str, float]:
    parameters = list(signature(method).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters}


_DEFAULTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {"none": {}, "crf": _defaults(crf), "guided": _defaults(guided)}
)
