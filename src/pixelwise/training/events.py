"""What a run tells of itself: the lines of its two logs, checked and typed.

`log.jsonl` holds no times, so that it is the same however often the run was cut; `timing.jsonl`
holds them. Epochs are counted from 0 and steps from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixelwise.errors import UsageError

__all__ = [
    "Event",
    "Machine",
    "PictureScore",
    "Quarantined",
    "RolledBack",
    "Score",
    "ScoreTime",
    "Scoring",
    "SmallerBatches",
    "Start",
    "Step",
    "StepTime",
    "Stopped",
    "parse_event",
    "read_events",
]

_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Number = float | None


class _Line(BaseModel):
    # A later version may tell more.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Start(_Line):
    """The first line.

    Attributes:
        version: of pixelwise.
        classes: names, in the order of the channels.
        train, val: pictures.
        steps_per_epoch, epochs: as planned.
        parameters: of the network.
        notes: what was decided about the data.
    """

    version: str
    classes: tuple[str, ...]
    train: _Count
    val: _Count
    steps_per_epoch: _Count
    epochs: _Count
    parameters: _Count
    notes: tuple[str, ...] = ()


class Step(_Line):
    """A step of the optimiser; None stands for what was no finite number."""

    epoch: _Count
    step: _Count
    loss: _Number
    learning_rate: _Number
    gradient_norm: _Number


class PictureScore(_Line):
    """Mean IoU within one picture."""

    name: str
    mean_iou: _Number


class Score(_Line):
    """A scoring of all validation pictures.

    Attributes:
        epoch, step: that it follows.
        loss_train: mean over the steps of the epoch.
        mean_iou, pixel_accuracy: 0 … 1; None where no pixel was counted; the second also where
            pixels have several classes.
        iou, dice: of each class; None for a class in neither truth nor prediction.
        best: whether no earlier one was better.
        images: the worst pictures, the worst first.
    """

    epoch: _Count
    step: _Count
    loss_train: _Number
    mean_iou: _Share | None
    pixel_accuracy: _Share | None
    iou: tuple[_Share | None, ...]
    dice: tuple[_Share | None, ...]
    best: bool
    images: tuple[PictureScore, ...] = ()


class Quarantined(_Line):
    """A picture that cannot be read, and is left out."""

    file: str
    what: str


class RolledBack(_Line):
    """A step that would have spoiled the network, and the pictures of its batch."""

    step: _Count
    names: tuple[str, ...]
    why: str


class SmallerBatches(_Line):
    """Memory did not suffice: batches are worked on in smaller parts."""

    micro_batch: _Count


class Stopped(_Line):
    """The end: after how many epochs, and why."""

    epoch: _Count
    why: str


class StepTime(_Line):
    """How fast it goes.

    Attributes:
        step: the step that ends here.
        seconds: since the line before, or since training began or went on.
        images_per_second: loading included.
        memory_mib: the most that was taken so far.
    """

    step: _Count
    seconds: Annotated[float, Field(ge=0)]
    images_per_second: Annotated[float, Field(ge=0)]
    memory_mib: Annotated[float, Field(ge=0)] | None = None


class ScoreTime(_Line):
    """How long a scoring took."""

    step: _Count
    seconds: Annotated[float, Field(ge=0)]


class Scoring(_Line):
    """How far a scoring is; in no log."""

    done: _Count
    total: _Count


class Machine(_Line):
    """What the run, or the rest of it, ran on.

    Attributes:
        system, processor: as the system names them.
        cores: that the process may use.
        device: "cpu", or the name of a GPU.
        processes: that train together.
        versions: of Python and of the packages that results depend on.
    """

    system: str
    processor: str
    cores: _Count
    device: str
    processes: _Count
    versions: dict[str, str]


Event: TypeAlias = (
    Start
    | Step
    | Score
    | Quarantined
    | RolledBack
    | SmallerBatches
    | Stopped
    | StepTime
    | ScoreTime
    | Scoring
    | Machine
)

_KINDS: dict[str, type[Event]] = {
    "start": Start,
    "step": Step,
    "score": Score,
    "quarantined": Quarantined,
    "rolled back": RolledBack,
    "smaller batches": SmallerBatches,
    "stopped": Stopped,
    "step time": StepTime,
    "score time": ScoreTime,
    "scoring": Scoring,
    "machine": Machine,
}


def parse_event(line: Mapping[str, object]) -> Event | None:
    """The event of a line; None for a kind that this version does not know.

    Raises:
        UsageError: lists what is wrong with a line of a known kind.
    """
    name = str(line.get("event"))
    # Both logs say "step" and "score".
    timed = f"{name} time"
    kind = _KINDS.get(timed if "seconds" in line and timed in _KINDS else name)
    if kind is None:
        return None
    try:
        return kind.model_validate({key: value for key, value in line.items() if key != "event"})
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise UsageError(
            f"a line of the log tells of no {name!r}",
            got="; ".join(faults),
            fix="logs are written by `pixelwise train`, and are not made to be edited",
        ) from None


def read_events(path: Path) -> Iterator[Event]:
    """The events of a log, in their order; a log that is not there has none.

    A line that was cut when the process was killed is passed over.

    Raises:
        UsageError: the file cannot be read, or a whole line tells of no event.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            "the log cannot be read", where=str(path), got=error.strerror or str(error)
        ) from None
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if not isinstance(content, dict):
            continue
        try:
            event = parse_event(content)
        except UsageError as error:
            raise UsageError(
                error.what, where=f"{path}, line {number}", got=error.got, fix=error.fix
            ) from None
        if event is not None:
            yield event
