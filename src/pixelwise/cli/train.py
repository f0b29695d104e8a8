"""`pixelwise train`: from a folder of pictures and masks to a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from pixelwise.cli.output import fail, print_json, print_line
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.extras import extra

if TYPE_CHECKING:
    from pixelwise.training.choose import Choice
    from pixelwise.training.run import Run

__all__ = ["app"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_CHOICES = "Choices of the plan"


def _seconds(budget: str) -> float:
    """A time such as `90s`, `30m`, `2h`, `1h30m`.

    Raises:
        UsageError: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", budget.lower())
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[smhd]\s*)+", budget.lower()) or seconds <= 0:
        raise UsageError("this is no time", got=f"--budget {budget}", fix="write 90s, 30m or 2h")
    return seconds


def _value(text: str) -> object:
    """What a flag says: numbers, words, pairs such as 385x513 or 0.5,0.5,0.5."""
    if re.fullmatch(r"\d+[x×]\d+", text):
        return [int(side) for side in re.split("[x×]", text)]
    if "," in text and not text.startswith(("{", "[")):
        text = f"[{text}]"
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        try:
            return float(value)  # YAML takes 1e-3 for a word
        except ValueError:
            return value
    return value


def _train(
    data: list[Path],
    output: Path | None,
    plan: Path | None,
    budget: str | None,
    resume: Path | None,
    finetune: str | None,
    dry_run: bool,
    json_output: bool,
    **choices: str | None,
) -> None:
    try:
        with extra("train"):
            from pixelwise.training import run as running
        if resume is not None:
            _report(running.resume(resume), json_output=json_output)
            return
        fixed = _fixed(data, plan, finetune, choices)
        seconds = None if budget is None else _seconds(budget)
        prepared = running.choose_plan(fixed, budget_seconds=seconds)
        _show(prepared.choice, json_output=json_output and dry_run)
        if dry_run:
            return
        if output is None:
            raise UsageError("where the run is kept is missing", fix="add -o runs/NAME")
        _report(running.train(prepared, output), json_output=json_output)
    except PixelwiseError as error:
        fail(error)


def _fixed(
    data: list[Path], plan: Path | None, finetune: str | None, choices: Mapping[str, str | None]
) -> dict[str, object]:
    """What is not left to be chosen: the plan's file first, then the flags."""
    from pixelwise.training.plan import read_choices

    fixed: dict[str, object] = {} if plan is None else read_choices(plan)
    if data:
        fixed["data"] = [{"path": str(path)} for path in data]
    if finetune is not None:
        fixed["start_from"] = finetune
    fixed |= {name: _value(text) for name, text in choices.items() if text is not None}
    if not fixed.get("data"):
        raise UsageError(
            "there is no data to learn from",
            fix="give the folder of a data set: pixelwise train DATA -o runs/a",
        )
    return fixed


def _show(choice: Choice, *, json_output: bool) -> None:
    from pixelwise.training.choose import table

    if json_output:
        print_json({"plan": choice.plan.model_dump(mode="json"), "reasons": dict(choice.reasons)})
        return
    for name, value, reason in table(choice):
        print_line(f"  {name:20} {value:24} {reason}")


def _report(run: Run, *, json_output: bool) -> None:
    if run.finished is None:
        return
    scores = run.finished.scores
    if json_output:
        print_json(
            {
                "model": str(run.finished.model),
                "protocol": run.finished.protocol,
                "mean_iou": scores.mean_iou,
                "pixel_accuracy": scores.pixel_accuracy,
                "best_epoch": run.outcome.best_epoch,
                "ended": run.outcome.why,
                "seconds": run.seconds,
            }
        )
        return
    print_line(f"mIoU {100 * scores.mean_iou:.1f} %: {run.finished.protocol}")
    print_line(f"{run.finished.model}")


def _with_choices(function: Callable[..., None]) -> Callable[..., None]:
    """The command, with a flag for every choice of the plan."""
    from pixelwise.training.plan import TrainingPlan, explanations

    told = explanations()
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in (
            ("data", Annotated[list[Path], typer.Argument(help="Folders of data sets.")], None),
            (
                "output",
                Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the run.")],
                None,
            ),
            ("plan", Annotated[Path | None, typer.Option(help="Plan to follow, YAML.")], None),
            ("budget", Annotated[str | None, typer.Option(help="Time: 30m, 2h.")], None),
            ("resume", Annotated[Path | None, typer.Option(help="Go on with a run.")], None),
            ("finetune", Annotated[str | None, typer.Option(help="Model to start from.")], None),
            ("dry_run", Annotated[bool, typer.Option(help="Only show the plan.")], False),
            ("json_output", Annotated[bool, typer.Option("--json", help="Print JSON.")], False),
        )
    ]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None, typer.Option(help=told[name], rich_help_panel=_CHOICES)
            ],
        )
        for name in TrainingPlan.model_fields
        if name not in ("data", "card", "start_from")
    ]

    def command(**arguments: Any) -> None:
        function(**arguments)

    command.__doc__ = "Trains a model on a data set: without any option, one that fits it."
    command.__name__ = "train"
    command.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in [*own, *flags]}
    return command


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(_with_choices(_train))
