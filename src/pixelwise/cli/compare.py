"""`pixelwise compare`: which of two models is better on a data set, and how surely."""

from __future__ import annotations

import json
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
    refuse_taken,
)
from pixelwise.cli.evaluate import print_faults
from pixelwise.cli.judging import (
    DeviceOption,
    DistancesOption,
    EngineOption,
    MapOption,
    Opening,
    SpacingOption,
    SplitOption,
    ThreadsOption,
    Work,
    evaluated,
    spacing_from,
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
from pixelwise.errors import PixelwiseError
from pixelwise.evaluation.compare import Comparison
from pixelwise.evaluation.compare import compare as compared
from pixelwise.evaluation.comparison_tables import (
    comparison_data,
    comparison_rows,
    picture_rows,
)
from pixelwise.evaluation.protocol import card_of, card_rows
from pixelwise.formats.files import named, write_atomic

__all__ = ["app"]

_PICTURES = 10
_OWN = ("predictions", "SHA-256", "input", "map")


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="A model, the folder of a run, or predictions: label maps, or a JSON file."
        ),
    ],
    b: Annotated[str, typer.Argument(help="Another.")],
    data: DataArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also a file: .json.")
    ] = None,
    split: SplitOption = None,
    map_: MapOption = None,
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
    """Compare two models, or folders of label maps, on the same pictures.

    For each figure: the difference with its 95 % interval and the probability that B is better.

    Exit code 0: all pictures were judged; 1: some could not be, and only those that both have
    count; 2: could not start; 130: interrupted.
    """
    try:
        if output is not None:
            refuse_taken(named(output, ".json"), overwrite=overwrite)
        size = spacing_from(spacing, distances=distances)
        work = Work(engine, device, threads)
        opening = Opening(layout, classes, images, masks, valid, rest, splits)
        subjects = subjects_of_set([a, b], data, opening, work, split=split, rules=map_ or ())
        with progress_bar(sum(len(subject.truths.names) for subject in subjects)) as advance:
            evaluations = [
                evaluated(subject, work, distances=distances, spacing=size, progress=advance)
                for subject in subjects
            ]
        comparison = compared(*evaluations)
    except PixelwiseError as error:
        fail(error)
    if json_output:
        print_json(comparison_data(comparison))
    else:
        _print(comparison)
    for evaluation in evaluations:
        print_faults(evaluation)
    written = output is None or _written(comparison, output)
    if not written or any(evaluation.faults for evaluation in evaluations):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _print(comparison: Comparison) -> None:
    for titles, *rows in (*comparison_rows(comparison), picture_rows(comparison, _PICTURES)):
        print_columns(titles, rows)
        print_line("")
    a, b = (card_rows(card_of(evaluation)) for evaluation in (comparison.a, comparison.b))
    for name, own, other in (("A", a, b), ("B", b, a)):
        for title, text in own:
            if title in _OWN or (title, text) not in other:
                print_wrapped(f"{name}: {title}: {text}")
    for title, text in a:
        if title not in _OWN and (title, text) in b:
            print_wrapped(f"{title}: {text}")


def _written(comparison: Comparison, output: Path) -> bool:
    try:
        text = json.dumps(comparison_data(comparison), indent=1) + "\n"
        write_atomic(named(output, ".json"), text.encode())
    except PixelwiseError as error:
        print_error(error)
        return False
    return True


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(compare)
