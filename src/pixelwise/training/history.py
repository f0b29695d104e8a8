"""All that the folder of a run holds about its course."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from pixelwise.errors import ModelFileError, UsageError
from pixelwise.inference.model_file import ModelFile, read_model
from pixelwise.training.events import (
    Machine,
    Quarantined,
    RolledBack,
    Score,
    ScoreTime,
    SmallerBatches,
    Start,
    Step,
    StepTime,
    Stopped,
    read_events,
)
from pixelwise.training.picture_counts import PictureCounts, read_picture_counts
from pixelwise.training.run_folder import RunFolder

__all__ = ["Choice", "History", "Incident", "read_history"]

_EXAMPLE = re.compile(r"val_(\d{6,})\.png")

Incident: TypeAlias = Quarantined | RolledBack | SmallerBatches


@dataclass(frozen=True)
class Choice:
    """A line of the plan; the reason is "" where none is written beside it."""

    name: str
    value: Any
    reason: str


@dataclass(frozen=True, eq=False)
class History:
    """A run, finished or not.

    Attributes:
        folder: of the run.
        plan: the choices, in their order.
        start: None where training has not begun.
        steps, scores, incidents: in their order; a file that is left out again and again is told
            once.
        stopped: None where the run is not over.
        seconds: that were spent, steps that a killed process lost among them.
        images_per_second: the median; None where nothing was measured.
        memory_mib: the most that was taken; None where nothing was measured.
        machines: what the run and each continuation of it ran on.
        counts: of the pictures at the best scoring; None where there are none of it.
        model: the finished file; None where there is none yet.
        examples: files of example pictures, by their place in the validation pictures.
    """

    folder: Path
    plan: tuple[Choice, ...]
    start: Start | None
    steps: tuple[Step, ...]
    scores: tuple[Score, ...]
    incidents: tuple[Incident, ...]
    stopped: Stopped | None
    seconds: float
    images_per_second: float | None
    memory_mib: float | None
    machines: tuple[Machine, ...]
    counts: PictureCounts | None
    model: ModelFile | None
    examples: dict[int, Path]

    @property
    def best(self) -> Score | None:
        """The scoring whose weights are kept."""
        return next((score for score in reversed(self.scores) if score.best), None)

    def choice(self, name: str) -> Any:
        """A value of the plan; None where the plan does not say."""
        return next((choice.value for choice in self.plan if choice.name == name), None)


def read_history(folder: Path) -> History:
    """Reads the plan, the logs, the counts, and where the examples lie.

    Raises:
        UsageError: the folder holds no run, or a file of it cannot be read.
    """
    run = RunFolder(folder)
    log = list(read_events(run.log))
    timing = list(read_events(run.timing))
    times = [event for event in timing if isinstance(event, StepTime)]
    memory = [time.memory_mib for time in times if time.memory_mib is not None]
    scores = tuple(event for event in log if isinstance(event, Score))
    counts = read_picture_counts(run.pictures)
    best = next((score for score in reversed(scores) if score.best), None)
    if counts is not None and (best is None or counts.epoch != best.epoch):
        # The process was killed between the one file and the other.
        counts = None
    incidents = [e for e in log if isinstance(e, Quarantined | RolledBack | SmallerBatches)]
    return History(
        folder=folder,
        plan=_read_plan(run.plan),
        start=_last([event for event in log if isinstance(event, Start)]),
        steps=tuple(event for event in log if isinstance(event, Step)),
        scores=scores,
        incidents=tuple(dict.fromkeys(incidents)),
        stopped=_last([event for event in log if isinstance(event, Stopped)]),
        seconds=sum(e.seconds for e in timing if isinstance(e, StepTime | ScoreTime)),
        images_per_second=statistics.median(t.images_per_second for t in times) if times else None,
        memory_mib=max(memory, default=None),
        machines=tuple(event for event in timing if isinstance(event, Machine)),
        counts=counts,
        model=_read_model(run.model),
        examples=_examples(run.examples),
    )


def _last(events: Sequence[Any]) -> Any:
    return events[-1] if events else None


def _read_model(path: Path) -> ModelFile | None:
    try:
        return read_model(path)
    except ModelFileError:
        return None


def _read_plan(path: Path) -> tuple[Choice, ...]:
    """The choices, and the reasons that `write_plan` puts behind them as comments."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            "the plan of the run cannot be read",
            where=str(path),
            got=str(error).splitlines()[0],
            fix="give the folder that an earlier `pixelwise train -o` made",
        ) from None
    if not isinstance(values, dict) or not isinstance(root, yaml.MappingNode):
        return ()
    choices = []
    for key, node in root.value:
        comment = text[node.end_mark.index :].partition("\n")[0].strip()
        reason = comment.removeprefix("#").strip() if comment.startswith("#") else ""
        choices.append(Choice(str(key.value), values.get(key.value), reason))
    return tuple(choices)


def _examples(folder: Path) -> dict[int, Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return {}
    matches = [(file, _EXAMPLE.fullmatch(file.name)) for file in files]
    return {int(match[1]): file for file, match in matches if match}
