"""`pixelwise data split`: training, validation and test, as lists of pictures."""

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
    OverwriteOption,
    RestOption,
    ValidOption,
    WorkersOption,
    open_from,
)
from pixelwise.cli.output import (
    ExitCode,
    fail,
    print_columns,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.data.dataset import Dataset
from pixelwise.data.groups import groups_by_pattern
from pixelwise.data.split import Split, SplitBy, wanted_shares, write_split
from pixelwise.data.split import split as cut
from pixelwise.data.split_files import check_free
from pixelwise.data.statistics import gather
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.percentages import percent

__all__ = ["split"]

_DEFAULT_FOLDER = Path("splits")


def split(
    path: DataArgument,
    by: Annotated[
        SplitBy,
        typer.Option(help="What is kept whole: pictures, groups (videos, …) or tiles of scenes."),
    ] = "image",
    val: Annotated[float, typer.Option(help="Share for validation; 0 for none.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share for the test; 0 for none.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Decides between splits that are as good.")] = 0,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Tell the groups, with --by group: {} is what names of a group share, * anything, "
            "such as 'Tile {}/*'.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder of the lists.", show_default=str(_DEFAULT_FOLDER)
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    workers: WorkersOption = 0,
) -> None:
    """Cut a data set into train, val and test, alike in classes, with no twins on two sides.

    Writes one list of pictures per split, and split.json with their hashes; `--splits FOLDER` of
    the other commands takes them. The same pictures and seed give the same lists.

    Exit code 0: done; 2: could not be done, nothing was written.
    """
    fractions = {name: share for name, share in (("val", val), ("test", test)) if share != 0}
    try:
        _check_groups(groups, by)
        dataset = open_from(
            path,
            layout=layout,
            classes=classes,
            images=images,
            masks=masks,
            valid=valid,
            rest=rest,
            splits=None,
        )
        wanted = wanted_shares(dataset, by=by, fractions=fractions, seed=seed)
        folder = _folder(output, dataset)
        check_free(folder, list(wanted), overwrite=overwrite)
        told = None
        if groups is not None:
            told = groups_by_pattern([entry.name for entry in dataset.entries], groups)
        with progress_bar(len(dataset)) as advance:
            statistics, _ = gather(dataset, workers=workers, progress=advance)
        result = cut(dataset, statistics, told, by=by, fractions=fractions, seed=seed)
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    files = _written(result, folder, overwrite=overwrite)
    if json_output:
        print_json({**result.to_dict(), "files": [str(file) for file in files]})
    else:
        _print(result, folder)


def _check_groups(groups: str | None, by: SplitBy) -> None:
    if groups is not None and by == "image":
        raise UsageError(
            "groups are told, but pictures of one group would be parted",
            got=f"--groups {groups!r} with --by {by}",
            fix="add --by group, or leave --groups out",
        )


def _written(result: Split, folder: Path, *, overwrite: bool) -> tuple[Path, ...]:
    try:
        return write_split(result, folder, overwrite=overwrite)
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"interrupted: lists may be missing in {folder}; the same command with --overwrite "
            "writes all\n"
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _folder(output: Path | None, dataset: Dataset) -> Path:
    if output is not None:
        return output
    root = dataset.root.resolve()
    if _DEFAULT_FOLDER.resolve().is_relative_to(root):
        raise UsageError(
            "the lists would be written into the data set's own folder",
            where=str(root / _DEFAULT_FOLDER),
            fix=f"say so with -o {_DEFAULT_FOLDER}, or name another folder",
        )
    return _DEFAULT_FOLDER


def _print(result: Split, folder: Path) -> None:
    total = sum(map(len, result.names.values()))
    rows = [
        (
            name,
            f"{len(names):,}",
            f"{result.groups[name]:,}",
            percent(len(names) / total),
            percent(result.fractions[name]),
        )
        for name, names in result.names.items()
    ]
    print_columns(("split", "pictures", "groups", "share", "asked"), rows)
    shares = result.shares
    order = sorted(range(len(result.classes)), key=lambda place: -shares[-1, place])
    print_line("")
    print_columns(
        ("class", "all", *result.names),
        [
            (
                result.classes[place],
                *(percent(share, 2) for share in (shares[-1, place], *shares[:-1, place])),
            )
            for place in order
        ],
    )
    for note in result.notes:
        print_wrapped(f"note: {note}")
    print_line(f"seed {result.seed}, split {result.hash[:12]}: {folder}")
