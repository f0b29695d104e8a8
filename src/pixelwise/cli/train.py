"""`pixelwise train`: from a folder of pictures and masks to a model."""

from __future__ import annotations

import inspect
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from pixelwise.cli.budget import seconds_of
from pixelwise.cli.data.options import (
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    RestOption,
    SplitsOption,
    ValidOption,
)
from pixelwise.cli.output import ExitCode, fail, print_json, print_line
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.extras import extra

if TYPE_CHECKING:
    from pixelwise.training.choose import Choice
    from pixelwise.training.run import Run

__all__ = ["app"]

_CHOICES = "Choices of the plan: what is not given is chosen"
_OPENING = ("layout", "images", "masks", "valid", "rest", "splits")
_NAME_WIDTH, _VALUE_WIDTH, _NARROWEST = 20, 18, 40


def _train(arguments: Mapping[str, Any]) -> None:
    try:
        with extra("train"):
            from pixelwise.training import run as running
            from pixelwise.training.allocator import keep_freed_memory
            from pixelwise.training.distributed import is_first_process
            from pixelwise.training.progress_view import ProgressView
        keep_freed_memory()
        first = is_first_process()
        json_output = bool(arguments["json_output"])
        view = ProgressView(verbose=True) if first else None
        if arguments["resume"] is not None:
            _refuse_others(arguments)
            run = running.resume(arguments["resume"], observer=view)
        elif arguments["dry_run"] or arguments["lr_find"]:
            _without_training(arguments)
            return
        else:
            if arguments["output"] is None:
                raise UsageError("where the run is kept is missing", fix="add -o runs/NAME")
            run = running.train(
                _fixed(arguments),
                arguments["output"],
                budget_seconds=seconds_of(arguments["budget"]),
                show=None if json_output else _show,
                observer=view,
                bar=progress_bar,
            )
    except PixelwiseError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; {_how_to_go_on(arguments)}\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if first:
        _report(run, json_output=json_output)


def _without_training(arguments: Mapping[str, Any]) -> None:
    """Shows the plan, or looks for a learning rate; nothing is written."""
    from pixelwise.training import run as running

    seconds = seconds_of(arguments["budget"])
    prepared = running.choose_plan(_fixed(arguments), budget_seconds=seconds, bar=progress_bar)
    choice = prepared.choice
    if arguments["lr_find"]:
        with progress_bar(running.RATE_STEPS) as progress:
            found = running.find_rate(prepared, progress=progress)
        facts = {"learning_rate": found.suggestion, "diverged": found.diverged}
        if arguments["json_output"]:
            curve = {"rates": found.rates.tolist(), "losses": found.losses.tolist()}
            print_json({**facts, **curve})
            return
        print_line(f"learning rate {found.suggestion:.2g}: there the loss fell fastest")
        print_line(f"  the plan has {choice.plan.learning_rate:.2g}; take it with --learning-rate")
        return
    if arguments["json_output"]:
        print_json(
            {
                "plan": choice.plan.model_dump(mode="json"),
                "reasons": dict(choice.reasons),
                "warnings": list(choice.warnings),
                "seconds": choice.seconds,
            }
        )
        return
    _show(choice)


def _value(text: str, *, words: bool) -> object:
    """What a flag says: numbers, pairs such as 385x513 or 0.5,0.5,0.5; or words as they are."""
    if words:
        return None if text == "null" else text
    if re.fullmatch(r"\d+[x×]\d+", text):
        return [int(side) for side in re.split("[x×]", text)]
    if "," in text and not text.startswith(("{", "[")):
        text = f"[{text}]"
    try:
        value: object = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return text
    try:
        # YAML takes 1e-3 for a word.
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _give_table(fixed: dict[str, object]) -> None:
    """`--classes` of a single data set is its own table, as in `pixelwise data`, unless YAML."""
    sources, classes = fixed.get("data"), fixed.get("classes")
    if not isinstance(classes, str) or not isinstance(sources, list) or len(sources) != 1:
        return
    if Path(classes).suffix.lower() not in (".yaml", ".yml") and isinstance(sources[0], dict):
        sources[0]["classes"] = classes
        del fixed["classes"]


def _lasting(value: object) -> str:
    """A path that means the same when the run goes on from another folder; a pattern as it is."""
    return str(value.absolute()) if isinstance(value, Path) else str(value)


def _fixed(arguments: Mapping[str, Any]) -> dict[str, object]:
    """What is not left to be chosen: the plan's file first, then the flags.

    Raises:
        UsageError: lists every choice that cannot be.
    """
    from pixelwise.training.plan import TrainingPlan, make_plan, read_choices

    plan = arguments["plan"]
    fixed: dict[str, object] = {} if plan is None else read_choices(plan)
    if arguments["data"]:
        told = {name: arguments[name] for name in _OPENING if arguments[name] is not None}
        told = {name: _lasting(value) for name, value in told.items()}
        fixed["data"] = [{"path": _lasting(path), **told} for path in arguments["data"]]
    if arguments["finetune"] is not None:
        # The plan may be of another start and name weights of the encoder; the flag is still heard.
        fixed |= {"start_from": arguments["finetune"], "encoder_weights": None}
    for name in TrainingPlan.model_fields:
        if arguments.get(name) is not None and name != "data":
            words = TrainingPlan.model_fields[name].annotation in (str, str | None)
            fixed[name] = _value(arguments[name], words=words)
    _give_table(fixed)
    if not fixed.get("data"):
        raise UsageError(
            "there is no data to learn from",
            fix="give the folder of a data set: pixelwise train DATA -o runs/a",
        )
    make_plan(fixed, where="the flags" if plan is None else f"{plan}, and the flags")
    return fixed


def _refuse_others(arguments: Mapping[str, Any]) -> None:
    """A run goes on by its own plan.

    Raises:
        UsageError: something else is asked for, too.
    """
    others = [
        "--" + name.replace("_", "-")
        for name, value in arguments.items()
        if value and name not in ("resume", "json_output")
    ]
    if others:
        raise UsageError(
            "a run goes on by the plan that it began with",
            got=f"--resume with {', '.join(others)}",
            fix="leave the others out, or begin a new run: --plan RUN/plan.yaml --finetune RUN",
        )


def _how_to_go_on(arguments: Mapping[str, Any]) -> str:
    folder = arguments["resume"] or arguments["output"]
    if folder is not None and (folder / "plan.yaml").is_file():
        return f"go on with: pixelwise train --resume {folder}"
    return "nothing was begun"


def _show(choice: Choice) -> None:
    """The plan as a table: choice, value, reason."""
    from pixelwise.training.choose import table

    width = max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns)
    first = _NAME_WIDTH + _VALUE_WIDTH + 4
    for name, value, reason in table(choice):
        head = f"  {name:{_NAME_WIDTH}}{value:{_VALUE_WIDTH}}"
        lines = textwrap.wrap(reason, max(_NARROWEST, width - first)) or [""]
        if len(value) >= _VALUE_WIDTH:
            print_line(head.rstrip())
            head = ""
        for number, line in enumerate(lines):
            print_line(f"{head if number == 0 else '':{first}}{line}".rstrip())
    for warning in choice.warnings:
        print_line(f"note: {warning}")


def _report(run: Run, *, json_output: bool) -> None:
    finished = run.finished
    if finished is None:
        return
    if run.was_over:
        sys.stderr.write("the training had ended before; its model and report were made anew\n")
    if json_output:
        print_json(
            {
                "model": str(finished.model),
                "report": str(run.folder.path / "report.html"),
                "scores": [
                    {
                        "protocol": each.protocol,
                        "mean_iou": each.scores.mean_iou,
                        "interval": None
                        if each.interval is None
                        else [each.interval.low, each.interval.high],
                        "pixel_accuracy": None
                        if math.isnan(each.scores.pixel_accuracy)
                        else each.scores.pixel_accuracy,
                        "mean_dice": each.scores.mean_dice,
                    }
                    for each in finished.scores
                ],
                "best_epoch": run.outcome.best_epoch,
                "ended": run.outcome.why,
                "seconds": round(run.seconds, 1),
            }
        )
        return
    for each in finished.scores:
        sure = each.interval
        range_ = "" if sure is None else f" ({100 * sure.low:.1f} to {100 * sure.high:.1f})"
        print_line(f"mIoU {100 * each.scores.mean_iou:.1f} %{range_}: {each.protocol}")
    print_line(f"report: {run.folder.path / 'report.html'}")
    print_line(f"model: {finished.model}")
    print_line(f"try it: pixelwise predict PHOTO --model {finished.model}")


def _own_parameters() -> list[inspect.Parameter]:
    kinds: list[tuple[str, Any, object]] = [
        (
            "data",
            Annotated[list[Path] | None, typer.Argument(help="Folders of data sets.")],
            None,
        ),
        (
            "output",
            Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the run.")],
            None,
        ),
        (
            "budget",
            Annotated[str | None, typer.Option(help="Time for all of it: 30m, 2h.")],
            None,
        ),
        (
            "plan",
            Annotated[Path | None, typer.Option(help="Choices to follow: a plan.yaml.")],
            None,
        ),
        ("resume", Annotated[Path | None, typer.Option(help="Go on with the run there.")], None),
        (
            "finetune",
            Annotated[
                str | None,
                typer.Option(help="Start from a model: a name, a file, or the folder of a run."),
            ],
            None,
        ),
        ("dry_run", Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")], False),
        (
            "lr_find",
            Annotated[bool, typer.Option("--lr-find", help="Only look for a learning rate.")],
            False,
        ),
        ("layout", LayoutOption, None),
        ("images", ImagesOption, None),
        ("masks", MasksOption, None),
        ("valid", ValidOption, None),
        ("rest", RestOption, None),
        ("splits", SplitsOption, None),
        ("json_output", JsonOption, False),
    ]
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, annotation, default in kinds
    ]


def _command() -> Callable[..., None]:
    """The command, with a flag for every choice of the plan."""
    with extra("train"):
        from pixelwise.training.plan import TrainingPlan, explanations
    told = explanations()
    parameters = [
        *_own_parameters(),
        *(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    str | None,
                    typer.Option(help=told[name], metavar="VALUE", rich_help_panel=_CHOICES),
                ],
            )
            for name in TrainingPlan.model_fields
            if name not in ("data", "card", "start_from")
        ),
    ]

    def train(**arguments: Any) -> None:
        """Train a model on a data set: what is not said is chosen, and told with its reason.

        The folder of the run holds the plan, the log, checkpoints, a report and the model.
        """
        _train(arguments)

    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {each.name: each.annotation for each in parameters}
    return train


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(_command())
