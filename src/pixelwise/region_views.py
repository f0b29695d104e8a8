"""What a `Segmentation` says of its regions, and of the picture as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.formats.files import write_atomic
from pixelwise.geometry import Geometry
from pixelwise.segments import (
    Boxes,
    Labels,
    Polygon,
    Segment,
    Tag,
    boxes_of,
    find_polygons,
    find_segments,
)

if TYPE_CHECKING:
    from pixelwise.formats.spacing import Spacing

__all__ = ["RegionViews"]


class _Origin(Protocol):
    @property
    def source(self) -> str: ...


class _Picture(Protocol):
    """What these methods need of a `Segmentation`."""

    @property
    def labels(self) -> Labels: ...
    @property
    def confidence(self) -> NDArray[np.float32]: ...
    @property
    def calibrated_scores(self) -> NDArray[np.float32]: ...
    @property
    def shares(self) -> dict[str, float]: ...

    @property
    def classes(self) -> ClassTable: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def provenance(self) -> _Origin: ...


class RegionViews:
    """The methods of a `Segmentation` that are about its regions."""

    def segments(
        self: _Picture, *, min_area: int = 1, spacing: Spacing | str | None = None
    ) -> tuple[Segment, ...]:
        """The connected regions (8 neighbours), the largest first; ignored pixels are in none.

        Args:
            min_area: regions of fewer pixels are left out; 1 and more.
            spacing: the size of a pixel, such as "0.5mm", for areas in mm² and m²;
                `formats.spacing.read_spacing` tells that of a GeoTIFF.

        Raises:
            UsageError: an argument is outside its range.
        """
        return find_segments(
            self.labels, self.confidence, self.classes, min_area=min_area, spacing=spacing
        )

    def boxes(self: _Picture, *, min_area: int = 1) -> Boxes:
        """The regions of all classes but the background, as a detector gives objects.

        Args:
            min_area: regions of fewer pixels are left out; 1 and more.

        Raises:
            UsageError: the least area is no such number.
        """
        segments = find_segments(self.labels, self.confidence, self.classes, min_area=min_area)
        return boxes_of(segments, self.classes)

    def tag_scores(self: _Picture) -> tuple[Tag, ...]:
        """Every class of the table as a label of the whole picture, the likeliest first.

        A class's score is its highest probability in the picture, on the grid of the scores, as in
        learning from labels of whole pictures (Oquab et al., "Is object localization for free?",
        CVPR 2015): so a class may be likely that is the best one at no pixel.
        """
        peaks = _peaks(self.calibrated_scores, self.geometry)
        order = np.argsort(-peaks, kind="stable").tolist()
        infos = [self.classes.classes[index] for index in order]
        return tuple(
            Tag(
                info,
                float(peaks[index]),
                self.shares[info.name],
                round(self.shares[info.name] * self.labels.size),
            )
            for index, info in zip(order, infos, strict=True)
        )

    def save_regions(
        self: _Picture,
        path: str | Path,
        form: str | None = None,
        *,
        picture: str | None = None,
        min_area: int = 1,
        spacing: Spacing | str | None = None,
    ) -> None:
        """Writes the regions to one file of an annotation tool; read again, it is the label map.

        Pixels of the background (a class of stuff of that name) are what no region covers.

        Args:
            path: of the file.
            form: coco or labelme (.json), cvat or voc (.xml; voc has boxes alone), yolo (.txt),
                geojson, svg; None: what the ending of the name says.
            picture: the picture's file, as the regions' file shall say it; the name of the source.
            min_area: smaller regions are left out.
            spacing: as in `segments`; COCO and GeoJSON have areas.

        Raises:
            OutputError: the file cannot be written.
            UsageError: there is no such form, or it cannot hold the regions; see `segments`.
        """
        from pixelwise.region_files import Regions, encode_regions, region_form

        chosen = region_form(path, form)
        segments = find_segments(
            self.labels, self.confidence, self.classes, min_area=min_area, spacing=spacing
        )
        name = Path(self.provenance.source).name if picture is None else picture
        regions = Regions.of(self.labels, segments, self.classes, picture=name)
        write_atomic(Path(path), encode_regions(regions, chosen))

    def polygons(
        self: _Picture, *, tolerance: float | None = None, min_area: int = 1
    ) -> tuple[Polygon, ...]:
        """The connected regions (4 neighbours) as polygons with holes, the largest first.

        Args:
            tolerance: pixels that a border may move by to become simpler; neighbours keep the same
                border, so there are no gaps and no overlaps. None keeps the edges of pixels.
            min_area: regions of fewer pixels are left out.

        Raises:
            UsageError: the tolerance is below 0 or no number.
        """
        return find_polygons(self.labels, self.classes, tolerance=tolerance, min_area=min_area)


def _peaks(scores: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float64]:
    """The highest probability of each class at the scores that the picture lies on, `[C]`."""
    grid = []
    for axis, source in zip((geometry.rows, geometry.columns), scores.shape[1:], strict=True):
        positions = axis.positions(source)
        grid.append(slice(int(positions[0]), int(np.ceil(positions[-1])) + 1))
    inside = np.ascontiguousarray(scores[:, grid[0], grid[1]])
    height, width = inside.shape[1:]
    rows, columns = kernels.Axis.half_pixel(height, height), kernels.Axis.half_pixel(width, width)
    found = kernels.decode_probabilities(inside, rows, columns)
    peaks: NDArray[np.float64] = found.max(axis=(1, 2)).astype(np.float64)
    return peaks
