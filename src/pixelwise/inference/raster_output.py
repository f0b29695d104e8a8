"""The rasters that come out: their files, their forms, what the classes cover."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.formats.block_file import TileForm
from pixelwise.formats.cog import (
    BandFacts,
    CogFacts,
    Level,
    cog_pieces,
    write_level,
    write_overviews,
)
from pixelwise.formats.files import write_atomic
from pixelwise.formats.ground import pixel_areas
from pixelwise.formats.png import encode_rgb
from pixelwise.formats.raster_reader import RasterFacts
from pixelwise.formats.stripe_file import StripeFile
from pixelwise.formats.viewable import viewable
from pixelwise.inference.jobs import Job, remove_stale
from pixelwise.inference.remote import Place
from pixelwise.inference.tiles import Stripe
from pixelwise.overlay import LegendEntry, draw_overlay
from pixelwise.presence import CELL_SIDE, Presence, cell_edges
from pixelwise.segmentation import PROVENANCE_KEY, Provenance

__all__ = [
    "PROBABILITY_SCALE",
    "VECTOR_KINDS",
    "Areas",
    "ClassArea",
    "RasterOutputs",
    "Result",
    "form_of",
    "labels_nodata",
    "overlay_level",
    "result_of_facts",
    "stripe_values",
    "write_levels",
    "write_results",
]

VECTOR_KINDS = ("gpkg", "geojson")

# Probabilities are kept as whole numbers 0..250, steps of 0.4 %; 255 is "no data".
PROBABILITY_SCALE = 250
_NO_PROBABILITY = 255
_LABEL_SIDE, _PROBABILITY_SIDE = 512, 256
_LONGEST_OVERLAY = 2000
_OPACITY = 0.5
_NOTHING = (24, 24, 27)


@dataclass(frozen=True)
class RasterOutputs:
    """The files of one raster; None where not asked for.

    Attributes:
        labels: of class ids.
        overlay: a small picture.
        confidence, probabilities: rasters in steps of `PROBABILITY_SCALE`.
        polygons: of the labels.
        others: where the last three are, asked for or not: an earlier run may have made them.
    """

    labels: Path
    overlay: Path
    confidence: Path | None
    probabilities: Path | None
    polygons: Path | None
    others: tuple[Path, ...]

    @staticmethod
    def of(
        job: Job, folder: Path, *, confidence: bool, probabilities: bool, vector: str = ""
    ) -> RasterOutputs:
        """`labels/NAME.tif`, `overlays/NAME.png`, `confidence/NAME.tif`, …, below a folder.

        `vector` is one of `VECTOR_KINDS`, for a file `polygons/NAME.gpkg`; or the path of a file;
        empty: no polygons.
        """

        def path(kind: str, suffix: str) -> Path:
            return folder / kind / job.name.with_name(job.name.name + suffix)

        polygons = Path(vector) if vector else None
        if vector in VECTOR_KINDS:
            polygons = path("polygons", f".{vector}")
        numbers = path("confidence", ".tif"), path("probabilities", ".tif")
        named = () if polygons is None else (polygons,)
        kinds = [path("polygons", f".{kind}") for kind in VECTOR_KINDS]
        return RasterOutputs(
            labels=path("labels", ".tif"),
            overlay=path("overlays", ".png"),
            confidence=numbers[0] if confidence else None,
            probabilities=numbers[1] if probabilities else None,
            polygons=polygons,
            others=(*numbers, *dict.fromkeys((*named, *kinds))),
        )

    def rasters(self) -> dict[str, Path]:
        """Kind and file of every raster, the labels last: they say that all is there."""
        kinds = {"confidence": self.confidence, "probabilities": self.probabilities}
        return {kind: path for kind, path in kinds.items() if path} | {"labels": self.labels}

    def paths(self) -> dict[str, str]:
        """Kind and path of every file."""
        every = {"labels": self.labels, "overlay": self.overlay} | self.rasters()
        every |= {} if self.polygons is None else {"polygons": self.polygons}
        return {kind: str(path) for kind, path in every.items()}

    def files(self) -> list[Path]:
        """Every file."""
        return [Path(path) for path in self.paths().values()]

    def pictures(self) -> list[Path]:
        """Every file that the network is run for; polygons are made of the labels."""
        return [self.overlay, *self.rasters().values()]


@dataclass(frozen=True)
class ClassArea:
    """What a class covers.

    Attributes:
        id, name: of the class.
        pixels: how many.
        share: of the pixels that have data, 0..1.
        square_metres: on the ground; None where the raster does not say where it lies.
    """

    id: int
    name: str
    pixels: int
    share: float
    square_metres: float | None


@dataclass(frozen=True)
class Result:
    """What became of a raster.

    Attributes:
        outputs: its files.
        size: `(H, W)`.
        crs: name of its coordinate system, or None.
        classes: those that occur, the largest first.
        nodata_pixels: how many have no class.
        area_note: why there are no square metres, or `""`.
        skipped: whether all was there already.
        removed: files of an earlier run that did not belong to the new labels, and are not made
            anew.
    """

    outputs: RasterOutputs
    size: tuple[int, int]
    crs: str | None
    classes: tuple[ClassArea, ...]
    nodata_pixels: int
    area_note: str
    skipped: bool = False
    removed: tuple[Path, ...] = ()

    def summary(self) -> dict[str, Any]:
        """As plain data, without the files."""
        return {
            "size": list(self.size),
            "crs": self.crs,
            "classes": [
                asdict(entry)
                | {
                    "hectares": None
                    if entry.square_metres is None
                    else entry.square_metres / 10_000
                }
                for entry in self.classes
            ],
            "nodata_pixels": self.nodata_pixels,
            "area_note": self.area_note,
        }


def result_of_facts(facts: Mapping[str, Any], outputs: RasterOutputs) -> Result:
    """The result that a label raster of ours tells of."""
    said = json.loads(facts["result"])
    return Result(
        outputs=outputs,
        size=tuple(said["size"]),
        crs=said["crs"],
        classes=tuple(
            ClassArea(**{key: entry[key] for key in ClassArea.__dataclass_fields__})
            for entry in said["classes"]
        ),
        nodata_pixels=said["nodata_pixels"],
        area_note=said["area_note"],
        skipped=True,
    )


def labels_nodata(classes: ClassTable) -> int:
    """The value of pixels without data in a label raster."""
    if classes.ignore_index is not None:
        return classes.ignore_index
    return 255 if max(classes.ids) < 255 else 65_535


def form_of(kind: str, classes: ClassTable) -> TileForm:
    """How a kind of raster is kept."""
    if kind == "labels":
        nodata = labels_nodata(classes)
        dtype = np.dtype(np.uint8 if max(nodata, *classes.ids) < 256 else np.uint16)
        return TileForm(_LABEL_SIDE, 1, dtype, nodata, predictor=False)
    many = len(classes) if kind == "probabilities" else 1
    side = _PROBABILITY_SIDE if many > 1 else _LABEL_SIDE
    return TileForm(side, many, np.dtype(np.uint8), _NO_PROBABILITY, predictor=True)


def stripe_values(
    kind: str, stripe: Stripe, missing: NDArray[np.bool_] | None, form: TileForm
) -> Callable[[slice], NDArray[Any]]:
    """Gives columns of a stripe as they are kept, `[h, w, channels]`."""

    def values(columns: slice) -> NDArray[Any]:
        if kind == "labels":
            kept = stripe.labels[:, columns, None].astype(form.dtype)
        else:
            found = stripe.confidence if kind == "confidence" else stripe.probabilities
            shares = cast(NDArray[np.float32], found)
            shares = shares[None] if shares.ndim == 2 else shares
            scaled = np.rint(shares[:, :, columns] * np.float32(PROBABILITY_SCALE))
            kept = np.moveaxis(scaled.astype(form.dtype), 0, -1)
        if missing is not None:
            kept[missing[:, columns]] = form.fill
        return kept

    return values


class Areas:
    """Counts what classes cover, from the tiles of a label raster.

    Args:
        facts: of the raster.
        classes: its classes.
    """

    def __init__(self, facts: RasterFacts, classes: ClassTable) -> None:
        self._facts = facts
        self._classes = classes
        self._form = form_of("labels", classes)
        self._channels = channels_of(classes)
        height = facts.size[0]
        places = facts.crs is not None and facts.transform is not None
        self._row_areas = pixel_areas(facts.transform, facts.crs, height) if places else None
        self._pixels = np.zeros(len(classes), np.int64)
        self._edges = [cell_edges(side) for side in facts.size]
        # All values of no class together, after the classes.
        self._cells = np.zeros((CELL_SIDE, CELL_SIDE, len(classes) + 1), np.int64)
        self._row, self._column = -1, 0
        self._square_metres = np.zeros(len(classes))

    def add(self, row: int, tile: NDArray[Any]) -> None:
        """Counts a tile `[side, side, 1]` of a row of tiles."""
        side, kinds = len(tile), len(self._classes) + 1
        counts = self._count_cells(row, kernels.relabel(tile[..., 0], self._channels))
        self._pixels += counts
        if self._row_areas is None:
            return
        if np.ptp(self._row_areas) == 0:
            self._square_metres += counts * self._row_areas[0]
            return
        channels = self._channels[tile[..., 0]].astype(np.int64)
        channels += np.arange(side)[:, None] * kinds
        counts = np.bincount(channels.ravel(), minlength=side * kinds).reshape(side, kinds)[:, :-1]
        areas = self._row_areas[row * side : (row + 1) * side]
        self._square_metres += areas @ counts[: len(areas)]

    def presence(self) -> Presence:
        """In which cells of the raster the classes are, and what has no data."""
        ids = np.array([*self._classes.ids, labels_nodata(self._classes)], np.int64)
        order = [place for place in np.argsort(ids) if self._cells[..., place].any()]
        counts = np.moveaxis(self._cells[..., order], -1, 0)
        return Presence(self._facts.size, ids[order], np.ascontiguousarray(counts))

    def _count_cells(self, row: int, channels: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Puts the next tile of a row of tiles into the cells; gives its pixels of each class."""
        self._column = self._column + 1 if row == self._row else 0
        self._row = row
        first = [
            number * side for number, side in zip((row, self._column), channels.shape, strict=True)
        ]
        rows, columns = (
            np.clip(edges, start, start + side) - start
            for edges, start, side in zip(self._edges, first, channels.shape, strict=True)
        )
        found = kernels.count_cells(channels, rows, columns, len(self._classes) + 1, threads=1)
        self._cells += found
        counts: NDArray[np.int64] = found.sum(axis=(0, 1))[:-1]
        return counts

    def result(self, outputs: RasterOutputs) -> Result:
        """What was counted."""
        known = int(self._pixels.sum())
        entries = [
            ClassArea(
                id=info.id,
                name=info.name,
                pixels=int(self._pixels[channel]),
                share=float(self._pixels[channel] / known),
                square_metres=None
                if self._row_areas is None
                else float(self._square_metres[channel]),
            )
            for channel, info in enumerate(self._classes)
            if self._pixels[channel]
        ]
        height, width = self._facts.size
        return Result(
            outputs=outputs,
            size=self._facts.size,
            crs=_crs_name(self._facts.crs),
            classes=tuple(sorted(entries, key=lambda entry: -entry.pixels)),
            nodata_pixels=height * width - known,
            area_note=self._note(),
        )

    def _note(self) -> str:
        if self._row_areas is not None:
            return ""
        if self._facts.crs is None or self._facts.transform is None:
            return "the raster does not say where it lies, so areas are in pixels"
        return "areas are not known in this coordinate system and position, so they are in pixels"


def channels_of(classes: ClassTable) -> NDArray[np.uint16]:
    """The channel of each value of a label raster, and the number of classes for all others."""
    form = form_of("labels", classes)
    channels = np.full(int(np.iinfo(form.dtype).max) + 1, len(classes), np.uint16)
    channels[list(classes.ids)] = np.arange(len(classes))
    return channels


def write_levels(
    files: Mapping[str, StripeFile],
    size: tuple[int, int],
    folder: Path,
    areas: Areas,
    pool: Executor,
) -> dict[str, list[Level]]:
    """Makes the tiles of every raster, and its overviews, from its stripes; counts the labels.

    Raises:
        OutputError: they cannot be written.
    """
    levels = {}
    for kind, file in files.items():
        seen = {"seen": areas.add} if kind == "labels" else {}
        base = write_level(folder / f"{kind}.0", file.form, size, file.tile, pool, **seen)
        levels[kind] = write_overviews(base, pool)
    return levels


def overlay_level(size: tuple[int, int]) -> int:
    """The overview that the overlay is made of; each halves the one before."""
    level = 0
    while max(size) > _LONGEST_OVERLAY:
        size = (size[0] + 1) // 2, (size[1] + 1) // 2
        level += 1
    return level


def write_results(
    levels: Mapping[str, list[Level]],
    result: Result,
    presence: Presence,
    preview: NDArray[Any],
    classes: ClassTable,
    source: RasterFacts,
    provenance: Provenance,
    facts: Mapping[str, str],
    *,
    overwrite: bool,
) -> tuple[Path, ...]:
    """Writes all files, each whole or not at all, the labels last.

    With `overwrite`, what an earlier run made with other settings goes before they come.

    Returns:
        What was removed and will not be made anew.

    Raises:
        OutputError: one cannot be written; those before it are there.
    """
    said = asdict(provenance) | dict(facts) | {"result": json.dumps(result.summary())}
    text = {PROVENANCE_KEY: json.dumps(said, ensure_ascii=False)}
    for_search = {
        "classes": json.dumps({info.id: info.name for info in classes}),
        "presence": presence.encode(),
    }
    of_labels = {PROVENANCE_KEY: json.dumps(said | for_search, ensure_ascii=False)}
    labels = levels["labels"][overlay_level(source.size)].whole()[..., 0]
    overlay = _overlay(labels, preview, result, classes)
    write_atomic(result.outputs.overlay, encode_rgb(overlay, text))
    removed: tuple[Place, ...] = ()
    for kind, path in result.outputs.rasters().items():
        if kind == "labels" and overwrite:
            removed = remove_stale(result.outputs.others, dict(facts))
        items = of_labels if kind == "labels" else text
        write_atomic(path, cog_pieces(levels[kind], _cog_facts(kind, classes, source, items)))
    return tuple(Path(str(path)) for path in removed if path != result.outputs.polygons)


def _cog_facts(
    kind: str, classes: ClassTable, source: RasterFacts, text: Mapping[str, str]
) -> CogFacts:
    plain = CogFacts(source.size, source.transform, source.crs, (), items=text)
    scale = 1 / PROBABILITY_SCALE
    if kind == "confidence":
        return replace(plain, bands=(BandFacts("confidence", scale),))
    if kind == "probabilities":
        return replace(plain, bands=tuple(BandFacts(info.name, scale) for info in classes))
    names = {f"CLASS_{info.id}": info.name for info in classes}
    return replace(
        plain,
        bands=(BandFacts("class"),),
        palette=classes.palette,
        items=names | dict(text),
    )


def _overlay(
    labels: NDArray[Any], preview: NDArray[Any], result: Result, classes: ClassTable
) -> NDArray[np.uint8]:
    channels = channels_of(classes)[labels]
    colours = np.array([*(info.colour for info in classes), _NOTHING], np.uint8)
    entries = [LegendEntry(classes.find(entry.name), entry.share) for entry in result.classes]
    picture = viewable(preview)
    return draw_overlay(
        np.ascontiguousarray(picture),
        channels.astype(np.uint8) if len(colours) <= 256 else channels,
        colours,
        entries,
        opacity=_OPACITY,
        legend=True,
        threads=0,
    )


def _crs_name(crs: str | None) -> str | None:
    if crs is None:
        return None
    from rasterio.crs import CRS

    system = CRS.from_wkt(crs)
    code = system.to_epsg()
    return f"EPSG:{code}" if code else crs.split('"')[1] if '"' in crs else "custom"
