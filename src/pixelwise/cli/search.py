"""`pixelwise search`: which pictures show what, and where."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from pixelwise.cli.output import fail, print_columns, print_json, print_line
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import PixelwiseError
from pixelwise.overlay import format_share
from pixelwise.searching.search import Found, SearchAnswer
from pixelwise.searching.search import search as searched

__all__ = ["app"]


def search(
    folder: Annotated[str, typer.Argument(help="Results: what predict wrote with -o.")],
    query: Annotated[
        str,
        typer.Argument(help="Such as 'car > 5% and not person', or 'car > 20% in left'."),
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pictures.")] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Name the label maps instead of the pictures.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List pictures by shares of classes, in all of the picture or a part of it, largest first.

    On a terminal a table; into a pipe or a file nothing but paths, one a line.

    Exit code 0: searched, also where nothing was found; 2: could not start; 130: interrupted.
    """
    try:
        with ExitStack() as bars:
            answer = searched(
                folder,
                query,
                limit=limit,
                progress=lambda total: bars.enter_context(progress_bar(total)),
            )
    except PixelwiseError as error:
        fail(error)
    if json_output:
        print_json(_document(answer))
        return
    if sys.stdout.isatty():
        _print_table(answer, labels=labels)
    else:
        for found in answer.found:
            sys.stdout.buffer.write(_line(_name(found, labels=labels)))
        sys.stdout.buffer.flush()
        for reason, count in answer.skipped.items():
            sys.stderr.write(f"passed over: {count:,} × {reason}\n")
    for note in answer.notes:
        sys.stderr.write(f"note: {note}\n")


def _name(found: Found, *, labels: bool) -> str:
    return str(found.labels) if labels else found.name


def _line(name: str) -> bytes:
    """A name as the file system has it, which need not be text; other programs open it so."""
    try:
        return os.fsencode(name) + b"\n"
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace") + b"\n"


def _print_table(answer: SearchAnswer, *, labels: bool) -> None:
    if answer.found:
        titles = tuple(answer.found[0].shares)
        rows = [
            (_name(found, labels=labels), *map(format_share, found.shares.values()))
            for found in answer.found
        ]
        print_columns(("picture", *titles), rows)
    shown = f", {len(answer.found):,} shown" if len(answer.found) < answer.matches else ""
    print_line(f"{answer.matches:,} of {answer.pictures:,} pictures{shown}")
    for reason, count in answer.skipped.items():
        print_line(f"passed over: {count:,} × {reason}")


def _document(answer: SearchAnswer) -> dict[str, object]:
    return {
        "found": [
            {
                "source": found.source,
                "labels": str(found.labels),
                "size": list(found.size),
                "shares": found.shares,
            }
            for found in answer.found
        ],
        "matches": answer.matches,
        "pictures": answer.pictures,
        "classes": list(answer.classes),
        "skipped": answer.skipped,
        "notes": list(answer.notes),
    }


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(search)
