"""`pixelwise report`: one page on how good a model is, and on what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.data.options import (
    ClassesOption,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    RestOption,
    SplitsOption,
    ValidOption,
    refuse_taken,
)
from pixelwise.cli.evaluate import open_subject, print_faults
from pixelwise.cli.judging import (
    DeviceOption,
    DistancesOption,
    EngineOption,
    IgnoreOption,
    MapOption,
    Opening,
    PredictionsOption,
    SpacingOption,
    SplitOption,
    ThreadsOption,
    TruthOption,
    Work,
    spacing_from,
)
from pixelwise.cli.output import ExitCode, fail, print_json, print_line
from pixelwise.cli.progress import progress_bar
from pixelwise.data.wording import percent
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.report import make_report
from pixelwise.evaluation.report_page import report_page
from pixelwise.evaluation.report_pictures import drawn
from pixelwise.evaluation.tables import csv_text, plain_data
from pixelwise.formats.files import make_folder, write_atomic

__all__ = ["app"]

_PAGE, _DATA, _TABLE = "report.html", "report.json", "report.csv"


def report(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the page and its numbers.")
    ],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model, the folder of a run, or predictions: label maps, or a JSON file."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Argument(help="Folder of the data set, or an annotation file in it.")
    ] = None,
    predictions: PredictionsOption = None,
    truth: TruthOption = None,
    split: SplitOption = None,
    map_: MapOption = None,
    ignore: IgnoreOption = None,
    distances: DistancesOption = False,
    spacing: SpacingOption = None,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Write one page on a model: scores, errors of each kind, pictures, labels in doubt.

    The folder also gets report.json and report.csv. The page holds everything it shows.

    Exit code 0: all pictures were judged; 1: some could not be, and the page is on the others;
    2: could not start; 130: interrupted.
    """
    try:
        for name in (_PAGE, _DATA, _TABLE):
            refuse_taken(output / name, overwrite=overwrite)
        size = spacing_from(spacing, distances=distances)
        work = Work(engine, device, threads)
        opening = Opening(layout, classes, images, masks, valid, rest, splits)
        subject = open_subject(
            model, data, predictions, truth, opening, work, split=split, ignore=ignore, rules=map_
        )
        if not isinstance(subject, Subject):
            raise UsageError(
                "the page is on one class a pixel, and here classes lie over each other",
                where=subject.truths.facts["data"],
                fix="`pixelwise evaluate … -o scores.md` writes all figures",
            )
        make_folder(output)
        with progress_bar(len(subject.truths.names)) as advance:
            made = make_report(
                subject,
                distances=distances,
                spacing=size,
                workers=work.workers,
                progress=advance,
            )
        page = report_page(made, drawn(made, workers=work.workers))
        facts = plain_data(made.evaluation)
        write_atomic(output / _DATA, (json.dumps(facts, indent=1) + "\n").encode())
        table = csv_text(made.evaluation).encode("utf-8", "surrogateescape")
        write_atomic(output / _TABLE, table)
        write_atomic(output / _PAGE, page.encode("utf-8", "xmlcharrefreplace"))
    except PixelwiseError as error:
        fail(error)
    if json_output:
        print_json({"report": str(output / _PAGE), **facts})
    else:
        mean = made.evaluation.overall["mean_iou"]
        print_line(f"mIoU {percent(mean.value)} on {len(made.evaluation.names):,} pictures")
        print_line(f"report: {output / _PAGE}")
    print_faults(made.evaluation)
    if made.evaluation.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(report)
