"""`pixelwise bench`: how fast models run here, and how they run best."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from pixelwise.cli.data.options import JsonOption
from pixelwise.cli.output import fail, print_columns, print_json, print_line, print_wrapped
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.evaluation.opening import source_of
from pixelwise.inference.bench import (
    Row,
    Setting,
    measure,
    picture_size,
    processor,
    settings_of,
)
from pixelwise.inference.engines import installed_engines, usable_cores
from pixelwise.inference.model_file import ModelFile, read_model
from pixelwise.inference.preprocess import plan_input

__all__ = ["app"]

_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")
_LARGEST_BATCH = 64


def bench(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Names of shipped models, model files, or folders of runs; several are measured "
            "in turn.",
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Size of the picture.", show_default="the card's, or 480x640"
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="auto (all that are installed), onnxruntime or openvino.")
    ] = "auto",
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Threads of a run; may be repeated.", show_default="1, 2, 4 … all"
        ),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=_LARGEST_BATCH,
            help="Pictures of a run; may be repeated.",
            show_default="1, 4",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, max=600, help="To spend on each row; three runs at least.")
    ] = 2.0,
    json_output: JsonOption = False,
) -> None:
    """Measure latency and throughput of a model's network, by engine, threads and batch.

    All rows are warm and measured in turn. Reading, decoding and writing pictures are not in it.

    Exit code 0: measured; 2: could not be; 130: interrupted.
    """
    try:
        wanted = None if size is None else _size(size)
        files = [read_model(source_of(name).model or name) for name in models]
        settings = _settings(files, engine, threads or (), batch or ())
        with progress_bar(len(settings)) as advance:
            rows = measure(settings, size=wanted, seconds=seconds, progress=advance)
    except PixelwiseError as error:
        fail(error)
    sizes = [_sizes(file, wanted) for file in files]
    quickest = min((row for row in rows if row.batch == min(r.batch for r in rows)), key=_latency)
    most = max(rows, key=lambda row: row.throughput)
    if json_output:
        print_json(
            {
                "machine": processor(),
                "cores": usable_cores(),
                "inputs": [
                    {"model": file.path.name, "picture": picture, "network": network}
                    for file, (picture, network) in zip(files, sizes, strict=True)
                ],
                "rows": [asdict(row) for row in rows],
                "best": {"latency": asdict(quickest), "throughput": asdict(most)},
            }
        )
        return
    print_wrapped(f"{processor()}, {usable_cores()} cores that may be used")
    for file, (picture, network) in zip(files, sizes, strict=True):
        shapes = [f"{height}×{width}" for height, width in (picture, network)]
        print_line(f"{file.path.name}: picture {shapes[0]}, network {shapes[1]} (H×W)")
    print_line("")
    print_columns(
        ("model", "runs in", "threads", "batch", "median ms", "p95 ms", "pictures/s", "runs"),
        [_cells(row) for row in rows],
    )
    print_line("")
    print_wrapped(f"lowest latency: {_told(quickest)}, {quickest.median:.1f} ms")
    print_wrapped(f"highest throughput: {_told(most)}, {most.throughput:.1f} pictures/s")


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    sides = (int(found[1]), int(found[2])) if found else (0, 0)
    if min(sides) < 1:
        raise UsageError(
            "a size is height x width", got=f"--size {text}", fix="such as --size 480x640"
        )
    return sides


def _settings(
    files: Sequence[ModelFile], engine: str, threads: Sequence[int], batches: Sequence[int]
) -> list[Setting]:
    engines = installed_engines() if engine == "auto" else (engine,)
    settings: list[Setting] = []
    for file in files:
        settings += settings_of(file, engines=engines, threads=threads, batches=batches)
    return settings


def _sizes(file: ModelFile, wanted: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    """Of the picture, and of what the network is given."""
    rule = file.card.preprocessing
    picture = picture_size(wanted, rule)
    return picture, plan_input(picture, rule).padded


def _latency(row: Row) -> float:
    return row.median


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.model,
        row.runs_in,
        str(row.threads),
        str(row.batch),
        f"{row.median:.1f}",
        f"{row.p95:.1f}",
        f"{row.throughput:.1f}",
        str(row.runs),
    )


def _told(row: Row) -> str:
    return f"{row.model}, {row.runs_in}, threads {row.threads}, batch {row.batch}"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(bench)
