"""`pixelwise data check`: what is in a data set, and everything that is wrong with it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.data.options import (
    ClassesOption,
    DataArgument,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    RestOption,
    SplitsOption,
    ValidOption,
    WorkersOption,
    open_from,
    refuse_taken,
)
from pixelwise.cli.output import ExitCode, fail, print_error, print_json, print_line
from pixelwise.cli.progress import progress_bar
from pixelwise.data.check import Report, report_on
from pixelwise.data.dataset import Dataset
from pixelwise.data.report import report_text
from pixelwise.data.report_page import report_page
from pixelwise.data.statistics import Gathering
from pixelwise.errors import PixelwiseError
from pixelwise.formats.files import named, write_atomic

__all__ = ["check"]


def check(
    path: DataArgument,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write a page of thumbnails, charts and faults, in one file."),
    ] = None,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    workers: WorkersOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Read a data set whole and list what is in it and everything that is wrong with it.

    Exit code 0: no errors, maybe warnings; 1: errors were found; 2: could not start;
    130: interrupted, the report is on what was seen until then.
    """
    try:
        if html is not None:
            refuse_taken(named(html, ".html"), overwrite=overwrite)
        dataset = open_from(
            path,
            layout=layout,
            classes=classes,
            images=images,
            masks=masks,
            valid=valid,
            rest=rest,
            splits=splits,
        )
    except PixelwiseError as error:
        fail(error)
    report, seconds, interrupted = _checked(dataset, workers)
    if json_output:
        print_json({**report.to_dict(), "seconds": round(seconds, 3)})
    else:
        for line in report_text(report):
            print_line(line)
        looked_at = len(report.statistics)
        many = "s" * (looked_at != 1)
        print_line(f"{looked_at:,} picture{many} in {seconds:.1f} s")
    written = html is None or _write_page(report, html)
    if interrupted:
        sys.stderr.write(
            f"interrupted: {len(report.statistics):,} of {len(dataset):,} pictures were looked at\n"
        )
        raise typer.Exit(ExitCode.INTERRUPTED)
    if report.failed or not written:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _checked(dataset: Dataset, workers: int) -> tuple[Report, float, bool]:
    """The report, the seconds that reading took, and whether Ctrl-C ended it."""
    gathering = Gathering(dataset)
    interrupted = False
    started = time.perf_counter()
    try:
        with progress_bar(len(dataset)) as advance:
            gathering.run(workers=workers, progress=advance)
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.perf_counter() - started
    return report_on(dataset, gathering), seconds, interrupted


def _write_page(report: Report, path: Path) -> bool:
    try:
        write_atomic(path, report_page(report).encode())
    except PixelwiseError as error:
        print_error(error)
        return False
    return True
