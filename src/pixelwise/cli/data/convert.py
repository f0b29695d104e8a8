"""`pixelwise data convert`: a data set written in another format, without loss."""

from __future__ import annotations

import sys
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
    RestOption,
    SplitsOption,
    ValidOption,
    WorkersOption,
    open_from,
)
from pixelwise.cli.output import ExitCode, fail, print_error, print_json, print_line, print_wrapped
from pixelwise.cli.progress import progress_bar
from pixelwise.data.convert import FORMATS, Converted, prepare
from pixelwise.errors import PixelwiseError

__all__ = ["convert"]

_SHOWN = 20


def convert(
    path: DataArgument,
    to: Annotated[str, typer.Option("--to", help=f"The new format: {', '.join(FORMATS)}.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the new data set, outside the old.")
    ],
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Leave out samples that cannot be read.")
    ] = False,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    workers: WorkersOption = 0,
) -> None:
    """Write a data set in another format: the same classes, pixels, objects and splits.

    What the format cannot hold is listed and refused before anything is written. The source stays
    as it is. A run that was broken off goes on when it is started again.

    Exit code 0: all done; 1: samples were left out, the source has faults, or writing failed;
    2: could not start; 130: interrupted.
    """
    try:
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
        with progress_bar(2 * len(dataset)) as advance:
            ready = prepare(
                dataset,
                output,
                to=to,
                workers=workers,
                skip_faulty=skip_faulty,
                progress=advance,
            )
            try:
                converted = ready.write(workers=workers, progress=advance)
            except PixelwiseError as error:
                print_error(error)
                raise typer.Exit(ExitCode.SOME_FAILED) from None
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the same command goes on with the rest\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(converted.to_dict())
    else:
        _print(converted)
    if converted.left_out or any(fault.severity == "error" for fault in dataset.faults):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _print(converted: Converted) -> None:
    for fault in converted.left_out[:_SHOWN]:
        print_line(f"left out: {fault.file}: {fault.what}; {fault.got}".rstrip("; "))
    if len(converted.left_out) > _SHOWN:
        print_line(f"left out: {len(converted.left_out) - _SHOWN:,} more")
    for note in converted.notes:
        print_wrapped(f"note: {note}")
    parts = [f"{converted.samples:,} samples as {converted.form}"]
    parts.append(f"{converted.written:,} files written")
    parts += [f"{converted.kept:,} already there"] if converted.kept else []
    print_line(f"{', '.join(parts)}: {converted.out}")
