"""The part of `pixelwise predict` that works on rasters."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pixelwise.cli.output import (
    INTERRUPTED,
    UNWRITABLE,
    error_facts,
    print_columns,
    print_line,
)
from pixelwise.cli.picture_report import told
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.vectors import vector_path
from pixelwise.inference.jobs import Job, Outcome, run_jobs
from pixelwise.inference.network import Network
from pixelwise.inference.raster_output import VECTOR_KINDS, Result
from pixelwise.inference.rasters import RasterSettings, available_memory, predict_raster
from pixelwise.inference.remote import Place
from pixelwise.inference.tile_plan import TilePlan
from pixelwise.overlay import format_share

__all__ = [
    "check_options",
    "parse_bands",
    "parse_memory",
    "parse_range",
    "parse_vector",
    "print_rasters",
    "raster_entries",
    "run_rasters",
]

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_LEAST_DEFAULT = 1 << 30


def parse_memory(text: str | None) -> int:
    """Bytes of `"1G"`, `"500M"`, …, in powers of 1024; a quarter of what is free where None.

    Raises:
        UsageError: the text is no size.
    """
    if text is None:
        return max(_LEAST_DEFAULT, available_memory() // 4)
    match = _SIZE.fullmatch(text)
    size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0
    if size < 1:
        raise UsageError(
            "a size in memory is a number with K, M, G or T",
            got=f"--memory {text}",
            fix="such as --memory 1G",
        )
    return int(size)


def parse_bands(text: str | None) -> tuple[str, ...]:
    """Numbers or names, between commas."""
    return () if text is None else tuple(part.strip() for part in text.split(","))


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Two numbers.

    Raises:
        UsageError: the text is no such thing.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(
            "a range is two numbers, the lower first",
            got=f"--range {text}",
            fix="such as --range 0,3000",
        )
    return low, high


def parse_vector(text: str | None, rasters: Sequence[Job]) -> str:
    """One of `VECTOR_KINDS`, or a file for the polygons of the only raster; empty where None.

    Raises:
        UsageError: it is neither, or there are several rasters for one file.
    """
    if text is None:
        return ""
    if text not in VECTOR_KINDS:
        vector_path(text)
        if len(rasters) > 1:
            raise UsageError(
                "one file cannot take the polygons of several rasters",
                got=f"--vector {text}, {len(rasters)} rasters",
                fix=f"--vector {VECTOR_KINDS[0]} makes one file of each",
            )
    return text


def check_options(
    rasters: Sequence[Job], folder: Place, for_rasters: Sequence[str], for_photos: Sequence[str]
) -> None:
    """Refuses options that what there is cannot have.

    Args:
        rasters: those of the run, the others are photos.
        folder: of the results.
        for_rasters: options given that are for rasters only.
        for_photos: options given that rasters do not have.

    Raises:
        UsageError: there is such an option, or rasters are to go into a store.
    """
    if not rasters and for_rasters:
        raise UsageError(
            "these options are for rasters, and there is none",
            got=", ".join(for_rasters),
            fix="leave them away, or give a GeoTIFF; with --memory every TIFF is a raster",
        )
    if rasters and for_photos:
        raise UsageError(
            "rasters have none of these options",
            where=str(rasters[0].source),
            got=", ".join(for_photos),
            fix="leave them away",
        )
    if rasters and not isinstance(folder, Path):
        raise UsageError(
            "label rasters are written to disks alone",
            got=f"-o {folder}",
            fix="give a folder on a disk",
        )


def run_rasters(
    model: Network,
    jobs: Sequence[Job],
    folder: Path,
    settings: RasterSettings,
    finished: list[Outcome[Result]],
) -> str:
    """Works through rasters one by one into `finished`; why it ended early, or nothing."""
    try:
        for outcome in run_jobs(jobs, lambda job: _run(model, job, folder, settings), workers=1):
            finished.append(outcome)
            if told(outcome):
                return UNWRITABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return ""


def _run(model: Network, job: Job, folder: Path, settings: RasterSettings) -> Result:
    with ExitStack() as stack:
        move: Callable[[int], object] = lambda _: None  # noqa: E731 - the bar takes its place

        def on_plan(plan: TilePlan, done: int) -> None:
            stripes = len(plan.windows)
            if done:
                sys.stderr.write(f"{job.source}: goes on after {done} of {stripes} stripes\n")
            nonlocal move
            move = stack.enter_context(progress_bar(plan.tiles))
            move(plan.tiles * done // stripes)

        def progress(tiles: int) -> None:
            move(tiles)

        return predict_raster(
            model,
            job,
            folder,
            settings,
            on_plan=on_plan,
            progress=progress,
        )


def print_rasters(finished: Sequence[Outcome[Result]]) -> None:
    """Writes what the classes cover in each raster, and where the results are."""
    for outcome in finished:
        result = outcome.result
        if result is None:
            continue
        title = f"{outcome.job.source}: {result.size[1]} × {result.size[0]} pixels"
        title += f", {result.crs}" if result.crs else ""
        print_columns(*_table(result), title=title)
        if result.nodata_pixels:
            print_line(f"  without data: {result.nodata_pixels:,} pixels")
        if result.area_note:
            print_line(f"  {result.area_note}")
        where = ", ".join(result.outputs.paths().values())
        print_line(f"{'already there' if result.skipped else 'done'}: {where}")


def _table(result: Result) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (entry.name, format_share(entry.share), f"{entry.pixels:,}") for entry in result.classes
    ]
    if result.area_note:
        return ("class", "share", "pixels"), list(rows)
    placed = [
        (*row, f"{entry.square_metres:,.1f}", f"{entry.square_metres / 10_000:,.3f}")
        for row, entry in zip(rows, result.classes, strict=True)
        if entry.square_metres is not None
    ]
    return ("class", "share", "pixels", "m²", "ha"), list(placed)


def raster_entries(finished: Sequence[Outcome[Result]]) -> tuple[list[Any], list[Any]]:
    """Results and failures as plain data."""
    rasters, failed = [], []
    for outcome in finished:
        source = {"source": str(outcome.job.source)}
        if outcome.result is not None:
            outputs = {"outputs": outcome.result.outputs.paths()}
            rasters.append(source | outputs | outcome.result.summary())
        elif isinstance(outcome.error, PixelwiseError):
            failed.append(source | error_facts(outcome.error))
    return rasters, failed
