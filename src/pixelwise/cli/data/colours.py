"""`pixelwise data colours`: which colours the masks hold, and a class table to fill in."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.classes import ClassTable
from pixelwise.cli.data.options import (
    ClassesOption,
    DataArgument,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    open_from,
)
from pixelwise.cli.output import ExitCode, fail, print_json, print_line
from pixelwise.cli.progress import progress_bar
from pixelwise.data.colours import ColourCount, ColourCounts, count_colours
from pixelwise.data.listing import Listing
from pixelwise.errors import (
    ClassTableError,
    DatasetError,
    MaskFileError,
    OutputExistsError,
    PixelwiseError,
    UsageError,
)
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.images import IMAGE_SUFFIXES
from pixelwise.kernels.checks import MOST_THREADS

__all__ = ["colours"]

_MOST_SHOWN = 200
_MOST_CLASSES = 150
_SUFFIXES = tuple(sorted(IMAGE_SUFFIXES))


def colours(
    path: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write a class table to fill in, such as classes.csv."),
    ] = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    workers: Annotated[
        int, typer.Option(min=0, max=MOST_THREADS, help="Threads; 0 means one per core.")
    ] = 0,
) -> None:
    """List the colours or values that masks hold, where they are, and which are strays.

    PATH is a data set, or any folder of masks. Nothing needs to be known about the classes.

    Exit code 0: done; 1: some masks could not be read; 2: could not start.
    """
    try:
        if output is not None and named(output, ".csv").exists() and not overwrite:
            raise OutputExistsError(
                "a file is in the way", where=str(output), fix="name another, or pass --overwrite"
            )
        root, files, table = _masks(
            path, layout=layout, classes=classes, images=images, masks=masks
        )
        with progress_bar(len(files)) as advance:
            counts = count_colours(root, files, table=table, workers=workers, progress=advance)
        if output is not None and counts.classes:
            write_atomic(output, counts.to_csv().encode())
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(counts.to_dict())
    else:
        _print(counts, output)
    if counts.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _masks(
    path: Path, *, layout: str | None, classes: str | None, images: str | None, masks: str | None
) -> tuple[Path, list[str], ClassTable | None]:
    """The mask files, and the class table of the data set if it is one.

    Raises:
        PixelwiseError: there are none.
    """
    try:
        dataset = open_from(
            path,
            layout=layout,
            classes=classes,
            images=images,
            masks=masks,
            valid=None,
            rest=None,
            splits=None,
        )
    except (DatasetError, MaskFileError, ClassTableError):
        # What is no data set to pixelwise may still be a folder of masks.
        if layout or classes or images or masks or not path.is_dir():
            raise
        files = list(Listing.of(path).files(*_SUFFIXES))
        if not files:
            raise
        return path, files, None
    named_files = dict.fromkeys(entry.truth for entry in dataset.entries)
    files = [file for file in named_files if file.lower().endswith(_SUFFIXES)]
    if not files:
        raise UsageError(
            "the truth of this data set is not in mask files",
            where=str(path),
            got=f"layout {dataset.layout}",
            fix="its classes have names already: see `pixelwise data check`",
        )
    return dataset.root, files, dataset.classes


def _print(counts: ColourCounts, output: Path | None) -> None:
    stored = ", ".join(f"{number:,} as {kind}" for kind, number in counts.kinds.items())
    print_line(f"{counts.files:,} masks: {stored or 'none'}")
    _print_counts(counts.classes, counts.pixels)
    if counts.strays:
        print_line(f"strays, taken for no class: {len(counts.strays):,}")
        _print_counts(counts.strays, counts.pixels)
    if counts.unlisted:
        print_line(
            f"{counts.unlisted:,} pixels of further colours: no masks of classes hold so many"
        )
    values = [count.value for count in counts.found if count.value is not None]
    if len(values) > _MOST_CLASSES:
        print_line(f"{len(values):,} values: so many look like ids of objects, not of classes")
    palettes = counts.kinds.get("palette", 0)
    if palettes and not counts.indices_are_ids:
        print_line("palette indices mean different colours in different masks: only colours tell")
    for fault in counts.faults:
        print_line(f"error: {fault.file}: {fault.what} {fault.got}".rstrip())
    if output is not None and counts.classes:
        print_line(f"{len(counts.classes):,} classes to name: {output}")


def _print_counts(counts: Sequence[ColourCount], pixels: int) -> None:
    """A table; on a terminal each colour is shown before its line."""
    titles = ("colour", "r,g,b", "pixels", "share", "masks", "name", "example")
    rows = [_row(count, pixels) for count in counts[:_MOST_SHOWN]]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    shows = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for row, count in zip([titles, *rows], [None, *counts], strict=False):
        if shows:
            sys.stdout.write(_swatch(None if count is None else count.colour))
        cells = [
            cell.rjust(width) if column in {2, 3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print_line("  " + "  ".join(cells).rstrip())
    if len(counts) > _MOST_SHOWN:
        print_line(f"  and {len(counts) - _MOST_SHOWN:,} more (all with --json)")


def _row(count: ColourCount, pixels: int) -> tuple[str, ...]:
    colour, numbers = f"value {count.value}", ""
    if count.colour is not None:
        colour = "#{:02x}{:02x}{:02x}".format(*count.colour)
        numbers = ",".join(map(str, count.colour))
    if count.indices:
        colour += f" (index {', '.join(map(str, count.indices))})"
    name = count.stray or count.name or " · ".join(count.known_as[:2])
    if count.ignored:
        name = f"{name} (ignored)".lstrip()
    return (
        colour,
        numbers,
        f"{count.pixels:,}",
        f"{count.pixels / max(1, pixels):.3%}",
        f"{count.files:,}",
        name,
        count.example,
    )


def _swatch(colour: tuple[int, int, int] | None) -> str:
    if colour is None:
        return "   "
    red, green, blue = colour
    return f"\x1b[48;2;{red};{green};{blue}m   \x1b[0m"
