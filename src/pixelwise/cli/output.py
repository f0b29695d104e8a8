"""What every command shares: where messages go, and what the exit codes mean."""

from __future__ import annotations

import errno
import json
import sys
import textwrap
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from pixelwise.errors import OutputError, PixelwiseError

if TYPE_CHECKING:
    # Every command loads this module, and few need arrays.
    from pixelwise.inference.remote import Place

__all__ = [
    "INTERRUPTED",
    "UNWRITABLE",
    "ExitCode",
    "error_facts",
    "fail",
    "hits_every_picture",
    "print_columns",
    "print_error",
    "print_json",
    "print_line",
    "print_removed",
    "print_wrapped",
]

# Why a run over many pictures ended early.
INTERRUPTED = "interrupted"
UNWRITABLE = "stopped, since no result can be written"

_WIDTH = 80

# Reasons for a failed write that the next picture would meet too.
_LASTING = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENOSPC, errno.EROFS}


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    DONE = 0
    SOME_FAILED = 1
    NOT_STARTED = 2
    INTERRUPTED = 130


def print_json(document: dict[str, Any]) -> None:
    """Writes one JSON document to standard output."""
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def print_line(text: str) -> None:
    """Writes one line to standard output; a line break in it, as file names have, is shown."""
    sys.stdout.write(_printable(text) + "\n")


def print_wrapped(text: str) -> None:
    """Writes a sentence to standard output, in lines of at most 80 columns."""
    for line in textwrap.wrap(
        _printable(text),
        _WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    ):
        print_line(line)


def print_columns(
    titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str = ""
) -> None:
    """Writes a small table: the first column to the left, the others to the right.

    Plain text rather than rich, whose import alone would take a fifth of a prediction.
    """
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    if title:
        print_line(title)
    for row in [titles, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print_line("  " + "  ".join(cells).rstrip())


def print_error(error: PixelwiseError) -> None:
    """Writes an error to standard error."""
    sys.stderr.write(_printable(f"error: {error}", kept="\n") + "\n")


def print_removed(files: Sequence[Place]) -> None:
    """Says on standard error what of earlier runs was removed; of many in a folder how many."""
    if not files:
        return
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(str(file.parent), []).append(str(file))
    told = [
        names[0] if len(names) == 1 else f"{folder} ({len(names)} files)"
        for folder, names in folders.items()
    ]
    sys.stderr.write(
        _printable(f"removed, made by another model or setting than the labels: {', '.join(told)}")
        + "\n"
    )


def _printable(text: str, *, kept: str = "") -> str:
    """The text with control characters shown, so that no file name can command the terminal."""
    return "".join(
        letter if letter.isprintable() or letter in kept else ascii(letter)[1:-1] for letter in text
    )


def error_facts(error: PixelwiseError) -> dict[str, str]:
    """An error as plain data."""
    return {
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "got": error.got,
        "fix": error.fix,
    }


def hits_every_picture(error: PixelwiseError) -> bool:
    """Whether the next picture would meet this error too."""
    cause = error.__cause__
    return isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _LASTING


def fail(error: PixelwiseError) -> NoReturn:
    """Ends the command because it could not start."""
    print_error(error)
    raise typer.Exit(ExitCode.NOT_STARTED) from None
