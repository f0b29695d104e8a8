"""`pixelwise data preview`: what an augmentation makes of the samples, on one sheet."""

from __future__ import annotations

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
    open_from,
    refuse_taken,
)
from pixelwise.cli.output import error_facts, fail, print_error, print_json, print_line
from pixelwise.data.augment import PRESETS, Augmentation, Fit, preset
from pixelwise.data.dataset import Dataset
from pixelwise.data.preview import sheet
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.png import encode_rgb

__all__ = ["preview"]

_LONGEST_CELL = 384


def preview(
    path: DataArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet, a .png file.")] = Path(
        "sheet.png"
    ),
    augment: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "medium",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Cut out as in training, such as 512x512; otherwise pictures are first scaled "
            "to the cells of the sheet.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="Samples, one in each row.")] = 6,
    draws: Annotated[int, typer.Option(min=1, max=20, help="Draws of each sample.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other samples and draws.")] = 0,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw some samples as they are and augmented, with their masks laid over.

    Exit code 0: done; 2: could not start.
    """
    try:
        refuse_taken(named(output, ".png"), overwrite=overwrite)
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
        augmentation = _augmentation(augment, size, dataset)
        drawn = sheet(dataset, augmentation=augmentation, count=count, draws=draws, seed=seed)
        write_atomic(output, encode_rgb(drawn.picture))
    except PixelwiseError as error:
        fail(error)
    for skipped in drawn.skipped:
        print_error(skipped)
    if json_output:
        print_json(
            {
                "output": str(output),
                "augment": augment,
                "size": list(augmentation.size or ()),
                "samples": list(drawn.names),
                "skipped": [error_facts(skipped) for skipped in drawn.skipped],
            }
        )
    else:
        print_line(f"{len(drawn.names)} samples, {draws} draws of each: {output}")


def _augmentation(name: str, size: str | None, dataset: Dataset) -> Augmentation:
    if size is not None:
        return preset(name, size=_parse_size(size))
    pieces = preset(name, size=(1, 1)).pieces
    return Augmentation((Fit(cover=True), *pieces), size=_cell_size(dataset))


def _parse_size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise UsageError(
            "a size is a height and a width in pixels",
            got=f"--size {text}",
            fix="such as --size 384x512",
        ) from None
    return height, width


def _cell_size(dataset: Dataset) -> tuple[int, int]:
    """That of the first picture that can be read, at most 384 pixels a side."""
    for entry in dataset.entries:
        try:
            height, width = dataset.read_image(entry).shape[:2]
        except PixelwiseError:
            continue
        factor = min(1.0, _LONGEST_CELL / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))
    return _LONGEST_CELL, _LONGEST_CELL
