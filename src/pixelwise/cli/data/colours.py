"""`pixelwise data colours`: which colours the masks hold, and a class table to fill in."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    WorkersOption,
    open_from,
    refuse_taken,
)
from pixelwise.cli.output import ExitCode, fail, print_json, print_line, print_wrapped
from pixelwise.cli.progress import progress_bar
from pixelwise.colours import Colour
from pixelwise.data.colours import ColourCount, ColourCounts, count_colours
from pixelwise.data.dataset import Dataset
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.listing import Listing, is_picture
from pixelwise.errors import (
    ClassTableError,
    DatasetError,
    MaskFileError,
    PixelwiseError,
    UsageError,
)
from pixelwise.formats.files import named, write_atomic
from pixelwise.percentages import percent

__all__ = ["colours"]

_MOST_SHOWN = 200
_MOST_CLASSES = 150
_SHOWN_OF_TOO_MANY = 10
_NARROWEST = 12


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
    workers: WorkersOption = 0,
) -> None:
    """List the colours or values that masks hold, where they are, and which are strays.

    PATH is a data set, or any folder of masks. Nothing needs to be known about the classes.

    Exit code 0: done; 1: some masks could not be read; 2: could not start.
    """
    try:
        if output is not None:
            refuse_taken(named(output, ".csv"), overwrite=overwrite)
        found = _masks(path, layout=layout, classes=classes, images=images, masks=masks)
        with progress_bar(len(found.files)) as advance:
            counts = count_colours(
                found.root,
                found.files,
                table=found.table,
                ignored_names=found.ignored_names,
                objects=found.objects,
                workers=workers,
                progress=advance,
            )
        if output is not None and counts.classes and not _too_many(counts, found):
            write_atomic(output, counts.to_csv().encode())
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(counts.to_dict())
    else:
        _print(counts, found, output)
    if counts.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


@dataclass(frozen=True)
class _Masks:
    """Mask files, and what the data set says of them if it is one.

    Attributes:
        root: the folder that the paths start from.
        files: the masks.
        table: the classes.
        ignored_names: names of what the table ignores, by value and by colour.
        objects: whether they hold numbers of objects.
    """

    root: Path
    files: list[str]
    table: ClassTable | None = None
    ignored_names: Mapping[int | Colour, str] = field(default_factory=dict)
    objects: bool = False


def _masks(
    path: Path, *, layout: str | None, classes: str | None, images: str | None, masks: str | None
) -> _Masks:
    """The mask files.

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
        files = list(Listing.of(path).pictures())
        if not files:
            raise
        return _Masks(path, files)
    named_files = dict.fromkeys(entry.truth for entry in dataset.entries)
    files = [file for file in named_files if is_picture(file)]
    if not files:
        raise UsageError(
            "the truth of this data set is not in mask files",
            where=str(path),
            got=f"layout {dataset.layout}",
            fix="its classes have names already: see `pixelwise data check`",
        )
    truth = dataset.truth
    objects = isinstance(truth, MaskFiles) and truth.reading == "objects"
    names = _ignored_names(dataset, classes)
    return _Masks(dataset.root, files, dataset.classes, names, objects)


def _ignored_names(dataset: Dataset, classes: str | None) -> dict[int | Colour, str]:
    """What the class table's file calls the ignored id and its colours."""
    file = Path(classes) if classes else dataset.root / "classes.csv"
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, ValueError):
        return {}
    names: dict[int | Colour, str] = {}
    for row in csv.DictReader(io.StringIO(text)):
        cells = {str(key).strip().lower(): str(cell).strip() for key, cell in row.items()}
        if cells.get("use") != "ignore" or not cells.get("name"):
            continue
        numbers = [cells.get(key, "") for key in ("id", "r", "g", "b")]
        number, red, green, blue = (int(n) if n.isdecimal() else -1 for n in numbers)
        names[number] = names[red, green, blue] = cells["name"]
    return names


def _too_many(counts: ColourCounts, found: _Masks) -> bool:
    """Whether these are hardly classes, but numbers of objects in masks of no known data set."""
    values = [count for count in counts.found if count.value is not None]
    return len(values) > _MOST_CLASSES and found.table is None


def _print(counts: ColourCounts, found: _Masks, output: Path | None) -> None:
    stored = ", ".join(f"{number:,} as {kind}" for kind, number in counts.kinds.items())
    print_line(f"{counts.files:,} masks: {stored or 'none'}")
    too_many = _too_many(counts, found)
    if found.objects:
        print_wrapped("they hold numbers of objects, not of classes: all above 0 are value 1 here")
    if counts.jpegs:
        print_wrapped(
            f"{counts.jpegs:,} of them are JPEG files, which keep no colour or value exactly, so "
            "strays are to be expected: export them as PNG"
        )
    most = _SHOWN_OF_TOO_MANY if too_many else _MOST_SHOWN
    _print_counts(counts.classes, counts.pixels, most)
    if counts.strays:
        print_line(f"strays, taken for no class: {len(counts.strays):,}")
        _print_counts(counts.strays, counts.pixels, most)
    if counts.unlisted:
        print_line(
            f"{counts.unlisted:,} pixels of further colours: no masks of classes hold so many"
        )
    if too_many:
        print_wrapped(
            f"{len(counts.found):,} values: so many look like ids of objects, not of classes"
        )
    palettes = counts.kinds.get("palette", 0)
    if palettes and not counts.indices_are_ids:
        print_line("palette indices mean different colours in different masks: only colours tell")
    for fault in counts.faults:
        print_line(f"error: {fault.file}: {fault.what} {fault.got}".rstrip())
    if output is not None:
        _print_written(counts, output, too_many=too_many)


def _print_written(counts: ColourCounts, output: Path, *, too_many: bool) -> None:
    if too_many or not counts.classes:
        reason = "a class for each object would help nobody" if too_many else "there are no classes"
        print_wrapped(f"not written: {output}: {reason}")
        return
    rows = counts.rows
    ignored = sum(count.ignored for count in rows)
    parts = [f"{len(rows) - ignored:,} classes to name"]
    parts += [f"{ignored:,} ignored"] if ignored else []
    print_line(f"{', '.join(parts)}: {output}")
    below = [str(c.value) for c in counts.classes if c.value is not None and c.value < 0]
    if below:
        print_wrapped(f"{', '.join(below[:5])}: no class can have an id below 0, so it is ignored")
    above = [c.value for c in counts.classes if c not in rows and (c.value or 0) > 0]
    if above:
        print_wrapped(f"{len(above):,} values above 65,534, such as {above[0]}, have no row")


def _print_counts(counts: Sequence[ColourCount], pixels: int, most: int) -> None:
    """A table as wide as the terminal; on one each colour is shown before its line."""
    shows = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    titles = ("colour", "r,g,b", "pixels", "share", "masks", "name", "example")
    table = [titles, *(_row(count, pixels) for count in counts[:most])]
    table = _fitted(table, shutil.get_terminal_size().columns - 2 - (3 if shows else 0))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row, count in zip(table, [None, *counts], strict=False):
        if shows:
            sys.stdout.write(_swatch(None if count is None else count.colour))
        cells = [
            cell.rjust(width) if column in {2, 3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print_line("  " + "  ".join(cells).rstrip())
    if len(counts) > most:
        print_line(f"  and {len(counts) - most:,} more (all with --json)")


def _fitted(table: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """The table with its last columns shortened, the example to its end, or without the example."""
    taken = [2 + max(map(len, column)) for column in zip(*table, strict=True)]
    room = width - sum(taken[:-1])
    if room >= _NARROWEST:
        cut = [row[-1] if len(row[-1]) <= room else "…" + row[-1][1 - room :] for row in table]
        return [(*row[:-1], cell) for row, cell in zip(table, cut, strict=True)]
    room = max(_NARROWEST, width - sum(taken[:-2]))
    cut = [row[-2] if len(row[-2]) <= room else row[-2][: room - 1] + "…" for row in table]
    return [(*row[:-2], cell) for row, cell in zip(table, cut, strict=True)]


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
        percent(count.pixels / max(1, pixels), 3),
        f"{count.files:,}",
        name,
        count.example,
    )


def _swatch(colour: tuple[int, int, int] | None) -> str:
    if colour is None:
        return "   "
    red, green, blue = colour
    return f"\x1b[48;2;{red};{green};{blue}m   \x1b[0m"
