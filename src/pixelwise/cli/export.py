"""`pixelwise export`: another form of a model, let out only if it answers as the model does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.data.options import (
    ClassesOption,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    RestOption,
    SplitsOption,
    ValidOption,
    open_from,
    refuse_taken,
)
from pixelwise.cli.evaluate import print_faults
from pixelwise.cli.judging import MapOption, Opening, SplitOption, ThreadsOption
from pixelwise.cli.output import (
    ExitCode,
    error_facts,
    fail,
    print_columns,
    print_error,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.errors import ExportRefusedError, PixelwiseError, UsageError
from pixelwise.extras import extra
from pixelwise.formats.files import named
from pixelwise.percentages import percent

if TYPE_CHECKING:
    from pixelwise.export.pictures import Pictures
    from pixelwise.export.run import Exported, Progress, Subjects
    from pixelwise.inference.model_file import ModelFile

__all__ = ["app"]

_COUNT = 16
_TRAIN = "train"
_LAYERS_SHOWN = 8


def export(
    model: Annotated[
        str,
        typer.Argument(help="Name of a shipped model, a model file, or the folder of a run."),
    ],
    to: Annotated[
        str,
        typer.Option("--to", help="onnx, openvino, onnx-int8, openvino-int8 or bf16."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The new model file (.onnx).", show_default="MODEL.TARGET.onnx"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set: calibrate on its split train, judge by the other, mIoU included."
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures without truth, to calibrate and compare on."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, max=10_000, help="Pictures to calibrate on.")
    ] = _COUNT,
    accept_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Points of mIoU that may be lost on --data, which then decides alone.",
            show_default="0.1; bf16 0.2; int8 0.3",
        ),
    ] = None,
    split: SplitOption = None,
    map_: MapOption = None,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    threads: ThreadsOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a model: quantised to int8, for OpenVINO, or as plain ONNX; always one file.

    Both are given the same pictures at odd sizes, and the same data set if there is one. An export
    that answers otherwise is refused.

    Exit code 0: written; 1: refused, nothing was written; 2: could not be done, nothing was
    written; 130: interrupted.
    """
    try:
        with extra("train"):
            from pixelwise.export.run import export as exported
        from pixelwise.evaluation.opening import source_of
        from pixelwise.export.targets import target_of
        from pixelwise.inference.model_file import read_model

        target = target_of(to)
        source = source_of(model)
        file = read_model(source.model or model)
        own = Path(model).name.removesuffix(".onnx")
        path = named(output or Path(f"{own}.{target.name}.onnx"), ".onnx")
        refuse_taken(path, overwrite=overwrite)
        _refuse_itself(path, file.path)
        if accept_drop is not None and data is None:
            raise UsageError(
                "what is lost is measured on a data set",
                got=f"--accept-drop {accept_drop:g}",
                fix="give --data DATASET beside it",
            )
        opening = Opening(layout, classes, images, masks, valid, rest, splits)
        calibration, samples, subjects = _material(
            model,
            data,
            pictures,
            opening,
            count=count if target.precision == "int8" else 0,
            split=split,
            rules=map_ or (),
        )
        with _told() as progress:
            result = exported(
                file,
                target,
                path,
                samples=samples,
                calibration=calibration,
                data=subjects,
                accepted=accept_drop,
                threads=threads,
                progress=progress,
            )
    except ExportRefusedError as error:
        if json_output:
            print_json({"written": False, **error_facts(error)})
        print_error(error)
        raise typer.Exit(ExitCode.SOME_FAILED) from None
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(_document(result, file))
    else:
        _print(result, file)
    if result.comparison is not None:
        print_faults(result.comparison.a)


def _refuse_itself(target: Path, source: Path) -> None:
    if target.exists() and target.samefile(source):
        raise UsageError(
            "the model would be replaced by its export",
            where=str(target),
            fix="name another file with -o",
        )


def _material(
    model: str,
    data: Path | None,
    pictures: Path | None,
    opening: Opening,
    *,
    count: int,
    split: str | None,
    rules: Sequence[str],
) -> tuple[Pictures | None, Pictures, Subjects | None]:
    """Pictures to calibrate on where a count is given, to compare on, and what is judged by."""
    from pixelwise.export.pictures import from_folder, shipped

    if data is not None and pictures is not None:
        raise UsageError(
            "pictures are named twice", got="--data and --pictures", fix="give one of them"
        )
    if data is not None:
        return _of_data(data, opening, count=count, split=split, rules=rules)
    found = shipped(model) if pictures is None else from_folder(pictures)
    if found is None:
        raise UsageError(
            "an export is compared with its model on pictures, and no free ones ship for this one",
            where=model,
            fix="give --data DATASET, or --pictures FOLDER",
        )
    if not count:
        return None, found.compared(), None
    return *found.halves(count), None


def _of_data(
    data: Path, opening: Opening, *, count: int, split: str | None, rules: Sequence[str]
) -> tuple[Pictures | None, Pictures, Subjects]:
    from dataclasses import replace

    from pixelwise.evaluation.matching import read_rules
    from pixelwise.evaluation.opening import ALL, Source, set_subjects, set_truth
    from pixelwise.export.pictures import from_dataset

    chosen = read_rules(rules)
    dataset = open_from(data, **vars(opening))
    truth = set_truth(dataset, split)
    name = dataset.root.resolve().name
    calibration = None
    if count and _TRAIN in dataset.splits and truth.split not in (_TRAIN, ALL, ""):
        calibration = from_dataset(dataset.split(_TRAIN), f"{name} {_TRAIN}").drawn(count)
    elif count:
        # What ranges were measured on judges nothing.
        every = from_dataset(truth.dataset, f"{name} {truth.split}".rstrip())
        calibration, _ = every.halves(count)
        kept = set(calibration.names) if len(every) > 1 else set()
        places = [
            place for place, entry in enumerate(truth.dataset.entries) if entry.name not in kept
        ]
        truth = replace(truth, dataset=truth.dataset.subset(places))
    judged = from_dataset(truth.dataset, f"{name} {truth.split}".rstrip())
    return (
        calibration,
        judged.compared(),
        lambda models: set_subjects(
            [Source(str(place), None) for place in range(len(models))],
            truth,
            chosen,
            loaded=lambda place: models[int(place)],
        ),
    )


@contextmanager
def _told() -> Iterator[Progress | None]:
    """Shows on standard error what is being done, for people only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def _document(result: Exported, original: ModelFile) -> dict[str, Any]:
    search = result.search
    return {
        "written": True,
        "model": str(result.file.path),
        "sha256": result.file.sha256,
        "bytes": len(result.file.content),
        "original": {"path": str(original.path), "bytes": len(original.content)},
        "verdict": result.verdict.model_dump(mode="json"),
        "pictures": [asdict(each) for each in result.agreement.pictures],
        "layers": [] if search is None else [asdict(each) for each in search.sensitivities],
    }


def _print(result: Exported, original: ModelFile) -> None:
    verdict = result.verdict
    if verdict.calibration:
        print_wrapped(f"calibrated on: {verdict.calibration}")
    print_wrapped(f"compared on: {verdict.protocol}")
    print_line("")
    print_columns(
        ("picture", "size", "labels that agree", "score error"),
        [
            (
                each.name,
                f"{each.size[1]}×{each.size[0]}",
                percent(each.agreement, 2),
                f"{each.score_error:.3g}",
            )
            for each in result.agreement.pictures
        ],
    )
    print_line("")
    if result.search is not None and result.search.sensitivities:
        print_wrapped(
            "layers that bear 8 bits worst, by the error of the scores when they alone are "
            "quantised:"
        )
        kept = set(result.search.floats)
        print_columns(
            ("layer", "error", "labels that agree", ""),
            [
                (
                    each.layer,
                    percent(each.error),
                    percent(each.agreement, 2),
                    "stays in float32" if each.layer in kept else "",
                )
                for each in result.search.sensitivities[: max(_LAYERS_SHOWN, len(kept))]
            ],
        )
        print_line("")
    print_wrapped(
        f"{percent(verdict.agreement, 2)} of the labels agree, {percent(verdict.worst, 2)} "
        f"in the worst picture; scores differ by {verdict.score_error:.3g} at most, of a spread of "
        f"{verdict.score_spread:.3g}"
    )
    if verdict.drop is not None:
        print_wrapped(verdict.drop.describe())
    before, after = (len(file.content) / 1e6 for file in (original, result.file))
    print_line(f"written: {result.file.path}, {after:.1f} MB ({before:.1f} MB before)")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(export)
