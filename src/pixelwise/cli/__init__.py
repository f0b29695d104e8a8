"""The command line: parse, call, print."""

from __future__ import annotations

import io
import sys

import typer

from pixelwise.cli.models import models
from pixelwise.cli.predict import predict

__all__ = ["main"]

app = typer.Typer(
    name="pixelwise",
    help="Semantic segmentation: a class for every pixel of a picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(predict)
app.command()(models)


def main() -> None:
    """Entry point of the `pixelwise` command."""
    # File names may hold bytes that no encoding has; in JSON the escape reads back as the name.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
