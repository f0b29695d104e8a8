"""`pixelwise evaluate`: scores of a model or of label maps, with intervals and protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    evaluated,
    spacing_from,
    subject_of_folders,
    subjects_of_set,
)
from pixelwise.cli.output import (
    ExitCode,
    fail,
    print_columns,
    print_error,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import MaskFileError, PixelwiseError, UsageError
from pixelwise.evaluation.evaluate import Evaluated
from pixelwise.evaluation.layer_opening import layer_folder_subject
from pixelwise.evaluation.layers import LayerSubject
from pixelwise.evaluation.matching import read_rules
from pixelwise.evaluation.object_files import file_of_objects
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.protocol import card_of, card_rows
from pixelwise.evaluation.tables import csv_text, markdown, plain_data, table_rows
from pixelwise.formats.files import write_atomic

__all__ = ["app", "open_subject", "print_faults"]

_LAYERS = "layers"
_SUFFIXES = (".csv", ".json", ".md")


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Name of a shipped model, a model file, the folder of a run; or predictions: a "
            "folder of label maps, one with a folder of masks for each class, or a JSON file of "
            "COCO results or of panoptic segments."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Argument(help="Folder of the data set, or an annotation file in it.")
    ] = None,
    predictions: PredictionsOption = None,
    truth: TruthOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also a file: .csv, .md or .json.")
    ] = None,
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
    """Score a model on a data set, or label maps against label maps.

    Every figure has a 95 % interval, and the protocol stands below the table.

    Exit code 0: all pictures were judged; 1: some could not be, and the scores are of the others;
    2: could not start; 130: interrupted.
    """
    try:
        if output is not None:
            _check_output(output, overwrite=overwrite)
        size = spacing_from(spacing, distances=distances)
        work = Work(engine, device, threads)
        opening = Opening(layout, classes, images, masks, valid, rest, splits)
        subject = open_subject(
            model, data, predictions, truth, opening, work, split=split, ignore=ignore, rules=map_
        )
        with progress_bar(len(subject.truths.names)) as advance:
            evaluation = evaluated(
                subject, work, distances=distances, spacing=size, progress=advance
            )
    except PixelwiseError as error:
        fail(error)
    if json_output:
        print_json(plain_data(evaluation))
    else:
        _print(evaluation)
    print_faults(evaluation)
    written = output is None or _written(evaluation, output)
    if evaluation.faults or not written:
        raise typer.Exit(ExitCode.SOME_FAILED)


def open_subject(
    model: str | None,
    data: Path | None,
    predictions: Path | None,
    truth: Path | None,
    opening: Opening,
    work: Work,
    *,
    split: str | None,
    ignore: int | None,
    rules: Sequence[str] | None,
) -> Subject | LayerSubject:
    """A model judged by a data set, or label maps by label maps, as the arguments say.

    Raises:
        UsageError: they say neither, or both.
        PixelwiseError: something cannot be opened so.
    """
    if model is not None and data is not None and predictions is None and truth is None:
        (subject,) = subjects_of_set([model], data, opening, work, split=split, rules=rules or ())
        return subject
    if model is None and data is None and predictions is not None and truth is not None:
        if file_of_objects(predictions) is not None:
            (subject,) = subjects_of_set(
                [str(predictions)], truth, opening, work, split=split, rules=rules or ()
            )
            return subject
        if opening.layout == _LAYERS:
            return layer_folder_subject(
                predictions, truth, read_rules(rules or ()), classes=opening.classes
            )
        return subject_of_folders(
            predictions, truth, work, classes=opening.classes, ignore=ignore, rules=rules or ()
        )
    raise UsageError(
        "what is judged by what is not clear",
        fix="give MODEL DATA, such as street CAMVID; or --predictions DIR --truth DIR",
    )


def print_faults(evaluation: Evaluated) -> None:
    """What could not be judged, to standard error."""
    for fault in evaluation.faults:
        print_error(MaskFileError(fault.what, where=fault.file, got=fault.got, fix=fault.fix))


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            "the kind of file is told by its suffix",
            got=f"-o {output}",
            fix=f"name a file that ends in {', '.join(_SUFFIXES)}",
        )
    refuse_taken(output, overwrite=overwrite)


def _print(evaluation: Evaluated) -> None:
    for titles, *rows in table_rows(evaluation):
        print_columns(titles, rows)
        print_line("")
    for title, text in card_rows(card_of(evaluation)):
        print_wrapped(f"{title}: {text}")


def _written(evaluation: Evaluated, output: Path) -> bool:
    suffix = output.suffix.lower()
    if suffix == ".json":
        text = json.dumps(plain_data(evaluation), indent=1) + "\n"
    else:
        text = csv_text(evaluation) if suffix == ".csv" else markdown(evaluation)
    try:
        write_atomic(output, text.encode("utf-8", "surrogateescape"))
    except PixelwiseError as error:
        print_error(error)
        return False
    return True


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(evaluate)
