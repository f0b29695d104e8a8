"""From a raster of any size to label rasters, through tiles, in bounded memory, and after kills."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import ImageFileError, MissingExtraError, OutOfMemoryError, UsageError
from pixelwise.formats.files import make_folder
from pixelwise.formats.geotiff import limit_cache
from pixelwise.formats.raster_reader import (
    ZARR_MARKS,
    FileState,
    RasterFacts,
    RasterReader,
    open_raster,
)
from pixelwise.formats.stripe_file import StripeFile
from pixelwise.geometry import Window
from pixelwise.inference.bands import BandRule, band_rule
from pixelwise.inference.jobs import Job, check_in_the_way, facts_in
from pixelwise.inference.network import Network
from pixelwise.inference.raster_journal import Journal, Progress
from pixelwise.inference.raster_output import (
    PROBABILITY_SCALE,
    Areas,
    RasterOutputs,
    Result,
    form_of,
    labels_nodata,
    overlay_level,
    result_of_facts,
    stripe_values,
    write_levels,
    write_results,
)
from pixelwise.inference.raster_pixels import Preview, RasterPixels
from pixelwise.inference.raster_polygons import write_raster_polygons
from pixelwise.inference.tile_plan import DEFAULT_OVERLAP, DEFAULT_TILE, Blend, TilePlan, plan_tiles
from pixelwise.inference.tiles import provenance_of, stream_tiles

__all__ = ["RasterSettings", "available_memory", "predict_raster"]

# A stripe takes longer than this with any real network; more often would wait for the disk.
_COMMIT_SECONDS = 1.0
_ENDS = 1 << 16
_WRITING = 96 << 20
_NOT_MADE_WITH = (
    "memory",
    "allow_references",
    "overwrite",
    "confidence",
    "probabilities",
    "vector",
)
_WITH_CONFIDENCE = "with_confidence"
_CACHE = (16 << 20, 512 << 20)


@dataclass(frozen=True)
class RasterSettings:
    """What is wanted of a raster.

    Attributes:
        bands: number (from 1) or name of the raster's band for each channel of the model.
        value_range: numbers that become 0 and 255, for models of 8-bit pictures.
        confidence: also a raster of the label's probability.
        probabilities: also a raster of those of all classes, one band each.
        vector: also polygons, see `RasterOutputs.of`; empty: none.
        memory: cap on the memory of the whole process in bytes; None: no cap.
        tile, overlap, blend, tta: of `plan_tiles`.
        allow_references: of `open_raster`.
        overwrite: results of ours that are there already may be replaced.
    """

    bands: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    confidence: bool = False
    probabilities: bool = False
    vector: str = ""
    memory: int | None = None
    tile: int | None = None
    overlap: float = DEFAULT_OVERLAP
    blend: Blend = "hann"
    tta: str = "none"
    allow_references: bool = False
    overwrite: bool = False

    def made_with(self) -> str:
        """What changes the results, as one text."""
        said = asdict(self)
        for name in _NOT_MADE_WITH:
            del said[name]
        return json.dumps(said, sort_keys=True)


def predict_raster(
    model: Network,
    job: Job,
    folder: Path,
    settings: RasterSettings,
    *,
    on_plan: Callable[[TilePlan, int], object] = lambda _plan, _done: None,
    progress: Callable[[int], object] = lambda _tiles: None,
) -> Result:
    """Segments a raster into `labels/NAME.tif`, and what else is asked for, below a folder.

    Labels are class ids in a cloud-optimised GeoTIFF with the raster's place, a colour table and
    overviews; pixels without data have the class table's ignore id, or where it has none 255 (65535
    where 255 is a class). What is finished is kept in `partial/NAME/` on the way: after a kill the
    same call goes on there, and the labels are the same bytes. Files take their names when they are
    whole, the labels last.

    Args:
        model: runs on the tiles.
        job: the raster, and the name of its results.
        folder: of the results.
        settings: what is wanted.
        on_plan: told the plan, and how many of its stripes are there from an earlier run.
        progress: called with the number of tiles that are done since the last call.

    Raises:
        ImageFileError: the raster cannot be read, or was changed while it was read.
        UsageError: bands or numbers do not fit the model, or the memory allowed is too small.
        OutputExistsError: a file is in the way.
        OutputError: a result cannot be written; what is finished stays for the next run.
        EngineError: the network cannot be run.
    """
    source = job.source
    if not isinstance(source, Path):
        raise UsageError(
            "rasters are read from disks alone", got=str(source), fix="copy it to a disk first"
        )
    outputs = RasterOutputs.of(
        job,
        folder,
        confidence=settings.confidence,
        probabilities=settings.probabilities,
        vector=settings.vector,
    )
    with closing(open_raster(source, allow_references=settings.allow_references)) as reader:
        facts = {
            "model_hash": model.sha256,
            "source_hash": _fingerprint(source),
            "settings": settings.made_with(),
        }
        for path in outputs.files():
            check_in_the_way(path, facts, overwrite=settings.overwrite)
        if outputs.polygons is not None:
            # Named by the user: better refused now than after the network.
            make_folder(outputs.polygons.parent)
        if not settings.overwrite and all(path.exists() for path in outputs.pictures()):
            there = outputs.polygons is None or _are_there(outputs.polygons, settings)
            if not there:
                _write_polygons(outputs, model, reader.facts, facts)
            return replace(result_of_facts(facts_in(outputs.labels), outputs), skipped=there)
        rule = band_rule(
            reader,
            model.card.preprocessing,
            bands=settings.bands,
            value_range=settings.value_range,
        )
        _check_blocks(reader, rule, settings.memory)
        wanted = {"confidence": settings.confidence, "probabilities": settings.probabilities}
        journal = Journal(folder / "partial" / job.name, facts | wanted | {"engine": model.engine})
        try:
            run = _Run(model, reader, rule, settings, journal, outputs, facts)
            with _memory_as_ours(job):
                result = run.work(on_plan, progress)
        except BaseException:
            journal.close()
            raise
        journal.remove()
        _write_polygons(outputs, model, reader.facts, facts)
        return result


def _are_there(polygons: Path, settings: RasterSettings) -> bool:
    """Whether polygons are there, with confidence where it is asked for."""
    return polygons.exists() and (
        not settings.confidence or bool(facts_in(polygons).get(_WITH_CONFIDENCE))
    )


def _write_polygons(
    outputs: RasterOutputs, model: Network, place: RasterFacts, facts: dict[str, str]
) -> None:
    if outputs.polygons is not None:
        write_raster_polygons(
            outputs.labels,
            outputs.polygons,
            model.classes,
            place,
            confidence=outputs.confidence,
            confidence_scale=1 / PROBABILITY_SCALE,
            nodata=labels_nodata(model.classes),
            facts=facts | ({_WITH_CONFIDENCE: "yes"} if outputs.confidence else {}),
        )


class _Run:
    def __init__(
        self,
        model: Network,
        reader: RasterReader,
        rule: BandRule,
        settings: RasterSettings,
        journal: Journal,
        outputs: RasterOutputs,
        facts: dict[str, str],
    ) -> None:
        self._model = model
        self._reader = reader
        self._rule = rule
        self._settings = settings
        self._journal = journal
        self._outputs = outputs
        self._facts = facts

    def work(
        self,
        on_plan: Callable[[TilePlan, int], object],
        progress: Callable[[int], object],
    ) -> Result:
        facts, classes, folder = self._reader.facts, self._model.classes, self._journal.folder
        before = self._journal.progress()
        with self._named_faults():
            plan = self._plan(before)
        done = 0 if before is None else before.stripes
        on_plan(plan, done)
        step = 2 ** overlay_level(facts.size)
        preview = Preview(folder / "preview", facts.size, step, self._preview_dtype())
        areas = Areas(facts, classes)
        with ThreadPoolExecutor(self._model.threads, thread_name_prefix="pixelwise-write") as pool:
            with self._stripe_files(plan, done) as files:
                self._stream(plan, files, done, preview, pool, progress)
                levels = write_levels(files, facts.size, folder, areas, pool)
            # Labels of a raster that was changed meanwhile would be those of no raster at all.
            self._reader.read(Window(0, 0, 1, 1), self._rule.indices)
            result = areas.result(self._outputs)
            removed = write_results(
                levels,
                result,
                areas.presence(),
                preview.pixels,
                classes,
                facts,
                provenance_of(self._model, plan, str(facts.path)),
                self._facts,
                overwrite=self._settings.overwrite,
            )
            for level in (level for every in levels.values() for level in every):
                level.tiles.close()
        return replace(result, removed=removed)

    def _plan(self, before: Progress | None) -> TilePlan:
        settings, facts = self._settings, self._reader.facts
        # A number of the raster is held beside the network's own, in its own type or in float32.
        bands = -(-len(self._rule.indices) * (4 + max(4, facts.dtype.itemsize)) // 5)
        shared: dict[str, Any] = {
            "overlap": settings.overlap,
            "blend": settings.blend,
            "tta": settings.tta,
            "probabilities": settings.probabilities,
            "confidence": settings.confidence,
            "bands": bands,
        }
        if before is not None:
            # The same tiles, whatever memory is free today: others would give other scores.
            return plan_tiles(
                facts.size,
                self._model,
                tile=max(before.tile),
                batch=before.batch,
                strips=before.strips,
                **shared,
            )
        return plan_tiles(
            facts.size,
            self._model,
            tile=settings.tile,
            memory=settings.memory,
            reserved=_WRITING + limit_reading(facts, len(self._rule.indices), settings.memory),
            **shared,
        )

    @contextmanager
    def _named_faults(self) -> Iterator[None]:
        """What a plan refuses is said of this raster: others may be planned."""
        try:
            yield
        except UsageError as error:
            where = error.where or str(self._reader.facts.path)
            raise UsageError(error.what, where=where, got=error.got, fix=error.fix) from error

    def _preview_dtype(self) -> np.dtype[Any]:
        photo = self._model.card.preprocessing.dtype == "uint8"
        return np.dtype(np.uint8 if photo else np.float32)

    def _stream(
        self,
        plan: TilePlan,
        files: dict[str, StripeFile],
        done: int,
        preview: Preview,
        pool: ThreadPoolExecutor,
        progress: Callable[[int], object],
    ) -> None:
        source = RasterPixels(self._reader, self._rule, preview)
        last = time.monotonic()
        stripes = stream_tiles(self._model, source, plan, start=done, progress=progress)
        with closing(stripes):
            for stripe in stripes:
                missing = source.missing(stripe.window)
                for kind, file in files.items():
                    values = stripe_values(kind, stripe, missing, file.form)
                    file.append(stripe.window, values, pool)
                done += 1
                if time.monotonic() - last >= _COMMIT_SECONDS or done == len(plan.windows):
                    preview.save()
                    self._commit(plan, files, done)
                    last = time.monotonic()

    def _commit(self, plan: TilePlan, files: dict[str, StripeFile], done: int) -> None:
        for file in files.values():
            file.sync()
        self._journal.write(Progress(plan.tile, plan.batch, len(plan.strips), done))

    @contextmanager
    def _stripe_files(self, plan: TilePlan, done: int) -> Iterator[dict[str, StripeFile]]:
        files: dict[str, StripeFile] = {}
        try:
            for kind in self._outputs.rasters():
                files[kind] = StripeFile(
                    self._journal.folder / f"{kind}.stripes",
                    form_of(kind, self._model.classes),
                    plan.size,
                    plan.windows,
                    done=done,
                )
            yield files
        finally:
            for file in files.values():
                file.close()


def available_memory() -> int:
    """Bytes that this process may still take; 4 GiB where the system does not say."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    # A container may have less than its machine.
    with suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return max(0, min(found, default=4 << 30))


def limit_reading(facts: RasterFacts, bands: int, memory: int | None) -> int:
    """Limits what GDAL keeps of blocks it has read to part of a cap; gives the limit in bytes.

    Where blocks are as wide as the raster, every tile of a row needs the same ones: all of them are
    kept if they take no more than a third of the cap.
    """
    least, most = _CACHE
    size = most if memory is None else min(max(memory // 8, least), most)
    if facts.block[1] >= facts.size[1]:
        rows = min(facts.size[0], DEFAULT_TILE + 2 * facts.block[0])
        strips = rows * facts.size[1] * bands * facts.dtype.itemsize
        size = max(size, strips if memory is None else min(strips, memory // 3))
    # Slides and Zarr are read without GDAL, which then is perhaps not there.
    with suppress(MissingExtraError):
        limit_cache(size)
    return size


def _check_blocks(reader: RasterReader, rule: BandRule, memory: int | None) -> None:
    """Refuses rasters stored in blocks that take a large part of the memory allowed each."""
    facts = reader.facts
    bands = max(facts.together, len(rule.indices))
    block = math.prod(facts.block) * facts.dtype.itemsize * bands
    if memory is not None and block > memory // 4:
        raise UsageError(
            "the raster is stored in blocks that are too large for the memory allowed",
            where=str(facts.path),
            got=f"{facts.block[0]} × {facts.block[1]} (H×W), {block / 2**20:,.0f} MiB each",
            fix=f"allow {-(-block * 4 // 2**20):,} MiB, or store it in tiles: "
            "gdal_translate -of COG IN OUT",
        )


def _fingerprint(path: Path) -> str:
    """Tells a raster from another without reading it whole: size, time, and both ends."""
    if path.is_dir():
        path = next(path / name for name in ZARR_MARKS if (path / name).is_file())
    state = FileState.of(path)
    digest = hashlib.sha256(f"{state.size} {state.modified}".encode())
    try:
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(0, state.size - _ENDS))
            digest.update(file.read(_ENDS))
    except OSError as error:
        raise ImageFileError(
            "the raster cannot be read", where=str(path), got=str(error)
        ) from error
    return digest.hexdigest()


@contextmanager
def _memory_as_ours(job: Job) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        if isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(
            "there is not enough memory for this raster",
            where=str(job.source),
            got=str(error),
            fix="allow less with --memory, so that smaller tiles are taken",
        ) from error
