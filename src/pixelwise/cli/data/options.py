"""What the data commands share: options, and how the data set is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pixelwise.data import LAYOUTS, Dataset
from pixelwise.data import open as open_dataset
from pixelwise.data.targets import TargetKind
from pixelwise.errors import OutputExistsError
from pixelwise.kernels.checks import MOST_THREADS

__all__ = [
    "ClassesOption",
    "DataArgument",
    "ImagesOption",
    "JsonOption",
    "LayoutOption",
    "MasksOption",
    "OverwriteOption",
    "RestOption",
    "SplitsOption",
    "ValidOption",
    "WorkersOption",
    "open_from",
    "refuse_taken",
]

DataArgument: TypeAlias = Annotated[
    Path, typer.Argument(help="Folder of the data set, or an annotation file in it.")
]
LayoutOption: TypeAlias = Annotated[
    str | None, typer.Option(help=f"Do not guess the layout: {', '.join(LAYOUTS)}.")
]
ClassesOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Class table: a built-in name or a file (classes.csv).")
]
ImagesOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Pattern of the pictures, such as 'photos/{}.jpg'.")
]
MasksOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Pattern of their masks, such as 'labels/{}_gt.png'.")
]
ValidOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Pattern of masks of the region that counts (0: ignored).")
]
RestOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="The class whose pixels are “any class but the labelled ones”."),
]
SplitsOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of splits that `pixelwise data split` wrote.")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output.")
]
OverwriteOption: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there already.")
]

WorkersOption: TypeAlias = Annotated[
    int, typer.Option("--threads", min=0, max=MOST_THREADS, help="Cores to use; 0 means all.")
]


def refuse_taken(path: Path, *, overwrite: bool) -> None:
    """Lets nothing that is there be replaced unasked.

    Raises:
        OutputExistsError: something has that name.
    """
    # Path.exists raises on names that are too long; this does not.
    if os.path.lexists(path) and not overwrite:
        raise OutputExistsError(
            "a file is in the way", where=str(path), fix="name another, or pass --overwrite"
        )


def open_from(
    path: Path,
    *,
    layout: str | None,
    classes: str | None,
    images: str | None,
    masks: str | None,
    valid: str | None,
    rest: str | None,
    splits: Path | None,
    kind: TargetKind | None = None,
) -> Dataset:
    """The data set that the options describe; `kind` is that of its targets.

    Raises:
        PixelwiseError: it cannot be opened so.
    """
    return open_dataset(
        path,
        layout=layout,
        classes=classes,
        images=images,
        masks=masks,
        valid=valid,
        rest=rest,
        splits=splits,
        kind=kind,
    )
