"""`pixelwise models`: what ships."""

from __future__ import annotations

from typing import Annotated

import typer

from pixelwise.cli.output import fail, print_json
from pixelwise.errors import PixelwiseError

__all__ = ["models"]


def models(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that ship: classes, size, licences, scores with protocol, input rule."""
    from pixelwise.inference.model_file import read_model, shipped_models

    try:
        files = [read_model(name) for name in shipped_models()]
    except PixelwiseError as error:
        fail(error)
    if json_output:
        print_json(
            {
                "models": [
                    {
                        **file.card.model_dump(mode="json"),
                        "path": str(file.path),
                        "bytes": len(file.content),
                        "sha256": file.sha256,
                    }
                    for file in files
                ]
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for file in files:
        card = file.card
        table = Table(
            title=f"{card.name}: {card.description}", title_justify="left", show_header=False
        )
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        licence_note = " (non-commercial)" if card.non_commercial else ""
        for title, text in (
            ("classes", f"{len(card.classes)}: {', '.join(card.classes.names)}"),
            ("input", card.preprocessing.describe()),
            *(
                ("score", f"{score.metric} {score.value:g}, {score.protocol}")
                for score in card.scores
            ),
            ("weights", f"{card.weights_licence}{licence_note}"),
            ("training data", f"{card.data}; {card.data_licence}"),
            ("trained by", card.command),
            (
                "file",
                f"{len(file.content) / 1e6:.1f} MB, stored {card.storage}, computed in float32",
            ),
            ("sha256", file.sha256),
        ):
            table.add_row(title, text)
        console.print(table)
