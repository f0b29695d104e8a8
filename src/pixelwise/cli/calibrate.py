"""`pixelwise calibrate`: probabilities that mean what they say, into a new model file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
from pixelwise.cli.output import (
    ExitCode,
    fail,
    print_columns,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import OutputExistsError, PixelwiseError, UsageError
from pixelwise.formats.files import named, write_atomic
from pixelwise.kernels.checks import usable_cores

if TYPE_CHECKING:
    from pixelwise.data import Dataset
    from pixelwise.evaluation.calibrate import CalibrationResult, Figure
    from pixelwise.evaluation.pixels import PixelSample

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
        Literal["global", "per-class"],
        typer.Option(help="One temperature for all classes, or one for each."),
    ] = "global",
    coverage: Annotated[
        float | None,
        typer.Option(help="Also find prediction sets that hold the truth so often, such as 0.9."),
    ] = None,
    by: Annotated[
        Literal["group", "image"],
        typer.Option(help="What is kept whole: groups (videos, scenes, …), or single pictures."),
    ] = "group",
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OWN=TRUE",
            help="A class of the model and the class of the truth that it is; or a YAML file of "
            "such pairs. Also ignored=TRUE.",
        ),
    ] = None,
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

    Exit code 0: done; 1: done, but pictures could not be read; 2: could not be done, nothing was
    written.
    """
    from pixelwise.evaluation.calibrate import calibrate as fit
    from pixelwise.evaluation.calibrate import calibrated_card
    from pixelwise.evaluation.conformal import check_coverage
    from pixelwise.evaluation.matching import read_rules
    from pixelwise.evaluation.pixels import in_classes_of, sample_pixels
    from pixelwise.inference.model_file import with_other_card
    from pixelwise.inference.predictor import load

    try:
        target = named(output, ".onnx")
        refuse_taken(target, overwrite=overwrite)
        mapping = _mapping(read_rules(maps or []))
        loaded = load(model)
        _refuse_itself(target, loaded.file.path)
        dataset = open_from(
            path,
            layout=layout,
            classes=classes,
            images=images,
            masks=masks,
            valid=valid,
            rest=rest,
            splits=splits,
        )
        part, name = _part(dataset, split)
        part = in_classes_of(part, loaded.classes, mapping)
        if coverage is not None:
            check_coverage(coverage, len(part))
        with progress_bar(len(part)) as advance:
            sample = sample_pixels(
                loaded, part, by=by, workers=workers or usable_cores(), progress=advance
            )
        result = fit(
            sample,
            data=name,
            current=loaded.card.postprocessing.temperature,
            kind=kind,
            coverage=coverage,
        )
        new = with_other_card(loaded.file, calibrated_card(loaded.card, result), target)
        write_atomic(target, new.content)
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(_document(result, sample, target, new.sha256))
    else:
        _print(result, sample, target)
    if sample.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _mapping(rules: Sequence[tuple[str, str]]) -> dict[str, str | None]:
    """From names in the truth to names of the model; None where nothing counts."""
    true = [wanted for _, wanted in rules]
    wrong = [
        f"--map '{own}={wanted}'"
        for own, wanted in rules
        if true.count(wanted) > 1 or own == "others" or wanted in ("nothing", "others")
    ]
    if wrong:
        raise UsageError(
            "probabilities need one class of the model for each class of the truth",
            got=", ".join(wrong),
            fix="such as --map sidewalk=Pavement, or --map ignored=Other for what is not to count",
        )
    return {wanted: None if own == "ignored" else own for own, wanted in rules}


def _refuse_itself(target: Path, source: Path) -> None:
    if target.exists() and target.samefile(source):
        raise OutputExistsError(
            "the model would be replaced by its calibrated form",
            where=str(target),
            fix="name another file with -o",
        )


def _part(dataset: Dataset, split: str | None) -> tuple[Dataset, str]:
    """The pictures to calibrate on, and what they are."""
    name = dataset.root.resolve().name
    if split is None and not dataset.splits:
        return dataset, f"{name}, all pictures"
    chosen = split or _VALIDATION
    return dataset.split(chosen), f"{name} {chosen}"


def _document(
    result: CalibrationResult, sample: PixelSample, target: Path, sha256: str
) -> dict[str, Any]:
    faults = [asdict(fault) for fault in sample.faults]
    return {
        **_without_nan(asdict(result)),
        "grouping": sample.grouping,
        "model": str(target),
        "sha256": sha256,
        "faults": faults,
    }


def _without_nan(facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null in its place."""
    return {key: _plain(value) for key, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return _without_nan(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(result: CalibrationResult, sample: PixelSample, target: Path) -> None:
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
    if result.helps:
        each = result.temperature if isinstance(result.temperature, tuple) else None
        said = (
            f"{result.temperature:.3f}" if each is None else f"{min(each):.3f} to {max(each):.3f}"
        )
        print_wrapped(
            f"temperature {said}; the likelihood of other pictures rises with a probability of "
            f"{result.better:.1%}"
        )
    else:
        print_wrapped(
            "no temperature makes the probabilities of other pictures better: it stays as it was"
        )
    _print_coverage(result)
    _print_quality(result)
    for fault in sample.faults:
        print_wrapped(f"left out: {fault.file}: {fault.what} {fault.got}".rstrip())
    print_line(f"written: {target}")


def _print_coverage(result: CalibrationResult) -> None:
    if result.coverage is None:
        return
    found = result.coverage
    text = f"prediction sets for {found.wanted:.1%}: the label, and classes from a probability of "
    text += f"{found.threshold:.4g} on"
    if found.measured is None or found.size is None:
        text += "; too few pictures to measure it on others"
    else:
        text += (
            f"; on other pictures {found.measured.value:.1%} covered (95 % interval "
            f"{found.measured.low:.1%} to {found.measured.high:.1%}), {found.size.value:.2f} "
            "classes on the mean"
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
