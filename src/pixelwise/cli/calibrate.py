"""`pixelwise calibrate`: probabilities that mean what they say, into a new model file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pixelwise.cli.data.options import (
    ClassesOption,
    DataArgument,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    RestOption,
    SplitsOption,
    ValidOption,
    WorkersOption,
    open_from,
    refuse_taken,
)
from pixelwise.cli.judging import MapOption, Work
from pixelwise.cli.output import (
    ExitCode,
    fail,
    print_columns,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import OutputExistsError, PixelwiseError
from pixelwise.formats.files import named, write_atomic
from pixelwise.percentages import percent
from pixelwise.temperature import LocalTemperature, Temperature

if TYPE_CHECKING:
    from pixelwise.cli.thresholds import Calibrated
    from pixelwise.data import Dataset
    from pixelwise.evaluation.calibrate import CalibrationKind, CalibrationResult, Figure
    from pixelwise.evaluation.matching import Rule
    from pixelwise.evaluation.pixels import PixelSample
    from pixelwise.evaluation.sources import SetTruth
    from pixelwise.inference.predictor import Model

__all__ = ["app"]

_VALIDATION = "val"

app = typer.Typer(add_completion=False)


@app.command()
def calibrate(
    model: Annotated[
        str, typer.Argument(help="Name of a shipped model, or a model file; it is not changed.")
    ],
    path: DataArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The new model file (.onnx).")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Split to calibrate on; the model must not have learned from it.",
            show_default="val; all pictures where there are no splits",
        ),
    ] = None,
    kind: Annotated[
        Literal["global", "per-class", "local", "auto"] | None,
        typer.Option(
            help="One temperature for all classes, one for each, or one for each place; auto: "
            "whichever makes other pictures likeliest.",
            show_default="global",
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(help="Also find prediction sets that hold the truth so often, such as 0.9."),
    ] = None,
    by: Annotated[
        Literal["group", "image"],
        typer.Option(help="What is kept whole: groups (videos, scenes, …), or single pictures."),
    ] = "group",
    maps: MapOption = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    workers: WorkersOption = 0,
) -> None:
    """Fit temperatures on pictures the model did not learn from, and write a new model file.

    Labels stay the same. What it brings is measured on pictures that had no part in the fit.
    Of a model whose classes lie over each other, thresholds of the highest IoU are found instead.

    Exit code 0: done; 1: done, but pictures could not be read; 2: could not be done, nothing was
    written.
    """
    from pixelwise.cli.thresholds import refuse_softmax_options, tuned
    from pixelwise.evaluation.matching import read_rules
    from pixelwise.evaluation.opening import set_truth
    from pixelwise.inference.model_file import with_other_card

    try:
        target = named(output, ".onnx")
        refuse_taken(target, overwrite=overwrite)
        rules = read_rules(maps or [])
        work = Work("auto", "cpu", workers)
        loaded = work.loaded(model)
        _refuse_itself(target, loaded.file.path)
        if loaded.is_multi_label:
            refuse_softmax_options(loaded, kind, coverage)
        dataset = open_from(
            path,
            layout=layout,
            classes=classes,
            images=images,
            masks=masks,
            valid=valid,
            rest=rest,
            splits=splits,
            kind="multi_label" if loaded.is_multi_label else None,
        )
        truth = set_truth(dataset, split or (_VALIDATION if dataset.splits else None))
        data = _named(dataset, truth.split)
        if loaded.is_multi_label:
            done = tuned(loaded, truth, rules, data=data, by=by, workers=work.workers)
        else:
            asked = _Asked(kind or "global", coverage, by, work.workers)
            done = _fitted(loaded, truth, rules, data, asked)
        new = with_other_card(loaded.file, done.card, target)
        write_atomic(target, new.content)
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(_document(done, target, new.sha256))
    else:
        done.tell()
        for fault in done.faults:
            print_wrapped(f"left out: {fault.file}: {fault.what} {fault.got}".rstrip())
        print_line(f"written: {target}")
    if done.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


@dataclass(frozen=True)
class _Asked:
    """The options of temperatures."""

    kind: CalibrationKind
    coverage: float | None
    by: Literal["group", "image"]
    workers: int


def _fitted(
    model: Model, truth: SetTruth, rules: Sequence[Rule], data: str, asked: _Asked
) -> Calibrated:
    """Temperatures."""
    from pixelwise.cli.thresholds import Calibrated
    from pixelwise.evaluation.calibrate import calibrate as fit
    from pixelwise.evaluation.calibrate import calibrated_card, needs_corners
    from pixelwise.evaluation.conformal import check_coverage
    from pixelwise.evaluation.opening import Source, refuse_layers, set_subjects
    from pixelwise.evaluation.pixels import sample_pixels

    refuse_layers(truth)
    source = Source(model.card.name, None)
    (subject,) = set_subjects([source], truth, rules, loaded=lambda _: model)
    if asked.coverage is not None:
        check_coverage(asked.coverage, len(truth.names))
    current = model.card.postprocessing.temperature
    with progress_bar(len(truth.names)) as advance:
        sample = sample_pixels(
            subject,
            by=asked.by,
            corners=needs_corners(asked.kind, current),
            workers=asked.workers,
            progress=advance,
        )
    result = fit(sample, data=data, current=current, kind=asked.kind, coverage=asked.coverage)
    return Calibrated(
        card=calibrated_card(model.card, result),
        faults=sample.faults,
        document={**asdict(result), "grouping": sample.grouping},
        tell=partial(_print, result, sample),
    )


def _refuse_itself(target: Path, source: Path) -> None:
    if target.exists() and target.samefile(source):
        raise OutputExistsError(
            "the model would be replaced by its calibrated form",
            where=str(target),
            fix="name another file with -o",
        )


def _named(dataset: Dataset, split: str) -> str:
    """What the pictures are."""
    name = dataset.root.resolve().name
    return f"{name} {split}" if split else f"{name}, all pictures"


def _document(done: Calibrated, target: Path, sha256: str) -> dict[str, Any]:
    return {
        **_without_nan(done.document),
        "model": str(target),
        "sha256": sha256,
        "faults": [asdict(fault) for fault in done.faults],
    }


def _without_nan(facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null in its place."""
    return {key: _plain(value) for key, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return _without_nan(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(result: CalibrationResult, sample: PixelSample) -> None:
    print_wrapped(result.protocol)
    print_wrapped(f"groups: {sample.grouping}")
    print_line("")
    print_columns(
        ("", "before", "95 % interval", "after", "95 % interval"),
        [
            (name, *_cells(before), *_cells(result.after[name]))
            for name, before in result.before.items()
        ],
    )
    print_line("")
    if len(result.tried) > 1:
        print_columns(
            ("kind", "NLL after", "95 % interval"),
            [(kind, *_cells(figures["NLL"])) for kind, figures in result.tried.items()],
        )
        print_line("")
    if result.helps:
        print_wrapped(
            f"{result.kind} temperature {_told(result.temperature)}; the likelihood of other "
            f"pictures rises with a probability of {percent(result.better)}"
        )
    else:
        print_wrapped(
            "no temperature makes the probabilities of other pictures better: it stays as it was"
        )
    _print_coverage(result)
    _print_quality(result)


def _told(temperature: Temperature) -> str:
    if isinstance(temperature, tuple):
        return f"{min(temperature):.3f} to {max(temperature):.3f}"
    return str(temperature) if isinstance(temperature, LocalTemperature) else f"{temperature:.3f}"


def _print_coverage(result: CalibrationResult) -> None:
    if result.coverage is None:
        return
    found = result.coverage
    text = (
        f"prediction sets for {percent(found.wanted)}: the label, and classes from a probability "
    )
    text += f"of {found.threshold:.4g} on"
    if found.measured is None or found.size is None:
        text += "; too few pictures to measure it on others"
    else:
        text += (
            f"; on other pictures {percent(found.measured.value)} covered (95 % interval "
            f"{percent(found.measured.low)} to {percent(found.measured.high)}), "
            f"{found.size.value:.2f} classes on the mean"
        )
    print_wrapped(text)


def _print_quality(result: CalibrationResult) -> None:
    found = result.quality
    text = "the expected mean IoU ranks pictures by their true one with a correlation of "
    text += "n/a" if math.isnan(found.value) else f"{found.value:.2f}"
    if not math.isnan(found.low):
        text += f" (95 % interval {found.low:.2f} to {found.high:.2f})"
    print_wrapped(text)


def _cells(figure: Figure) -> tuple[str, str]:
    if math.isnan(figure.low):
        return f"{figure.value:.4f}", "n/a"
    return f"{figure.value:.4f}", f"{figure.low:.4f} – {figure.high:.4f}"
