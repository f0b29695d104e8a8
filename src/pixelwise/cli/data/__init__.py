"""`pixelwise data`: what one does with a data set before training."""

from __future__ import annotations

import typer

from pixelwise.cli.data.check import check
from pixelwise.cli.data.colours import colours
from pixelwise.cli.data.convert import convert
from pixelwise.cli.data.preview import preview
from pixelwise.cli.data.split import split

__all__ = ["app"]

app = typer.Typer(
    name="data",
    help="Check, split, convert and look at data sets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(split)
app.command()(convert)
app.command()(colours)
app.command()(preview)
