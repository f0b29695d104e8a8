"""`pixelwise tune-refine`: whether refinement helps a model, and with which settings."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pixelwise.cli.budget import seconds_of
from pixelwise.cli.data.options import (
    ClassesOption,
    DataArgument,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    RestOption,
    SplitsOption,
    ValidOption,
    open_from,
)
from pixelwise.cli.judging import MapOption, ThreadsOption, Work
from pixelwise.cli.output import (
    ExitCode,
    fail,
    print_columns,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.cli.refinement import superpixels
from pixelwise.data.wording import counted, percent
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.evaluation.matching import read_rules
from pixelwise.evaluation.opening import refuse_layers, set_subjects, set_truth, source_of
from pixelwise.evaluation.protocol import card_of, card_rows
from pixelwise.evaluation.refine_search import flags_of
from pixelwise.evaluation.tune_refine import steps_of
from pixelwise.evaluation.tune_refine import tune_refine as tuned

if TYPE_CHECKING:
    from pixelwise.evaluation.compare import Difference
    from pixelwise.evaluation.tune_refine import RefinementTuning
    from pixelwise.inference.card import Card

__all__ = ["app"]

_VALIDATION = "val"
_TITLES = {
    "mean_iou": "mIoU",
    "mean_boundary_iou": "mean boundary IoU",
    "mean_boundary_f": "mean boundary F",
}

# What the protocol card has besides goes to --json.
_SHOWN = ("predictions", "data", "split", "training", "map", "interval")

app = typer.Typer(add_completion=False)


@app.command()
def tune_refine(
    model: Annotated[
        str,
        typer.Argument(help="Name of a shipped model, a model file, or the folder of a run."),
    ],
    path: DataArgument,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split to search on; the model must not have learned from it.",
            show_default="val; without splits the pictures that the run kept back, or all",
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time for the search, such as 90s, 30m or 2h.")
    ] = "10m",
    by: Annotated[
        Literal["group", "image"],
        typer.Option(help="What is kept whole: groups (videos, scenes, …), or single pictures."),
    ] = "group",
    maps: MapOption = None,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    threads: ThreadsOption = 0,
) -> None:
    """Search settings of refinement, and say whether they help on other pictures.

    Settings are chosen by some pictures and judged on others. They are recommended only where the
    95 % interval of the difference of mIoU lies above 0, and boundary IoU does not fall.

    Exit code 0: done, whether anything is recommended or not; 1: done, but pictures could not be
    read; 2: could not be done.
    """
    try:
        seconds = seconds_of(budget)
        rules = read_rules(maps or [])
        source = source_of(model)
        if not source.model:
            raise UsageError(
                "a model is needed, and these are predictions",
                where=model,
                fix="give the name of a model, a model file, or the folder of a run",
            )
        work = Work("auto", "cpu", threads)
        loaded = work.loaded(source.model)
        _refuse_layers(loaded.card)
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
        chosen = split or (_VALIDATION if dataset.splits else None)
        truth = set_truth(dataset, chosen, [source])
        refuse_layers(truth)
        (subject,) = set_subjects([source], truth, rules, loaded=lambda _: loaded)
        with progress_bar(steps_of(len(truth.names))) as advance:
            result = tuned(
                subject,
                by=by,
                superpixels=superpixels if find_spec("skimage") else None,
                seconds=seconds,
                workers=work.workers,
                progress=advance,
            )
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json_output:
        print_json(_document(result))
    else:
        _print(result)
    if result.faults:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _refuse_layers(card: Card) -> None:
    if card.postprocessing.activation == "sigmoid":
        raise UsageError(
            "classes of this model lie over each other, and refinement gives each pixel one",
            where=card.name,
            fix="give a model of one class for each pixel",
        )


def _document(result: RefinementTuning) -> dict[str, Any]:
    comparison = result.comparison
    return {
        "recommended": None if result.recommended is None else flags_of(result.recommended),
        "reason": result.reason,
        "figures": {key: vars(each) for key, each in result.differences.items()},
        "chosen": flags_of(result.chosen),
        "chosen_by_others": [flags_of(each) for each in result.parts],
        "steps": {
            kind: {"settings": flags_of(single.refinement), "gain": single.gain}
            for kind, single in result.singles.items()
        },
        "searched": result.searched,
        "groups": result.grouping,
        "notes": list(result.notes),
        "protocol": card_of(comparison.a),
        "faults": [asdict(fault) for fault in result.faults],
    }


def _print(result: RefinementTuning) -> None:
    comparison = result.comparison
    print_columns(
        ("", "as it is", "refined", "difference", "95 % interval", "better"),
        [(_TITLES[key], *_cells(each)) for key, each in result.differences.items()],
        title=f"on {counted(len(comparison.names), 'picture')}, each refined with what was chosen "
        "by others:",
    )
    print_line("")
    if result.singles:
        print_columns(
            ("each step by itself, at its best", "mIoU"),
            [
                (flags_of(single.refinement), f"{100 * single.gain:+.2f}")
                for single in result.singles.values()
            ],
            title=f"on the {counted(result.searched, 'picture')} that the search went by, so a "
            "little too good:",
        )
        print_line("")
    for title, text in card_rows(card_of(comparison.a)):
        if title in _SHOWN:
            print_wrapped(f"{title}: {text}")
    print_wrapped(f"groups: {result.grouping}")
    for note in result.notes:
        print_wrapped(note)
    for fault in result.faults:
        print_wrapped(f"left out: {fault.file}: {fault.what} {fault.got}".rstrip())
    print_line("")
    if result.recommended is None:
        outcome = "refinement does not help" if result.singles else "nothing is recommended"
        print_wrapped(f"{outcome}: {result.reason}")
        return
    print_wrapped(f"refinement helps: {result.reason}")
    print_line(f"recommended: {flags_of(result.recommended)}")


def _cells(each: Difference) -> tuple[str, ...]:
    interval = "n/a"
    if each.low is not None and each.high is not None:
        interval = f"{100 * each.low:+.2f} … {100 * each.high:+.2f}"
    difference = "n/a" if each.difference is None else f"{100 * each.difference:+.2f}"
    return _share(each.a), _share(each.b), difference, interval, percent(each.better)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.2f} %"
