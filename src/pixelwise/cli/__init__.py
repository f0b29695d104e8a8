"""The command line: parse, call, print."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from pixelwise.cli.models import models
from pixelwise.cli.output import ExitCode
from pixelwise.cli.predict import predict
from pixelwise.cli.ray_option import PredictCommand

__all__ = ["main"]


_LATER = (
    "data",
    "train",
    "evaluate",
    "compare",
    "report",
    "calibrate",
    "tune-refine",
    "classical",
    "export",
    "bench",
    "search",
)


@contextmanager
def _interrupts_told() -> Iterator[None]:
    """Ctrl-C where a command does not know better what became of it."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


class _Commands(TyperGroup):
    """The commands, with those that take time to load loaded when they are asked for.

    `pixelwise predict` starts in a third of a second, of which they would take their part.
    """

    # Typer takes its types from click or carries click itself, by its version: hence Any.
    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _LATER:
            module = importlib.import_module(f"pixelwise.cli.{cmd_name.replace('-', '_')}")
            return typer.main.get_command(module.app)
        return super().get_command(ctx, cmd_name)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _interrupts_told():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _interrupts_told():
            return super().invoke(ctx)


app = typer.Typer(
    name="pixelwise",
    help="Semantic segmentation: a class for every pixel of a picture.",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(cls=PredictCommand)(predict)
app.command()(models)


def main() -> None:
    """Entry point of the `pixelwise` command."""
    # File names may hold bytes that no encoding has; in JSON the escape reads back as the name.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
