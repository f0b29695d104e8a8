"""`pixelwise models`: what ships, what can be built, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from pixelwise.cli.output import ExitCode, fail, print_columns, print_json, print_line
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.extras import extra
from pixelwise.inference.card import Card
from pixelwise.inference.model_file import ModelFile

__all__ = ["models"]

_MOST_DESCRIBED = 30


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names of shipped models, or model files.",
            show_default="all that ship",
        ),
    ] = None,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="List the architectures that can be built.")
    ] = False,
    encoders: Annotated[
        str | None,
        typer.Option("--encoders", metavar="TEXT", help="Search encoders by a part of their name."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show models: classes, size, licences, scores with protocol, input rule, verdict of export."""
    try:
        if architectures and encoders is not None:
            raise UsageError(
                "two lists are asked for at once", fix="give --architectures or --encoders"
            )
        if architectures:
            _list_architectures(json_output)
        elif encoders is not None:
            _list_encoders(encoders, json_output)
        else:
            _list_models(names or (), json_output)
    except PixelwiseError as error:
        fail(error)


def _list_models(names: Sequence[str], json_output: bool) -> None:
    from pixelwise.inference.model_file import read_model, shipped_models

    files = [read_model(name) for name in names or shipped_models()]
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
    _print_cards(files)


def _print_cards(files: list[ModelFile]) -> None:
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
            ("probabilities", card.postprocessing.describe()),
            ("weights", f"{card.weights_licence}{licence_note}"),
            ("training data", f"{card.data}; {card.data_licence}"),
            ("trained by", card.command),
            *_verdict_rows(card),
            (
                "file",
                f"{len(file.content) / 1e6:.1f} MB, stored {card.storage}, computed in "
                f"{card.precision}",
            ),
            ("sha256", file.sha256),
        ):
            table.add_row(title, text)
        console.print(table)


def _verdict_rows(card: Card) -> list[tuple[str, str]]:
    if card.verdict is None:
        return []
    rows = [("export", card.verdict.describe())]
    if card.verdict.drop is not None:
        rows.append(("lost", card.verdict.drop.describe()))
    return rows


def _list_architectures(json_output: bool) -> None:
    from pixelwise.models.catalogue import CATALOGUE, CATALOGUE_CLASSES, CATALOGUE_SIZE

    if json_output:
        print_json(
            {"architectures": [{"name": name, **asdict(CATALOGUE[name])} for name in CATALOGUE]}
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        caption=f"M parameters and GFLOPs (multiply-adds) with the encoder named and "
        f"{CATALOGUE_CLASSES} classes at {CATALOGUE_SIZE}×{CATALOGUE_SIZE}; scores are published "
        "ones, not measured here",
        caption_justify="left",
        show_lines=True,
    )
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("year", no_wrap=True)
    table.add_column("M param.", justify="right", no_wrap=True)
    table.add_column("GFLOPs", justify="right", no_wrap=True)
    table.add_column("paper, encoder, upsampling, skip connections, score", overflow="fold")
    for name, facts in CATALOGUE.items():
        table.add_row(
            name,
            str(facts.year),
            f"{facts.parameters:.1f}",
            f"{facts.multiply_adds:.1f}",
            f"{facts.title}: {facts.paper}\n"
            f"encoder: {facts.encoder}\n"
            f"upsampling: {facts.upsampling}\n"
            f"skips: {facts.skips}\n"
            f"score: {facts.score}",
        )
    Console().print(table)


def _list_encoders(text: str, json_output: bool) -> None:
    with extra("train"):
        from pixelwise.models.encoders.search import EncoderFacts, describe_encoder, find_encoders
    names = find_encoders(text)
    described: list[EncoderFacts] = []
    unfit: dict[str, str] = {}
    for name in names[:_MOST_DESCRIBED]:
        try:
            described.append(describe_encoder(name))
        except UsageError as error:
            unfit[name] = error.what
    if json_output:
        print_json(
            {"found": names, "encoders": [asdict(facts) for facts in described], "unfit": unfit}
        )
    elif not names:
        print_line(f"no encoder has {text!r} in its name")
    else:
        print_columns(
            ("encoder", "M parameters", "strides", "channels", "atrous"),
            [
                (
                    facts.name,
                    f"{facts.parameters:.1f}",
                    " ".join(map(str, facts.strides)),
                    " ".join(map(str, facts.channels)),
                    "yes" if facts.atrous else "no",
                )
                for facts in described
            ],
        )
        for name, reason in unfit.items():
            print_line(f"  {name}: {reason}")
        if len(names) > _MOST_DESCRIBED:
            print_line(f"{_MOST_DESCRIBED} of {len(names)}; give more of the name to see others")
    if not names:
        raise typer.Exit(ExitCode.SOME_FAILED)
