"""A run as it goes: live on a terminal, or in plain lines, one for each scoring."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from pixelwise.data.wording import counted, duration, percent, printable
from pixelwise.training.events import (
    Event,
    Quarantined,
    RolledBack,
    Score,
    ScoreTime,
    Scoring,
    SmallerBatches,
    Start,
    Step,
    StepTime,
    Stopped,
    parse_event,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

__all__ = ["ProgressView", "Standing"]

_SMOOTHED_OVER = 100
_PACE_KEPT = 0.8
_REFRESHES_PER_SECOND = 4
_SHORTEST_BAR, _LONGEST_BAR = 8, 40
_NAMES_SHOWN = 3
_BETWEEN = " · "


class Standing:
    """Where a run stands, from all that it has told.

    Args:
        past: events of the part that ran before.
        clock: seconds; they tell how long a step takes, with all that goes on between two.
    """

    def __init__(
        self, past: Iterable[Event] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._plan: Start | None = None
        self._epoch = 0
        self._step = 0
        self._loss: float | None = None
        self._losses = 0
        self._score: Score | None = None
        self._best: Score | None = None
        self._scorings = 0
        self._time: StepTime | None = None
        self._scoring: Scoring | None = None
        self._scoring_seconds = 0.0
        self._step_seconds: float | None = None
        self._seen: tuple[int, float] | None = None
        self._ended = ""
        for event in past:
            self.take(event)
        # Nobody knows how long the pause was.
        self._seen, self._step_seconds = None, None

    def take(self, event: Event) -> None:
        """Takes up an event."""
        match event:
            case Start():
                self._plan = event
            case Step():
                self._take_step(event)
            case Score():
                self._take_score(event)
            case StepTime():
                self._time = event
            case Scoring():
                self._scoring = event
            case ScoreTime():
                self._scoring_seconds = event.seconds
                self._seen = event.step, self._clock()
            case RolledBack():
                self._step = event.step - 1
                self._seen = None
            case Stopped():
                self._ended, self._scoring = event.why, None
            case _:
                pass

    def _take_step(self, event: Step) -> None:
        self._epoch, self._step, self._scoring = event.epoch, event.step, None
        if event.loss is not None:
            # The first steps weigh as much as the later ones: a plain mean, until it is long.
            self._losses = min(self._losses + 1, _SMOOTHED_OVER)
            before = event.loss if self._loss is None else self._loss
            self._loss = before + (event.loss - before) / self._losses
        now = self._clock()
        if self._seen is not None and event.step > self._seen[0]:
            pace = (now - self._seen[1]) / (event.step - self._seen[0])
            known = pace if self._step_seconds is None else self._step_seconds
            self._step_seconds = _PACE_KEPT * known + (1 - _PACE_KEPT) * pace
        self._seen = event.step, now

    def _take_score(self, event: Score) -> None:
        self._epoch, self._step, self._scoring = event.epoch, event.step, None
        self._score = event
        self._scorings += 1
        if event.best:
            self._best = event
        if self._loss is None:
            # Where epochs are so short that no step of them is logged.
            self._loss = event.loss_train
        self._seen = event.step, self._clock()

    @property
    def share(self) -> float:
        """Of all steps, 0 … 1."""
        total = self._plan.epochs * self._plan.steps_per_epoch if self._plan else 0
        return min(1.0, self._step / total) if total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the whole run; None before a pace is known, and after the last step."""
        if self._plan is None or self._step_seconds is None:
            return None
        steps = self._plan.epochs * self._plan.steps_per_epoch - self._step
        if steps <= 0:
            return None
        epochs_done = max(1.0, self._step / max(1, self._plan.steps_per_epoch))
        scorings = max(0.0, self._plan.epochs - epochs_done) * self._scorings / epochs_done
        return steps * self._step_seconds + scorings * self._scoring_seconds

    @property
    def place(self) -> list[str]:
        """The epoch, and the step within it; after the last one, what becomes of the model."""
        if self._plan is None:
            return ["getting ready"]
        if self._ended:
            if self._scoring is None:
                return ["writing the model"]
            return ["the model", f"scoring {self._scoring.done}/{self._scoring.total}"]
        epoch = f"epoch {self._epoch + 1}/{self._plan.epochs}"
        if self._scoring is not None:
            return [epoch, f"scoring {self._scoring.done}/{self._scoring.total}"]
        within = self._step - self._epoch * self._plan.steps_per_epoch
        return [epoch, f"step {within}/{self._plan.steps_per_epoch}"]

    @property
    def facts(self) -> list[str]:
        """Loss, scores, speed, time left and memory, the more important first."""
        parts = []
        if self._loss is not None:
            parts.append(f"loss {_short(self._loss)}")
        parts += self._scores()
        left = self.seconds_left
        if left is not None and not self._ended:
            parts.append(f"{duration(left)} left")
        if self._time is not None:
            parts.append(f"{_speed(self._time.images_per_second)} images/s")
            if self._time.memory_mib:
                parts.append(f"{self._time.memory_mib:,.0f} MiB")
        return parts

    def line(self) -> str:
        """A whole line for a log, after a scoring."""
        epochs = f"/{self._plan.epochs}" if self._plan else ""
        speed = f"{_speed(self._time.images_per_second)} images/s" if self._time else ""
        left = self.seconds_left
        parts = [
            f"epoch {self._epoch + 1}{epochs}",
            f"loss {_short(self._loss)}" if self._loss is not None else "",
            *self._scores(),
            speed,
            f"{duration(left)} left" if left is not None else "",
        ]
        return _BETWEEN.join(part for part in parts if part)

    def _scores(self) -> list[str]:
        if self._score is None:
            return []
        last = f"mIoU {percent(self._score.mean_iou)}"
        if self._best is None:
            return [last]
        if self._best is self._score:
            return [f"{last} (the best)"]
        return [f"{last} (best {percent(self._best.mean_iou)} at {self._best.epoch + 1})"]


class ProgressView:
    """Shows a run on standard error: live where that is a terminal, else in lines when asked.

    What happens to a run, such as a step that is taken back, is told in a line of its own, above
    the live view. The cursor is never hidden, so that even a killed process leaves it.

    Args:
        verbose: a line for each scoring too.
        stream: the terminal, or a file.
    """

    def __init__(self, *, verbose: bool = False, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._verbose = verbose
        self._standing = Standing()
        self._live: Live | None = None

    def begin(self, past: Sequence[Event]) -> None:
        """Takes up what was before, and shows it."""
        self._standing = Standing(past)
        self._live = _live(self._stream, self._standing)

    def on_event(self, event: Mapping[str, object]) -> None:
        """Takes up an event, and shows it."""
        told = parse_event(event)
        if told is None:
            return
        self._standing.take(told)
        if self._verbose and isinstance(told, Score):
            self._write(self._standing.line())
        if self._verbose or self._live is not None:
            incident = _incident(told)
            if incident:
                self._write(incident)

    def close(self) -> None:
        """Removes the live view, and leaves the cursor at the start of an empty line."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        self._stream.write(f"{line}\n")
        self._stream.flush()


class _Panel:
    """Two lines, of as many parts as fit; drawn anew a few times a second."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        # The last column stays free: some terminals break the line there.
        width = max(1, options.max_width - 1)
        place = _fitting(self._standing.place, width)
        bar = min(_LONGEST_BAR, width - len(place) - 1)
        first = f"{place} {_bar(self._standing.share, bar)}" if bar >= _SHORTEST_BAR else place
        yield Text(first, no_wrap=True, overflow="crop", end="\n")
        yield Text(_fitting(self._standing.facts, width), no_wrap=True, overflow="crop", end="")


def _live(stream: TextIO, standing: Standing) -> Live | None:
    if not stream.isatty():
        return None
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    if console.is_dumb_terminal:
        return None
    live = Live(
        _Panel(standing),
        console=console,
        refresh_per_second=_REFRESHES_PER_SECOND,
        transient=True,
        redirect_stdout=stream is sys.stderr and sys.stdout.isatty(),
        redirect_stderr=stream is sys.stderr,
    )
    live.start()
    console.show_cursor(True)
    return live


def _bar(share: float, width: int) -> str:
    full = round(share * width)
    return "━" * full + "─" * (width - full)


def _fitting(parts: list[str], width: int) -> str:
    """As many whole parts as fit, from the first: half a number would be another."""
    line = ""
    for part in parts:
        longer = f"{line}{_BETWEEN}{part}" if line else part
        if len(longer) > width:
            break
        line = longer
    return line


def _incident(event: Event) -> str:
    match event:
        case Quarantined():
            return f"left out: {printable(event.file)}: {printable(event.what)}"
        case RolledBack():
            names = ", ".join(map(printable, event.names[:_NAMES_SHOWN]))
            more = len(event.names) - _NAMES_SHOWN
            rest = f" and {more} more" if more > 0 else ""
            return f"step {event.step} taken back: {printable(event.why)} ({names}{rest})"
        case SmallerBatches():
            return (
                "memory did not suffice: from now on in parts of "
                f"{counted(event.micro_batch, 'picture')}"
            )
        case Stopped():
            return f"stopped after {counted(event.epoch, 'epoch')}: {printable(event.why)}"
        case _:
            return ""


def _short(value: float) -> str:
    """Three digits that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 6)}f}"


def _speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"
