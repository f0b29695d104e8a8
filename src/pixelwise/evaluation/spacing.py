"""In which unit distances are measured: how large the pixels of each picture are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixelwise.data.wording import counted
from pixelwise.errors import DatasetError, MissingExtraError, PixelwiseError
from pixelwise.evaluation.predictions import Subject
from pixelwise.formats.spacing import PIXELS, Spacing

__all__ = ["Spacings", "spacings_of"]

_LISTED = 5


@dataclass(frozen=True)
class Spacings:
    """The size of a pixel of each picture, all in one unit.

    Attributes:
        unit: of all.
        sizes: `(height, width)` by the place of the picture; one alone is that of all.
        source: where they are from, in words; "" of pixels.
        faults: by place, why the size of a pixel is not known.
    """

    unit: str = PIXELS
    sizes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    source: str = ""
    faults: Mapping[int, PixelwiseError] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """In words for the protocol."""
        if self.unit == PIXELS:
            return "in pixels"
        known = [size for place, size in enumerate(self.sizes) if place not in self.faults]
        height, width = (
            f"{min(sides):.6g}"
            if f"{min(sides):.6g}" == f"{max(sides):.6g}"
            else f"{min(sides):.6g} … {max(sides):.6g}"
            for sides in zip(*known, strict=True)
        )
        size = f"{height} × {width} {self.unit} (height × width)"
        return f"in {self.unit}: a pixel is {size}, {self.source}"

    def of(self, place: int) -> tuple[float, float]:
        """Height and width of a pixel of that picture.

        Raises:
            PixelwiseError: why they are not known.
        """
        if place in self.faults:
            raise self.faults[place]
        return self.sizes[place] if len(self.sizes) > 1 else self.sizes[0]


def spacings_of(subject: Subject, chosen: Spacing | None = None) -> Spacings:
    """As chosen for all pictures, else as the files of the truth say; pixels where none says.

    Args:
        subject: of its truth the headers of rasters are read.
        chosen: goes before what files say.

    Raises:
        DatasetError: some pictures have a size and some have none; counts both.
        MissingExtraError: there are rasters, and rasterio is not installed.
    """
    if chosen is not None:
        own = ((chosen.height, chosen.width),)
        return Spacings(chosen.unit, own, "" if chosen.unit == PIXELS else "as given")
    found: dict[str, list[int]] = {}
    sizes: list[tuple[float, float]] = []
    faults: dict[int, PixelwiseError] = {}
    for place in range(len(subject.truths.names)):
        own_size = Spacing()
        try:
            own_size = subject.truths.spacing(place) or own_size
            found.setdefault(own_size.unit, []).append(place)
        except MissingExtraError:
            raise
        except PixelwiseError as error:
            faults[place] = error
        sizes.append((own_size.height, own_size.width))
    if len(found) > 1:
        raise DatasetError(
            "some pictures have a size of the pixel and some have none",
            where=subject.truths.facts["data"],
            got="\n  ".join(_listed(subject, unit, places) for unit, places in found.items()),
            fix="say it for all, --spacing 0.5m, or measure in pixels, --spacing px",
        )
    unit = next(iter(found), PIXELS)
    if unit == PIXELS:
        return Spacings(faults=faults)
    return Spacings(unit, tuple(sizes), "as their files say", faults)


def _listed(subject: Subject, unit: str, places: list[int]) -> str:
    names = [subject.truths.names[place] for place in places[:_LISTED]]
    more = f" and {len(places) - _LISTED:,} more" if len(places) > _LISTED else ""
    which = "without a size" if unit == PIXELS else f"in {unit}"
    return f"{counted(len(places), 'picture')} {which}: {', '.join(names)}{more}"
